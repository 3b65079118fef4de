"""Parts of an icon that are written anew: what of a drawing lies in a box, and how the new part is put in.

After Wu et al. 2023 ("IconShop"), section 5.3, with two things added. Paths are cut where they cross the border of the box, and what is
new joins them there and nowhere leaves the box; so outside everything stays exactly, rules of filling included: replacing a path within a
box by another one between the same two points changes no winding outside. And what is kept is the drawing itself, not its rounding to the
grid, which only the writer sees.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from models.errors import BadInput
from models.vector.borders import Box, Piece, inside, length, path_of, pieces_of, runs_of, turned
from models.vector.pathdata import Path, moved
from models.vector.pathtokens import (CLOSE, CURVE, FILL, GRID, LINE, MOVE, STROKE, Icon, Unit, checked, extent, painted, rounded, row_of, to_grid, units_of,
                                      with_gap)
from models.vector.vectors import Drawing, draw
from models.vector.writing import Bounds

SLACK = 6                                            # cells: a new point up to so far outside the box is moved to its border
LEAST = 2.0                                          # cells: shorter parts inside the box are no gap of their own
CHECKED_PX, ROUNDING = 64, 24                        # levels of 255 that are no change: a cut curve becomes other chords when it is drawn
Where = tuple[int, int]                              # which shape, which of its paths


@dataclass(frozen=True)
class Hole:
    """A path of which a part is to be written anew, in cells: what comes before and after it on the path (turned where `turned` says),
    and whether the path runs on after it."""
    where: Where
    before: list[Piece]
    old: list[Piece]
    after: list[Piece]
    turned: bool
    ends: np.ndarray | None                          # [2] where the new part has to end


@dataclass(frozen=True)
class Gap:
    """What is written anew of a drawing. icon[start:stop]: the old part as the writer's grid has it; hole: the path that it belongs to,
    or None when it is `whole` sub-paths (perhaps none, then something is added)."""
    drawing: Drawing = field(repr=False)
    box: Box
    icon: Icon = field(repr=False)
    start: int
    stop: int
    hole: Hole | None = None
    whole: frozenset[Where] = frozenset()

    @property
    def given(self) -> list[int]:
        return with_gap(self.icon, self.start, self.stop)

    @property
    def bounds(self) -> Bounds:
        """What the writer has to keep to, so that what it writes fits."""
        left, top, right, bottom = self.box
        box = tuple(int(np.clip(v, 0, GRID - 1)) for v in (np.ceil(left), np.ceil(top), np.floor(right), np.floor(bottom)))
        return Bounds(box, bool(self.hole and self.hole.ends is not None))


def gap_in(drawing: Drawing, region: Box) -> Gap:
    """The largest part of a drawing in a region (shares of its sheet): the sub-paths that lie in it, or what one path draws in it.
    Raises BadInput where a line of that width does not fit."""
    drawing = _even_odd(drawing)
    mode, shapes = painted(drawing)
    matrix = to_grid(drawing)
    box = _box(drawing, shapes, region, float(matrix[0, 0]))
    holes, whole, lengths = [], set(), 0.0
    for where in ((s, p) for s in shapes for p in range(len(drawing.shapes[s].paths))):
        path = drawing.shapes[where[0]].paths[where[1]]
        runs = runs_of(pieces_of(path, matrix, path.closed or mode == FILL), box)
        if all(within for within, _ in runs):
            whole.add(where)
            lengths += sum(length(run) for _, run in runs)
        elif any(within for within, _ in runs):
            holes += _holes(where, runs, path.closed or mode == FILL)
    best = max(holes, key=lambda hole: length(hole.old), default=None)
    best = best if best and length(best.old) > max(lengths, LEAST) else None
    return _gap(drawing, box, mode, shapes, matrix, best, frozenset() if best else frozenset(whole))


def _box(drawing: Drawing, shapes: Sequence[int], region: Box, scale: float) -> Box:
    """The region in cells, half a line smaller where lines are drawn, so that ink does not leave it; not at the sheet's own edge."""
    half = max(drawing.shapes[i].width for i in shapes) * scale / 2
    inset = [(0 < side < 1) * (half if i < 2 else -half) for i, side in enumerate(region)]
    box = tuple(side + more for side, more in zip(_in_cells(drawing, region), inset, strict=True))
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:
        raise BadInput("The region is too small for anything to be drawn in it.", "Draw a larger box.")
    return box


