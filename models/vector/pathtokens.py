"""Icons as short sequences of whole numbers, and back.

An icon is painted in one way, filled (even-odd) or stroked, on a sheet of GRID x GRID cells. Its sequence reads like path data:

    FILL|STROKE  MOVE p  LINE p p ...  CURVE h h p  h h p ...  CLOSE  MOVE p ... END

A point is one token, FIRST_POINT + x + y * GRID; a repeated command is left out, as in SVG. The order is made the same for all icons,
so that there is less to guess: larger sub-paths first, rings clockwise from their topmost point, open strokes from their upper end.
A gap is written MASK where it is and filled at the end: prefix MASK suffix END MASK span BACK (Wu et al. 2023, "IconShop", section
4.3; they use grids of 100 and 200, 96 here makes a quarter of a unit of a 24 unit sheet one cell).
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import BadInput
from models.vector.pathdata import Path
from models.vector.vectors import Drawing, Shape

GRID = 96
PAD, END, MOVE, LINE, CURVE, CLOSE, MASK, BACK, FILL, STROKE = range(10)
FIRST_POINT = 10
VOCAB = FIRST_POINT + GRID * GRID
SHEET = 24.0                                         # units of the drawings that come back
STROKE_WIDTH = 2.0
_SIZES = {MOVE: 1, LINE: 1, CURVE: 3, CLOSE: 0}
_KINDS = {"L": LINE, "C": CURVE}

# What may come next, as a state: the network is told the state at each place, and sampling keeps to it.
BEGIN, IDLE, POINT_M, PLACED, POINT_L, LINED, HANDLE_1, HANDLE_2, POINT_C, CURVED, CUT, DONE = range(12)
STATES = 12


@dataclass(frozen=True)
class Unit:
    """One command with its points, int [n, 2] in cells: MOVE 1, LINE 1, CURVE 3, CLOSE 0; or MASK, which stands for a gap."""
    command: int
    points: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Icon:
    """mode: FILL or STROKE; units: what is drawn, in order; without CLOSE where all is filled."""
    mode: int
    units: tuple[Unit, ...]

    def sub_paths(self) -> list[list[Unit]]:
        out: list[list[Unit]] = []
        for unit in self.units:
            if unit.command == MOVE or not out:
                out.append([])
            out[-1].append(unit)
        return out


# From drawings

def painted(drawing: Drawing) -> tuple[int, tuple[int, ...]]:
    """(FILL or STROKE, which shapes are painted). Raises BadInput when it is partly filled and partly stroked."""
    filled = [i for i, s in enumerate(drawing.shapes) if s.fill != "none" and s.stroke == "none"]
    stroked = [i for i, s in enumerate(drawing.shapes) if s.stroke != "none" and s.fill == "none"]
    if bool(filled) == bool(stroked) or len(filled) + len(stroked) < sum(s.fill != "none" or s.stroke != "none" for s in drawing.shapes):
        raise BadInput("This drawing is not all filled or all stroked.", "Split it in two.")
    return (FILL, tuple(filled)) if filled else (STROKE, tuple(stroked))


def to_grid(drawing: Drawing) -> np.ndarray:
    """The affine [2, 3] that brings a drawing's units to cells, centred."""
    scale = GRID / max(drawing.width, drawing.height)
    shift = (GRID - scale * np.array([drawing.width, drawing.height])) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def icon_of(drawing: Drawing) -> Icon:
    """A drawing on the grid. Raises BadInput when it is partly filled and partly stroked, or when nothing of it remains."""
    mode, shapes = painted(drawing)
    matrix = to_grid(drawing)
    rows = [row for i in shapes for path in drawing.shapes[i].paths if (row := row_of(path, matrix, mode))]
    rows.sort(key=lambda row: -extent(row))
    if not rows:
        raise BadInput("Nothing of this drawing is large enough for the grid.")
    return Icon(mode, tuple(unit for row in rows for unit in row))


def row_of(path: Path, matrix: np.ndarray, mode: int) -> tuple[Unit, ...]:
    """A path as units in its one way of being written; none when it vanishes on the grid."""
    row = _on_grid(path, matrix, mode == FILL)
    return tuple(unit for unit in _units(*row) if unit.command != CLOSE or mode == STROKE) if row else ()


def extent(row: Sequence[Unit]) -> float:
    """The area of what a sub-path's points span, in cells."""
    width, height = np.ptp(np.array([p for unit in row for p in unit.points]), axis=0)
    return float((width + 1) * (height + 1))


Row = tuple[list[np.ndarray], bool]                  # pieces as int [2 or 4, 2] with the point each starts at; closed


