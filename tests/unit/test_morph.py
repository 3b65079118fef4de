"""The way between two drawings: its ends are the drawings, everything between is valid and near its neighbours."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput
from models.vector.morph import between, cubics, cut, knots
from models.vector.pathdata import parse_path
from models.vector.vectors import Drawing, Shape, draw, rasterise, read, write

HOUSE = read('<svg viewBox="0 0 24 24"><path fill-rule="evenodd" d="M12 2L22 10V22H2V10zM9 14h6v8h-6z"/></svg>')
MOON = read('<svg viewBox="0 0 48 48"><path fill="#0000ff" d="M20 4A20 20 0 1 0 44 28A16 16 0 0 1 20 4z"/></svg>')
LINES = read('<svg viewBox="0 0 24 24"><g fill="none" stroke="#000" stroke-width="2" stroke-linecap="round">'
             '<path d="M4 4C8 20 16 20 20 4"/><circle cx="12" cy="12" r="6"/></g></svg>')
TWO = read('<svg viewBox="0 0 24 24"><path fill="#f00" d="M2 2h8v8H2z"/><path fill="#0f0" d="M14 14h8v8h-8zM16 16v4h4v-4z"/></svg>')
WAYS = {"holes to none": (HOUSE, MOON), "fill to lines": (MOON, LINES), "lines to fill": (LINES, HOUSE), "shapes": (TWO, HOUSE), "itself": (TWO, TWO)}


@pytest.mark.parametrize("name", WAYS)
def test_the_ends_are_the_drawings(name: str) -> None:
    first, second = WAYS[name]
    way = between(first, second)
    for end, wanted in ((way.at(0), first), (way.at(1), second)):
        assert abs(draw(end, 64).astype(int) - draw(wanted, 64).astype(int)).mean() < 0.5
        assert abs(rasterise(write(end, 4), 64, 64).astype(int) - rasterise(write(wanted, 4), 64, 64).astype(int)).mean() < 1


@pytest.mark.parametrize("name", WAYS)
def test_every_step_is_valid_and_near_the_next(name: str) -> None:
    way = between(*WAYS[name])
    frames = [draw(read(write(way.at(t))), 48).astype(int) for t in np.linspace(0, 1, 21)]
    assert all(frame.any() for frame in frames)
    whole = max(abs(frames[-1] - frames[0]).mean(), 1)
    assert max(abs(b - a).mean() for a, b in zip(frames, frames[1:])) < max(0.35 * whole, 6)


def test_a_square_moves_straight() -> None:
    """Closed form: the same square elsewhere is, half way, half way there, whatever its start and direction."""
    square = lambda d: Drawing(24, 24, (Shape(parse_path(d), rule="evenodd"),))
    way = between(square("M2 2H10V10H2Z"), square("M20 20V12H12V20Z"))
    points = np.concatenate([path.points for path in way.at(0.5).shapes[0].paths])
    assert np.allclose([points.min(0), points.max(0)], [[7, 7], [15, 15]])
    assert {tuple(p) for p in np.round(points[::3], 6)} == {(7, 7), (15, 7), (15, 15), (7, 15)}


def test_colours_and_widths_move_too() -> None:
    thin, thick = (read(f'<svg viewBox="0 0 9 9"><path d="M1 1L8 8" fill="none" stroke="{colour}" stroke-width="{width}"/></svg>')
                   for colour, width in (("red", 1), ("#0000ff", 3)))
    (shape,) = between(thin, thick).at(0.5).shapes
    assert shape.stroke == "#800080" and shape.width == 2 and shape.fill == "none"


def test_cutting_changes_no_curve() -> None:
    whole = cubics(parse_path("M0 0C0 10 10 10 10 0L20 0Z")[0])
    places = np.unique(np.concatenate([knots(whole), np.linspace(0, 1, 8)]))
    parts = cut(whole, places)
    assert len(parts) == len(places) - 1 and np.allclose(parts[1:, 0], parts[:-1, 3])
    assert np.allclose(knots(parts), places, atol=2e-3)
    d = "M0 0C0 10 10 10 10 0L20 0Z"
    again = Drawing(20, 20, (Shape(tuple(parse_path("M0 0" + "".join(f"C{' '.join(map(str, p[1:].ravel()))}" for p in parts) + "Z"))),))
    assert abs(draw(again, 64).astype(int) - draw(Drawing(20, 20, (Shape(parse_path(d)),)), 64).astype(int)).mean() < 0.3


def test_what_cannot_be_changed_is_refused() -> None:
    with pytest.raises(BadInput):
        between(HOUSE, Drawing(24, 24, ()))
    with pytest.raises(BadInput):
        between(Drawing(24, 24, (Shape(parse_path("M0 0h1" * 401)),)), HOUSE)
    with pytest.raises(BadInput):
        between(HOUSE, MOON).at(1.1)