def _in_cells(drawing: Drawing, region: Box) -> tuple[float, ...]:
    """Shares of a drawing's sheet on the grid, where the sheet is centred."""
    corners = np.array(region, float).reshape(2, 2) * (drawing.width, drawing.height)
    matrix = to_grid(drawing)
    return tuple((corners * matrix[0, 0] + matrix[:, 2]).ravel())


def _even_odd(drawing: Drawing) -> Drawing:
    """The drawing with shapes filled by even-odd, as the writer means it, where that looks the same."""
    shapes = []
    for shape in drawing.shapes:
        other = replace(shape, rule="evenodd")
        alone = lambda s: draw(Drawing(drawing.width, drawing.height, (s,)), 96)
        shapes.append(other if shape.rule != "evenodd" and shape.fill != "none" and (alone(shape) == alone(other)).all() else shape)
    return replace(drawing, shapes=tuple(shapes))


def _holes(where: Where, runs: list[tuple[bool, list[Piece]]], ring: bool) -> list[Hole]:
    """A hole for every run inside the box. A ring is told from outside the box and clockwise; an open path from the end that lies outside."""
    if ring and runs[0][0]:
        runs = [*runs[1:], runs[0]]
        if runs[-2][0]:
            runs = [*runs[:-2], (True, runs[-2][1] + runs[-1][1])]
    elif ring and not runs[-1][0] and len(runs) > 1:
        runs = [(False, runs[-1][1] + runs[0][1]), *runs[1:-1]]
    out = []
    for i, (within, old) in enumerate(runs):
        if not within:
            continue
        before, after = ([piece for _, run in part for piece in run] for part in (runs[:i], runs[i + 1:]))
        back = _counter(before + old + after) if ring else not before
        if back:
            before, old, after = turned(after), turned(old), turned(before)
        if ring and not before:                      # what came after it in the ring comes before it
            before, after = after, []
        ends = after[0][0] if after else before[0][0] if ring else None
        out.append(Hole(where, before, old, after, back, ends))
    return out


def _counter(pieces: Sequence[Piece]) -> bool:
    """Does a ring run counter-clockwise on the sheet, whose y points down?"""
    x, y = np.concatenate(pieces).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) < 0


def _gap(drawing: Drawing, box: Box, mode: int, shapes: Sequence[int], matrix: np.ndarray, hole: Hole | None, whole: frozenset[Where]) -> Gap:
    """The drawing on the grid, as the writer is shown it, and where its gap lies. What is whole in the box stands together."""
    rows: list[tuple[float, Where, tuple[Unit, ...]]] = []
    for where in ((s, p) for s in shapes for p in range(len(drawing.shapes[s].paths))):
        path = drawing.shapes[where[0]].paths[where[1]]
        row = _cut_row(hole, mode == STROKE and path.closed) if hole and hole.where == where else row_of(path, matrix, mode)
        rows += [(extent(row), where, row)] if row else []
    rows.sort(key=lambda row: -row[0])
    first = next((i for i, row in enumerate(rows) if row[1] in whole), len(rows))
    rows = [*rows[:first], *(r for r in rows[first:] if r[1] in whole), *(r for r in rows[first:] if r[1] not in whole)]
    icon = Icon(mode, tuple(unit for _, _, row in rows for unit in row))
    start = sum(len(row) for _, where, row in rows[:first])
    stop = start + sum(len(row) for _, where, row in rows if where in whole)
    if hole:
        start = sum(len(row) for _, _, row in rows[:next(i for i, row in enumerate(rows) if row[1] == hole.where)]) + 1 + len(_units(hole.before))
        stop = start + len(_units(hole.old))
    return Gap(drawing, box, icon, start, stop, hole, whole)


def _cut_row(hole: Hole, closes: bool) -> tuple[Unit, ...]:
    """The path of a hole on the grid, cut where the hole begins and ends."""
    x, y = np.clip(np.round(hole.before[0][0]), 0, GRID - 1)
    return (Unit(MOVE, ((int(x), int(y)),)), *_units(hole.before), *_units(hole.old), *_units(hole.after), *([Unit(CLOSE)] if closes else []))


def _units(pieces: Sequence[Piece]) -> list[Unit]:
    cells = [c for piece in pieces if (c := rounded(piece)) is not None]
    return [Unit(LINE if len(c) == 2 else CURVE, tuple((int(x), int(y)) for x, y in c[1:])) for c in cells]


# What was written, put in