def _on_grid(path: Path, matrix: np.ndarray, filled: bool) -> Row | None:
    """A path's pieces in whole cells without those that vanished; None when nothing remains."""
    pieces = [cells for _, points in path.pieces() if (cells := rounded(points @ matrix[:, :2].T + matrix[:, 2])) is not None]
    if not pieces:
        return None
    closed = path.closed or filled or bool((pieces[0][0] == pieces[-1][-1]).all() and len(pieces) > 1)
    if closed and (pieces[0][0] != pieces[-1][-1]).any():
        pieces.append(np.stack([pieces[-1][-1], pieces[0][0]]))
    pieces = _merged([p for p in pieces if (p != p[0]).any()])
    return (_turned(pieces) if closed else _from_upper_end(pieces), closed)


def rounded(piece: np.ndarray) -> np.ndarray | None:
    """A piece in whole cells, straight when a handle says nothing there; None when it vanishes."""
    cells = np.clip(np.round(piece), 0, GRID - 1).astype(int)
    if (cells == cells[0]).all():
        return None
    return cells[[0, -1]] if len(cells) == 4 and _is_straight(cells) else cells


def _is_straight(cells: np.ndarray) -> bool:
    """Do the handles lie within half a cell of the chord?"""
    along = (cells[3] - cells[0]).astype(float)
    length = np.hypot(*along)
    away = (cells[1:3] - cells[0]) @ np.array([-along[1], along[0]]) / max(length, 1e-9)
    within = (cells[1:3] - cells[0]) @ along / max(length, 1e-9)
    return bool(length and (abs(away) <= 0.5).all() and (within > -1).all() and (within < length + 1).all())


