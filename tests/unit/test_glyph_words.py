"""Words painted into pictures: what is taken out of a prompt, where words go, what a proofreader accepts, and crisp type."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput
from models.flows.glyph_words import Wanted, better, crisp, glyph_words, laid_out, misread, quoted, ring_change, sign_in
from models.job import Extent, Job, Picture, Result, Timings
from models.words.layout import outside, shared_share
from models.words.legible import ENOUGH, contrast
from models.words.reading import Line
from models.words.signs import asked, room

SIDE = Extent(256, 256)
SKY = np.full((256, 256, 3), (90, 170, 240), np.uint8)
SKY[150:] = np.random.default_rng(0).integers(0, 255, (106, 256, 3))


@pytest.mark.parametrize("prompt,plain,words", [
    ('a bus with a sign "OPEN"', "a bus with a sign", ("OPEN",)), ('a shop that says “Fresh bread”, at night', "a shop, at night", ("Fresh", "bread")),
    ('a cat named Tom', "a cat named Tom", ()), ('"SALE" on a red board', "on a red board", ("SALE",)), ("it's the dog's bone", "it's the dog's bone", ())])
def test_only_quoted_words_are_painted(prompt: str, plain: str, words: tuple[str, ...]) -> None:
    assert quoted(prompt) == (plain, words)


def test_words_go_where_the_picture_is_calm_and_do_not_overlap() -> None:
    signs = laid_out(("GRAND", "OPENING", "SALE"), SKY, "inter-black")
    boxes = np.array([sign.box for sign in signs])
    assert shared_share(boxes).max() == 0 and outside(boxes, SIDE) == 0 and boxes[:, 3].max() < 165, "in the sky"
    assert [sign.text.words for sign in signs] == ["GRAND", "OPENING", "SALE"]
    for sign in signs:
        ink, board = (np.array(list(bytes.fromhex(c[1:]))) for c in (sign.text.colour, sign.board))
        assert contrast(ink, board) >= ENOUGH


class Painter:
    """A render that paints as it is told: the control picture itself into the free part, spoilt for some seeds. `jobs`: what was asked."""

    def __init__(self, spoilt: set[int] = frozenset()) -> None:
        self.spoilt, self.jobs = spoilt, []

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        if job.image is None:
            return Result(SKY[None].copy(), job, Timings())
        free = job.mask.array > 0
        shown = job.adapters[-1].image.array
        if job.seeds[0] in self.spoilt:
            shown = shown // 8
        return Result(np.where(free, shown, job.image.array[..., :3])[None], job, Timings())


def reader(signs: tuple) -> object:
    """Reads a sign as its word where its letters are bright or dark enough on it, else as nonsense."""
    def read(rgb: np.ndarray) -> list[Line]:
        out = []
        for sign in signs:
            part = rgb[room([sign], SIDE)]
            out.append(Line(sign.text.words if int(part.max()) - int(part.min()) > 120 else "xx", sign.box, 1.0))
        return out
    return read


def test_only_the_sign_is_painted_and_outside_nothing_changes() -> None:
    painter = Painter()
    wanted = Wanted(Job(prompt='a beach with a sign "OPEN"', seeds=(3,)), "glyphs")
    (first, none), (done, signs) = glyph_words(painter, wanted)
    assert none == () and painter.jobs[0].prompt == painter.jobs[1].prompt == "a beach with a sign" and not painter.jobs[0].adapters
    use, = painter.jobs[1].adapters
    assert use.id == "glyphs" and np.array_equal(use.image.array, asked(signs, SIDE))
    changed = (done.pixels[0] != first.pixels[0]).any(2)
    x0, y0, x1, y1 = signs[0].box
    ys, xs = np.nonzero(changed)
    assert len(signs) == 1 and changed.any() and xs.min() > x0 - 12 and xs.max() < x1 + 12 and ys.min() > y0 - 12 and ys.max() < y1 + 12


def test_a_given_picture_is_painted_on() -> None:
    painter = Painter()
    wanted = Wanted(Job(prompt="x", image=Picture.from_array(SKY), strength=0.0), "glyphs", words=("HI",))
    (first, _), (_, signs) = glyph_words(painter, wanted)
    assert len(painter.jobs) == 1 and np.array_equal(first.pixels[0], SKY) and signs[0].text.words == "HI"


def test_a_misread_word_is_painted_again_until_it_is_read() -> None:
    wanted = Wanted(Job(prompt='"OPEN"', seeds=(3,)), "glyphs")
    signs = laid_out(("OPEN",), SKY, wanted.font)
    painter = Painter(spoilt={3, 104})
    steps = list(glyph_words(painter, wanted, reader(signs)))
    assert len(steps) == 3 and steps[-1][0].job.seeds == (205,)
    assert misread(steps[1][0].pixels[0], signs, reader(signs)) == [4] and misread(steps[2][0].pixels[0], signs, reader(signs)) == [0]
    hopeless = Painter(spoilt=set(range(2000)))
    assert len(list(glyph_words(hopeless, wanted, reader(signs)))) == 2 and len(hopeless.jobs) == 2 + 4, "two tries in two rounds"


def test_a_repair_must_help_its_word_and_harm_no_other_and_leave_the_ring() -> None:
    assert better([2, 1], [1, 1], 0) and not better([2, 1], [2, 1], 0) and not better([2, 1], [0, 2], 0)
    sign = sign_in("OPEN", "inter-black", (60, 60, 200, 110), SKY)
    far, near = SKY.copy(), SKY.copy()
    far[:20] = 0
    near[30:70] = 0
    assert ring_change(SKY, far, sign) == 0 and ring_change(SKY, near, sign) > 0.02


def test_crisp_type_takes_the_painted_colours_where_they_can_be_read() -> None:
    sign = sign_in("OPEN", "inter-black", (40, 60, 220, 130), SKY)
    shown = np.where(room([sign], SIDE)[..., None], asked([sign], SIDE), SKY)
    text = crisp(sign, shown)
    assert text.words == "OPEN" and text.size_px == sign.text.size_px
    ink = np.array(list(bytes.fromhex(text.colour[1:])))
    painted = np.maximum(np.array(list(bytes.fromhex(sign.text.colour[1:]))), 40)
    assert np.abs(ink - painted).max() < 30


@pytest.mark.parametrize("prompt,words,part", [("a cat", (), "quotes"), ("x", ("incomprehensible",), "letters"), ("x", ("a",) * 9, "most")])
def test_too_much_and_nothing_are_refused(prompt: str, words: tuple[str, ...], part: str) -> None:
    with pytest.raises(BadInput, match=part):
        Wanted(Job(prompt=prompt), "glyphs", words)