def filled(gap: Gap, tokens: Sequence[int]) -> Drawing:
    """The drawing with its gap filled by what was written after it. Raises BadInput when that does not fit: it leaves the box, draws
    nothing, cannot be a part of the path, or is what was there."""
    new = list(units_of(tokens[len(gap.given):]))
    if tuple(new) == gap.icon.units[gap.start:gap.stop] or not all(inside(p, gap.box, SLACK) for unit in new for p in unit.points):
        raise _misfit()
    head = next((i for i, unit in enumerate(new) if unit.command == MOVE), len(new)) if gap.hole else 0
    shapes = [list(shape.paths) for shape in gap.drawing.shapes]
    if gap.hole:
        shapes[gap.hole.where[0]][gap.hole.where[1]] = _joined(gap, new[:head])
    if gap.hole and gap.hole.ends is not None and head < len(new):
        raise _misfit()
    target = min((s for s, _ in gap.whole), default=painted(gap.drawing)[1][-1])
    shapes = [[path for p, path in enumerate(paths) if (s, p) not in gap.whole] for s, paths in enumerate(shapes)]
    if head < len(new) or not gap.hole:
        shapes[target] += _fresh(gap, new[head:])
    parts = [replace(shape, paths=tuple(paths)) for shape, paths in zip(gap.drawing.shapes, shapes, strict=True)]
    return replace(gap.drawing, shapes=tuple(shape for shape in parts if shape.paths))


def _misfit() -> BadInput:
    return BadInput("What was written does not fit into the gap.")


def _joined(gap: Gap, new: Sequence[Unit]) -> Path:
    """The path of the hole with the new part in it, in the drawing's units."""
    hole = gap.hole
    pieces, pen = [], hole.before[-1][-1]
    for unit in new:
        if unit.command not in (LINE, CURVE):
            raise _misfit()
        pieces.append(np.array([pen, *(_held(p, gap.box) for p in unit.points)]))
        pen = pieces[-1][-1]
    if hole.ends is not None and pieces:
        pieces[-1][-1] = hole.ends
    elif hole.ends is not None:
        pieces = [np.stack([pen, hole.ends])]
    every = [*hole.before, *pieces, *hole.after]
    closed = gap.drawing.shapes[hole.where[0]].paths[hole.where[1]].closed
    return _back(path_of(turned(every) if hole.turned else every, closed), gap.drawing)


def _fresh(gap: Gap, new: Sequence[Unit]) -> list[Path]:
    """Sub-paths of their own, in the drawing's units."""
    if not new or new[0].command != MOVE:
        raise _misfit()
    paths = []
    for row in checked(Icon(gap.icon.mode, tuple(new))).sub_paths():
        points = np.array([_held(p, gap.box) for unit in row for p in unit.points], float)
        kinds = "".join("L" if unit.command == LINE else "C" for unit in row if unit.command in (LINE, CURVE))
        paths.append(_back(Path(points, kinds, gap.icon.mode == FILL or row[-1].command == CLOSE), gap.drawing))
    return paths


def _held(point: tuple[int, int], box: Box) -> tuple[float, float]:
    """A point moved into the box; a piece whose points all lie in it does too."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _back(path: Path, drawing: Drawing) -> Path:
    matrix = to_grid(drawing)
    scale = matrix[0, 0]
    return moved(path, np.array([[1 / scale, 0, -matrix[0, 2] / scale], [0, 1 / scale, -matrix[1, 2] / scale]]))


def changes(new: Drawing, old: Drawing, region: Box) -> tuple[int, int]:
    """The largest difference of coverage, 0..255, on the sheet: in pixels that the region touches, and in those wholly outside of it."""
    apart = np.abs(_coverage(new) - _coverage(old))
    beyond, part = np.ones_like(apart), np.zeros_like(apart)
    for mask, sides, value in ((beyond, (0, 0, 1, 1), 0), (part, region, 1)):
        bounds = np.array(_in_cells(old, sides)) * CHECKED_PX / GRID
        left, top, right, bottom = (int(f(side)) for f, side in zip((np.floor, np.floor, np.ceil, np.ceil), bounds, strict=True))
        mask[top:bottom, left:right] = value
    return int((apart * part).max()), int((apart * (1 - part) * (1 - beyond)).max())


def _coverage(drawing: Drawing) -> np.ndarray:
    """int [CHECKED_PX, CHECKED_PX] from 4 x 4 samples: a single drawing at that size has but a few levels at slanted edges."""
    return cv2.resize(draw(drawing, 4 * CHECKED_PX, 5), (CHECKED_PX, CHECKED_PX), interpolation=cv2.INTER_AREA).astype(int)
