"""Icons as tokens, the writer's network, sampling, and the flows over them; with a real, tiny, untrained writer."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import BadInput, Cancelled
from models.flows.icon import Wish, finish, icons, repaint
from models.vector.borders import at, length, pieces_of, runs_of
from models.vector.gaps import ROUNDING, changes, filled, gap_in
from models.nets.icons import IconWriter, Shape
from models.vector.pathtokens import (BACK, CLOSE, CURVE, DONE, END, FILL, FIRST_POINT, GRID, LINE, MASK, MOVE, STATES, STROKE, drawing_of, gapped,
                               icon_of, read_tokens, told, tokens_of, units_of, with_gap)
from models.percepts.icons import SPECS, Icons
from models.vector.vectors import draw, read, write
from models.vector.writing import LONGEST, Manner
from models.vector.writing import write as sample

BELL = ('<svg viewBox="0 0 24 24"><path fill="none" stroke="#000" stroke-width="2" stroke-linecap="round" '
        'd="M18 8A6 6 0 0 0 6 8c0 7-3 9-3 9h18s-3-2-3-9M13.73 21a2 2 0 0 1-3.46 0M20 2v3"/></svg>')
HOME = '<svg viewBox="0 0 24 24"><path fill-rule="evenodd" d="M12 2L22 10V22H2V10zM9 14h6v8h-6z"/></svg>'
TINY = Shape(FIRST_POINT, GRID, STATES, 3, 32, 2, 2, 2)


@pytest.fixture(scope="module")
def net() -> IconWriter:
    torch.manual_seed(0)
    net = IconWriter(TINY).eval()
    with torch.no_grad():                            # zero at the start, which would hide mistakes in attention
        for block in net.blocks:
            block.out.weight.normal_(std=0.2)
            block.down.weight.normal_(std=0.2)
    return net


@pytest.fixture(scope="module")
def percept(net: IconWriter) -> Icons:
    return Icons(SPECS[0], net, ("any", "thin", "fat"))


@pytest.fixture
def borrow(percept: Icons) -> Callable[[str, Callable[[Any], Any]], Any]:
    return lambda id, work: work(percept)


# Tokens

@pytest.mark.parametrize("svg", [BELL, HOME])
def test_an_icon_survives_the_grid(svg: str) -> None:
    icon = icon_of(read(svg))
    tokens = tokens_of(icon)
    assert read_tokens(tokens) == icon and max(tokens) < FIRST_POINT + GRID * GRID
    assert abs(draw(drawing_of(icon), 96).astype(int) - draw(read(svg), 96).astype(int)).mean() < 2
    states = [t[0] for t in told(tokens)]
    assert states[-1] == DONE and DONE not in states[:-1]


def test_start_and_direction_do_not_matter() -> None:
    square = lambda d: tokens_of(icon_of(read(f'<svg viewBox="0 0 96 96"><path d="{d}"/></svg>')))
    at = lambda x, y: FIRST_POINT + x + y * GRID
    wanted = [FILL, MOVE, at(8, 8), LINE, at(40, 8), at(40, 40), at(8, 40), END]
    assert square("M8 8H40V40H8Z") == square("M40 40V8H8V40Z") == square("M20 8H8V40H40V8z") == wanted


def test_a_ring_of_lines_is_closed_and_larger_paths_come_first() -> None:
    icon = icon_of(read('<svg viewBox="0 0 24 24"><g fill="none" stroke="#000"><path d="M1 1h2"/><path d="M4 4H20V20H4Z"/></g></svg>'))
    assert [u.command for u in icon.units] == [MOVE, LINE, LINE, LINE, CLOSE, MOVE, LINE]


def test_broken_tails_are_dropped_and_nothing_is_refused() -> None:
    tokens = tokens_of(icon_of(read(BELL)))
    cut = read_tokens(tokens[:-4])
    assert cut.units == read_tokens(tokens).units[:len(cut.units)] and len(cut.units) < len(read_tokens(tokens).units)
    for bad in ([], [MOVE], [FILL], [STROKE, MOVE, 50], [STROKE, LINE, 50, 60, END], [FILL, MOVE, 50, LINE, 60, END]):
        with pytest.raises(BadInput):
            read_tokens(bad)
    assert units_of([CURVE, 50, 60, END]) == ()


def test_mixed_and_empty_drawings_are_refused() -> None:
    for inside in ('<path d="M1 1h9v9z"/><path d="M1 1h9" fill="none" stroke="red"/>', "", '<path d="M1 1h9v9z" stroke="red"/>'):
        with pytest.raises(BadInput):
            icon_of(read(f'<svg viewBox="0 0 24 24">{inside}</svg>'))


@pytest.mark.parametrize("gap", [(0, 2), (1, 3), (3, 3), (2, 9)])
def test_a_gap_and_what_fills_it_are_the_icon(gap: tuple[int, int]) -> None:
    icon = icon_of(read(BELL))
    start, stop = gap[0], min(gap[1], len(icon.units))
    tokens = gapped(icon, start, stop)
    given = with_gap(icon, start, stop)
    assert tokens[:len(given)] == given and tokens.count(MASK) == 2 and tokens[-1] == BACK
    assert units_of(tokens[len(given):-1]) == icon.units[start:stop]
    states = [t[0] for t in told(tokens)]
    assert states[-1] == DONE and states.count(DONE) == 2            # END of the rest, BACK of the gap


# The network and sampling

def batch(tokens: list[int], net: IconWriter) -> tuple[torch.Tensor, ...]:
    text = torch.randn(1, 384, generator=torch.Generator().manual_seed(1))
    return torch.tensor([tokens]), torch.tensor([told(tokens)]), text, torch.tensor([1])


def test_losses_see_only_the_past(net: IconWriter) -> None:
    tokens = tokens_of(icon_of(read(BELL)))
    other = [*tokens[:10], *(t + 1 if t >= FIRST_POINT else t for t in tokens[10:])]
    with torch.no_grad():
        a, b = net.losses(*batch(tokens, net))[0], net.losses(*batch(other, net))[0]
    assert torch.allclose(a[:10], b[:10], atol=1e-5) and not torch.allclose(a[11:], b[11:], atol=1e-3)
    assert float(a.mean()) > 1


def test_the_cache_gives_what_the_whole_gives(net: IconWriter) -> None:
    tokens, says, text, source = batch(tokens_of(icon_of(read(BELL))), net)
    front, rest = net.front(text, source), net.embedded(tokens, says)
    with torch.no_grad():
        whole, cache = net.run(torch.cat([front, rest], 1)), []
        parts = [net.run(torch.cat([front, rest[:, :3]], 1), cache), *(net.run(rest[:, i:i + 1], cache) for i in range(3, rest.shape[1]))]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-4)


def test_a_loss_is_the_chance_that_sampling_uses(net: IconWriter) -> None:
    """p(x) p(y | x), summed over all cells and commands, is 1."""
    tokens, says, text, source = batch(tokens_of(icon_of(read(HOME)))[:2], net)
    with torch.no_grad():
        hidden = net.run(torch.cat([net.front(text, source), net.embedded(tokens, says)], 1))[:, -1]
        first = net.head_first(hidden).softmax(-1)[0]
        second = net.rows(hidden.expand(GRID, -1), torch.arange(GRID)).softmax(-1)
    assert float((first[FIRST_POINT:, None] * second).sum() + first[:FIRST_POINT].sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("mode", [FILL, STROKE])
def test_what_is_written_is_grammatical_and_depends_on_its_seed_alone(net: IconWriter, mode: int) -> None:
    text = torch.randn(384, generator=torch.Generator().manual_seed(2))
    many = sample(net, text, [mode], range(6), Manner(top_p=1.0))
    assert len({row.tokens for row in many}) == 6
    for row in many:
        states = [t[0] for t in told(row.tokens)]
        assert DONE not in states[:-1] and (row.tokens[-1] == END) == row.ended == (states[-1] == DONE) and len(row.tokens) <= LONGEST + 1
        assert mode == STROKE or CLOSE not in row.tokens
    assert sample(net, text, [mode], [4], Manner(top_p=1.0))[0] == many[4]
    assert sample(net, text, [mode], [4], Manner(top_p=1.0, guidance=3.0))[0] != many[4]
    with pytest.raises(Cancelled):
        sample(net, text, [mode], [4], cancelled=lambda: True)


def test_a_small_nucleus_is_the_likeliest(net: IconWriter) -> None:
    text = torch.zeros(384)
    rows = sample(net, text, [FILL], range(4), Manner(top_p=1e-6))
    assert len({row.tokens for row in rows}) == 1


# Flows

def test_icons_from_words(borrow) -> None:
    found = icons(borrow, Wish("bell, alarm", top_p=1.0), count=3, seed=5)
    again = icons(borrow, Wish("bell, alarm", top_p=1.0), count=3, seed=5)
    assert found == again and found.valid <= found.tried and len(found.icons) <= 3
    for one in found.icons:
        assert draw(read(one.svg), 32).any() and write(read(one.svg)) == one.svg


def test_words_are_read_and_mixed(percept: Icons) -> None:
    bell, car = percept.vector("bell"), percept.vector("car")
    assert torch.allclose(percept.between(bell, car, weights=(1, 0)), bell, atol=1e-4) and not torch.allclose(bell, car)
    assert torch.allclose(percept.vector("Bell,  car"), percept.between(bell, car), atol=1e-4)
    assert float(bell.pow(2).mean()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("wish", [dict(words=" , "), dict(words="a", mode="oil"), dict(words="a", blend=2.0), dict(words="a", manner="none"),
                                  dict(words="a", colour='red"/>'), dict(words="a", top_p=0.0)])
def test_wishes_that_cannot_be_met_say_why(borrow, wish: dict) -> None:
    with pytest.raises(BadInput):
        icons(borrow, Wish(**wish), count=1)


def test_going_on_keeps_the_beginning(borrow) -> None:
    begun = icon_of(read(BELL))
    found = finish(borrow, BELL, Wish("bell", top_p=1.0), count=4)
    for one in found.icons:
        assert {u.points for u in icon_of(read(one.svg)).units} >= {u.points for u in begun.units if u.command == CURVE}


def test_what_lies_in_a_region_is_found() -> None:
    bell, icon = read(BELL), icon_of(read(BELL))
    paths = icon.sub_paths()
    start = len(paths[0])
    gap = gap_in(bell, (0, 0, 1, 1))
    assert (gap.start, gap.stop) == (0, len(icon.units)) and gap.icon == icon
    gap = gap_in(bell, (0.35, 0.8, 0.65, 1))
    assert gap.hole is None and (gap.start, gap.stop) == (start, start + len(paths[1]))       # the clapper, whole
    corner = gap_in(bell, (0, 0.55, 0.35, 0.8))                                               # a corner of the bell
    assert corner.hole and 0 < corner.start < corner.stop and corner.hole.ends is not None
    empty = gap_in(bell, (0, 0, 0.15, 0.15))
    assert (empty.start, empty.stop) == (len(icon.units),) * 2 and empty.icon == icon


def test_pieces_are_cut_where_they_cross_the_border() -> None:
    """A circle of cubics: its parts together are as long as it, and turn by turn inside and outside."""
    ring = read('<svg viewBox="0 0 96 96"><circle cx="48" cy="48" r="30"/></svg>').shapes[0].paths[0]
    pieces, box = pieces_of(ring, np.eye(2, 3), True), (40, 0, 96, 50)
    runs = runs_of(pieces, box)
    assert [within for within, _ in runs] in ([False, True], [True, False], [True, False, True], [False, True, False])
    assert sum(length(run) for _, run in runs) == pytest.approx(length(pieces), rel=1e-3)
    for within, run in runs:
        middles = np.array([at(piece, t) for piece in run for t in (0.2, 0.5, 0.8)])
        assert all((40 <= x <= 96 and 0 <= y <= 50) == within for x, y in middles)
        assert np.allclose(np.hypot(*(middles - 48).T), 30, atol=0.02)
    for (_, a), (_, b) in zip(runs, runs[1:]):
        assert np.allclose(a[-1][-1], b[0][0])


GLASSES = '<svg viewBox="0 0 24 24"><path d="M2 8h20v2c0 5-3 8-6 8s-4-3-4-5-4 5-6 5-4-3-4-8zM5 10v2h4v-2z" fill="#c02" fill-rule="evenodd"/></svg>'
THIN = ('<svg viewBox="0 0 48 24"><g fill="none" stroke="#123456" stroke-linejoin="round" stroke-linecap="round">'
        '<path d="M3 20C9 2 20 2 24 12S40 22 45 4"/></g></svg>')
ROUND = BELL.replace("stroke-linecap", 'stroke-linejoin="round" stroke-linecap')
REGIONS = [(0.3, 0.5, 0.7, 1.0), (0.0, 0.0, 0.5, 0.55), (0.4, 0.2, 0.9, 0.6), (0.25, 0.0, 1.0, 1.0), (0.0, 0.55, 0.35, 0.8)]


@pytest.mark.parametrize(("svg", "region"), [(BELL, REGIONS[0]), (GLASSES, REGIONS[2])])
def test_outside_a_region_drawn_anew_nothing_changes(borrow, svg: str, region: tuple[float, ...]) -> None:
    """Whatever an untrained writer puts into the gap; and something does change inside."""
    before = read(svg)
    found = repaint(borrow, svg, region, Wish("bell", top_p=1.0, colour="#00ff00"), count=3)
    assert found.tried > 0
    for one in found.icons:
        after = read(one.svg)
        assert changes(after, before, region)[1] <= ROUNDING < changes(after, before, region)[0]
        assert {s.fill for s in after.shapes} | {s.stroke for s in after.shapes} == {s.fill for s in before.shapes} | {s.stroke for s in before.shapes}


@pytest.mark.parametrize("svg", [ROUND, HOME, GLASSES, THIN])
@pytest.mark.parametrize("region", REGIONS)
def test_whatever_is_written_into_a_gap_stays_in_it(svg: str, region: tuple[float, ...]) -> None:
    """Random points: outside the region nothing changes, and a path that is only passed through stays one path."""
    rng, before, taken = np.random.default_rng(0), read(svg), 0
    gap = gap_in(before, region)
    token = lambda x, y: FIRST_POINT + x + y * GRID
    low, high = np.array([gap.box[:2], gap.box[2:]]).astype(int) + [[-3], [4]]
    for _ in range(12):
        first, *rest = [token(int(x), int(y)) for x, y in np.clip(rng.integers(low, high, (5, 2)), 0, GRID - 1)]
        head = [] if gap.hole else [MOVE, rest.pop()]
        try:
            new = filled(gap, [*gap.given, *head, LINE, first, CURVE, *rest[:3], BACK])
        except BadInput:
            continue
        taken += 1
        assert changes(new, before, region)[1] <= ROUNDING
        assert not gap.hole or len(new.shapes[0].paths) == len(before.shapes[0].paths)
    assert taken > 5


def test_fillings_that_leave_the_region_or_the_path_are_refused() -> None:
    gap, token = gap_in(read(ROUND), REGIONS[4]), lambda x, y: FIRST_POINT + x + y * GRID
    for bad in ([MOVE, token(10, 60), LINE, token(20, 70)], [LINE, token(90, 60)], [LINE, token(10, 60), CLOSE]):
        with pytest.raises(BadInput):
            filled(gap, [*gap.given, *bad, BACK])


def test_a_gap_left_empty_is_a_straight_line_between_its_ends() -> None:
    gap = gap_in(read(HOME), (0.0, 0.0, 1.0, 0.3))
    new = filled(gap, [*gap.given, BACK])
    assert changes(new, read(HOME), (0.0, 0.0, 1.0, 0.3))[1] <= ROUNDING
    assert draw(new, 96)[:27].max() < 64 < draw(read(HOME), 96)[:27].max(), "the roof is cut off level"


def test_a_region_without_room_for_a_line_is_refused(borrow) -> None:
    with pytest.raises(BadInput, match="too small"):
        repaint(borrow, BELL, (0.5, 0.5, 0.55, 0.6), Wish("bell"))


def test_regions_outside_are_refused(borrow) -> None:
    with pytest.raises(BadInput):
        repaint(borrow, BELL, (0.5, 0.5, 0.4, 1.0), Wish("bell"))
    with pytest.raises(BadInput):
        icons(borrow, Wish("bell"), count=99)


def test_the_seed_range_wraps(borrow) -> None:
    assert icons(borrow, Wish("bell"), count=2, seed=2 ** 32 - 1).tried >= 2


def test_numbers_are_what_a_person_sees() -> None:
    assert np.isclose(drawing_of(icon_of(read(BELL))).shapes[0].width, 2)