def _merged(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Straight pieces that go on in the same direction become one."""
    out: list[np.ndarray] = []
    for piece in pieces:
        if out and len(piece) == 2 and len(out[-1]) == 2:
            a, b = out[-1][1] - out[-1][0], piece[1] - piece[0]
            if a[0] * b[1] == a[1] * b[0] and a @ b > 0:
                out[-1] = np.stack([out[-1][0], piece[1]])
                continue
        out.append(piece)
    return out


def _turned(pieces: list[np.ndarray]) -> list[np.ndarray]:
    """A ring clockwise from its topmost, then leftmost point."""
    corners = np.array([p[0] for p in pieces], float)
    x, y = np.concatenate(pieces).astype(float).T
    if float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) < 0:
        pieces = [p[::-1] for p in reversed(pieces)]
        corners = np.array([p[0] for p in pieces], float)
    first = int(np.lexsort((corners[:, 0], corners[:, 1]))[0])
    return _merged(pieces[first:] + pieces[:first])


def _from_upper_end(pieces: list[np.ndarray]) -> list[np.ndarray]:
    start, end = pieces[0][0], pieces[-1][-1]
    return pieces if (start[1], start[0]) <= (end[1], end[0]) else [p[::-1] for p in reversed(pieces)]


def _units(pieces: list[np.ndarray], closed: bool) -> Iterator[Unit]:
    """A ring's last straight piece is what CLOSE draws."""
    if closed and len(pieces[-1]) == 2 and len(pieces) > 2:
        pieces = pieces[:-1]
    row = lambda points: tuple((int(x), int(y)) for x, y in points)
    yield Unit(MOVE, row(pieces[0][:1]))
    for piece in pieces:
        yield Unit(LINE if len(piece) == 2 else CURVE, row(piece[1:]))
    if closed:
        yield Unit(CLOSE)


# Sequences

def tokens_of(icon: Icon) -> list[int]:
    return [icon.mode, *_flat(icon.units), END]


def gapped(icon: Icon, start: int, stop: int) -> list[int]:
    """The sequence that shows the icon without units[start:stop] and then tells them."""
    return [*with_gap(icon, start, stop), *_flat(icon.units[start:stop]), BACK]


def with_gap(icon: Icon, start: int, stop: int) -> list[int]:
    """What is given when a gap is to be filled, up to and with the second MASK."""
    gap = (*icon.units[:start], Unit(MASK), *icon.units[stop:])
    return [icon.mode, *_flat(gap), END, MASK]


def _flat(units: Iterable[Unit]) -> Iterator[int]:
    """Commands only where they change."""
    last = 0
    for unit in units:
        if unit.command != last or unit.command == MOVE:
            yield unit.command
        yield from (FIRST_POINT + x + y * GRID for x, y in unit.points)
        last = unit.command


class Pen:
    """Follows a sequence: the state after each token, and where the pen is. `take` returns what the network is told of a token:
    (state, x, y, dx, dy, sx, sy), cells; d from the point before, s from where the sub-path began, both plus GRID so that no number is
    negative; NOWHERE for what is no point."""

    def __init__(self) -> None:
        self.state, self.at, self.start = BEGIN, (0, 0), (0, 0)

    def take(self, token: int) -> tuple[int, ...]:
        placing = self.state == POINT_M
        self.state = after(self.state, token)
        if token < FIRST_POINT:
            return (self.state, *NOWHERE)
        (px, py), self.at = self.at, ((token - FIRST_POINT) % GRID, (token - FIRST_POINT) // GRID)
        x, y = self.at
        self.start = self.at if placing else self.start
        return (self.state, x, y, x - px + GRID, y - py + GRID, x - self.start[0] + GRID, y - self.start[1] + GRID)


NOWHERE = (GRID, GRID, 0, 0, 0, 0)


def told(tokens: Sequence[int]) -> list[tuple[int, ...]]:
    """What the network is told of each token of a sequence."""
    pen = Pen()
    return [pen.take(token) for token in tokens]


_NEXT = {**{(state, MOVE): POINT_M for state in (IDLE, LINED, CURVED, CUT)},
         **{(state, LINE): POINT_L for state in (PLACED, CURVED, CUT)}, **{(state, CURVE): HANDLE_1 for state in (PLACED, LINED, CUT)},
         **{(state, CLOSE): IDLE for state in (LINED, CURVED, CUT)}, **{(state, END): DONE for state in (IDLE, LINED, CURVED)},
         **{(state, BACK): DONE for state in (IDLE, PLACED, LINED, CURVED, CUT)},
         **{(state, MASK): CUT for state in (BEGIN, IDLE, PLACED, LINED, CURVED, DONE)}, (CUT, END): DONE,
         (BEGIN, FILL): IDLE, (BEGIN, STROKE): IDLE}
_NEXT_POINT = {POINT_M: PLACED, POINT_L: LINED, LINED: LINED, HANDLE_1: HANDLE_2, HANDLE_2: POINT_C, POINT_C: CURVED, CURVED: HANDLE_2}


def after(state: int, token: int) -> int:
    return _NEXT_POINT.get(state, DONE) if token >= FIRST_POINT else _NEXT.get((state, token), DONE)


def allowed(state: int, ends_with: int, closes: bool) -> tuple[list[int], bool]:
    """(commands, whether a point) that may follow; ends_with: END, or BACK while a gap is filled; closes: strokes may be CLOSEd."""
    commands = [c for c in (MOVE, LINE, CURVE, CLOSE, ends_with) if (state, c) in _NEXT and (closes or c != CLOSE)]
    return commands, state in _NEXT_POINT


def units_of(tokens: Sequence[int]) -> tuple[Unit, ...]:
    """Whole units of a sequence without its mode, up to the first thing that does not belong; a broken tail is dropped."""
    units, command, points = [], 0, []
    for token in tokens:
        if token >= FIRST_POINT:
            if command not in (MOVE, LINE, CURVE):
                break
            points.append(((token - FIRST_POINT) % GRID, (token - FIRST_POINT) // GRID))
            if len(points) == _SIZES[command]:
                units.append(Unit(command, tuple(points)))
                points, command = [], command if command != MOVE else 0
        elif points or token not in (MOVE, LINE, CURVE, CLOSE, MASK):
            break
        else:
            command = token
            units += [Unit(token)] if token in (CLOSE, MASK) else []
    return tuple(units)


def read_tokens(tokens: Sequence[int]) -> Icon:
    """The icon of a sequence MODE ... END, whose broken tail is dropped. Raises BadInput when nothing is left."""
    if not tokens or tokens[0] not in (FILL, STROKE):
        raise BadInput("This sequence does not say whether it is filled or stroked.")
    return checked(Icon(tokens[0], units_of(tokens[1:])))


def checked(icon: Icon) -> Icon:
    """The icon without sub-paths that draw nothing. Raises BadInput when none is left."""
    kept = []
    for path in icon.sub_paths():
        points = {p for unit in path for p in unit.points}
        lasting = path[0].command == MOVE and len(points) > (2 if icon.mode == FILL and all(u.command != CURVE for u in path) else 1)
        kept += path if lasting and any(u.command in (LINE, CURVE) for u in path) else []
    if not kept:
        raise BadInput("This sequence draws nothing.")
    return Icon(icon.mode, tuple(kept))


# Back to drawings

def drawing_of(icon: Icon, colour: str = "#000000", stroke_width: float = STROKE_WIDTH) -> Drawing:
    """The icon on a sheet of 24 units, one shape."""
    paths = tuple(_path(row, icon.mode == FILL) for row in icon.sub_paths())
    if icon.mode == FILL:
        return Drawing(SHEET, SHEET, (Shape(paths, fill=colour, rule="evenodd"),))
    return Drawing(SHEET, SHEET, (Shape(paths, fill="none", stroke=colour, width=stroke_width, round=True),))


def _path(units: Sequence[Unit], filled: bool) -> Path:
    points = np.array([p for unit in units for p in unit.points], float) * (SHEET / GRID)
    kinds = "".join("L" if unit.command == LINE else "C" for unit in units if unit.command in (LINE, CURVE))
    return Path(points, kinds, filled or units[-1].command == CLOSE)
