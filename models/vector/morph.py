"""From one drawing to another by way of valid drawings: shapes matched with shapes, paths with paths, pieces with pieces.

Both paths of a pair are cut at the corners of either, by share of their length, so that t = 0 and t = 1 are the drawings themselves
and every piece in between moves straight from where it was to where it will be (Sederberg & Greenwood 1992 match polygons alike, by
least work; here the work is distance). What has no partner grows out of a point or shrinks into one.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import ImageColor

from models.errors import BadInput
from models.vector.pathdata import Path
from models.vector.vectors import Drawing, Shape

SAMPLES = 32                                         # points along a path by which starts are compared
MAX_PATHS = 400
_TABLE = np.linspace(0, 1, 17)


@dataclass(frozen=True, eq=False)
class Pair:
    """Pieces of two paths that belong together: float64 [N, 4, 2] each; closed: at the first and at the second end."""
    first: np.ndarray
    second: np.ndarray
    closed: tuple[bool, bool]


@dataclass(frozen=True)
class Morph:
    """`at(0)` is the first drawing and `at(1)` the second, on the first one's sheet."""
    sheet: tuple[float, float]
    shapes: tuple[tuple[Shape, Shape, tuple[Pair, ...]], ...]

    def at(self, t: float) -> Drawing:
        """t in [0, 1]."""
        if not 0 <= t <= 1:
            raise BadInput(f"A way between two drawings is asked for at {t}, which is outside 0..1.")
        return Drawing(*self.sheet, tuple(shape for one, other, pairs in self.shapes for shape in _painted(one, other, pairs, t)))


def between(first: Drawing, second: Drawing) -> Morph:
    """The way from one drawing to another. Raises BadInput for an empty one or one of more than MAX_PATHS paths."""
    for drawing in (first, second):
        count = sum(len(shape.paths) for shape in drawing.shapes)
        if not 0 < count <= MAX_PATHS:
            raise BadInput(f"A drawing of {count} paths cannot be changed into another.", f"Take one of 1 to {MAX_PATHS} paths.")
    scale = min(first.width / second.width, first.height / second.height)
    shift = (np.array([first.width, first.height]) - scale * np.array([second.width, second.height])) / 2
    moved = [replace(s, width=s.width * scale, paths=tuple(replace(p, points=p.points * scale + shift) for p in s.paths)) for s in second.shapes]
    ones, others = [s for s in first.shapes if s.paths], [s for s in moved if s.paths]
    rows = [(ones[i] if i is not None else None, others[j] if j is not None else None)
            for i, j in matched([_outlines(s) for s in ones], [_outlines(s) for s in others])]
    return Morph((first.width, first.height), tuple(
        (one or replace(other, width=0.0), other or replace(one, width=0.0), _pairs(one, other)) for one, other in rows))


def _outlines(shape: Shape) -> np.ndarray:
    return np.concatenate([path.points for path in shape.paths])


def matched(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> list[tuple[int | None, int | None]]:
    """(index, index) of partners by nearness of place and size, in the order of the first; then what is left alone."""
    from scipy.optimize import linear_sum_assignment
    feature = lambda points: np.array([*points.mean(0), *(points.max(0) - points.min(0))])
    if not (ones and others):
        return [(i, None) for i in range(len(ones))] + [(None, j) for j in range(len(others))]
    a, b = (np.array([feature(p) for p in side]) for side in (ones, others))
    partner = dict(zip(*(x.tolist() for x in linear_sum_assignment(np.linalg.norm(a[:, None] - b[None], axis=-1)))))
    left = set(range(len(others))) - set(partner.values())
    return [(i, partner.get(i)) for i in range(len(ones))] + [(None, j) for j in sorted(left)]


def _pairs(one: Shape | None, other: Shape | None) -> tuple[Pair, ...]:
    ones, others = (() if s is None else s.paths for s in (one, other))
    free = all(s is None or len(s.paths) == 1 or s.rule == "evenodd" or s.fill == "none" for s in (one, other))
    return tuple(_pair(ones[i] if i is not None else None, others[j] if j is not None else None, free)
                 for i, j in matched([p.points for p in ones], [p.points for p in others]))


def _pair(one: Path | None, other: Path | None, free: bool) -> Pair:
    """`free`: whether a ring may be run through the other way round, which by the nonzero rule could close a hole."""
    if one is None or other is None:
        there = cubics(one or other)
        point = np.broadcast_to(there.reshape(-1, 2).mean(0), there.shape)
        closed = ((one or other).closed,) * 2
        return Pair(point, there, closed) if one is None else Pair(there, point, closed)
    a, b = cubics(one), cubics(other)
    rings = one.closed and other.closed
    b = _aligned(a, b, rings, free or not rings)
    places = np.unique(np.round(np.concatenate([knots(a), knots(b)]), 6))
    return Pair(cut(a, places), cut(b, places), (one.closed, other.closed))


def _aligned(a: np.ndarray, b: np.ndarray, rings: bool, may_turn: bool) -> np.ndarray:
    """`b` begun at the corner, and run in the direction, in which its points lie nearest to those of `a`."""
    ways = [b, b[::-1, ::-1]] if may_turn else [b]
    ways = [np.roll(way, -k, axis=0) for way in ways for k in range(len(b) if rings else 1)]
    wanted = _centred(a)
    return min(ways, key=lambda way: float(((_centred(way) - wanted) ** 2).sum()))


def _centred(pieces: np.ndarray) -> np.ndarray:
    """SAMPLES points at equal lengths along the pieces, about their middle and of size 1."""
    at, ends = knots(pieces), np.concatenate([pieces[:, 0], pieces[-1:, 3]])
    wanted = np.linspace(0, 1, SAMPLES)
    points = np.stack([np.interp(wanted, at, ends[:, axis]) for axis in (0, 1)], 1)
    points -= points.mean(0)
    return points / max(float(np.abs(points).max()), 1e-9)


# Pieces

def cubics(path: Path) -> np.ndarray:
    """All pieces of a path as cubics [N, 4, 2], the closing line of a ring included."""
    rows = [p if kind == "C" else _straight(*p) for kind, p in path.pieces()]
    if path.closed and not np.allclose(path.points[0], path.points[-1]):
        rows.append(_straight(path.points[-1], path.points[0]))
    return np.stack(rows)


def _straight(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return np.stack([start, start + (end - start) / 3, start + (end - start) * 2 / 3, end])


def _lengths(pieces: np.ndarray) -> np.ndarray:
    """Length from the start of each piece to each of the 17 places of _TABLE: [N, 17]."""
    t = _TABLE[:, None]
    weights = np.concatenate([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t ** 2, t ** 3], 1)
    points = np.einsum("tk,nkd->ntd", weights, pieces)
    steps = np.linalg.norm(np.diff(points, axis=1), axis=2) + 1e-9
    return np.concatenate([np.zeros((len(pieces), 1)), steps.cumsum(1)], 1)


def knots(pieces: np.ndarray) -> np.ndarray:
    """Shares of the whole length, 0..1, at which the pieces begin and end: [N + 1]."""
    ends = np.concatenate([[0.0], _lengths(pieces)[:, -1].cumsum()])
    return ends / ends[-1]


def cut(pieces: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The same curve in pieces that end at `places`, which hold its own knots: [len(places) - 1, 4, 2]."""
    at, lengths = knots(pieces), _lengths(pieces)
    out = []
    for start, stop in zip(places[:-1], places[1:], strict=True):
        i = int(np.clip(np.searchsorted(at, (start + stop) / 2) - 1, 0, len(pieces) - 1))
        span = max(at[i + 1] - at[i], 1e-12)
        t0, t1 = (float(np.interp(np.clip((s - at[i]) / span, 0, 1) * lengths[i, -1], lengths[i], _TABLE)) for s in (start, stop))
        out.append(_part(pieces[i], t0, t1))
    return np.stack(out)


def _part(cubic: np.ndarray, t0: float, t1: float) -> np.ndarray:
    """The piece of a cubic from t0 to t1: its blossom at (t0, t0, t0), (t0, t0, t1), (t0, t1, t1), (t1, t1, t1)."""
    def blossom(*ts: float) -> np.ndarray:
        points = cubic
        for t in ts:
            points = points[:-1] + t * (points[1:] - points[:-1])
        return points[0]
    return np.stack([blossom(t0, t0, t0), blossom(t0, t0, t1), blossom(t0, t1, t1), blossom(t1, t1, t1)])


# Paint

def _painted(one: Shape, other: Shape, pairs: Sequence[Pair], t: float) -> list[Shape]:
    """The shape at t; where a fill becomes a stroke, the fill fades while the stroke grows."""
    paths = tuple(_path(pair, t) for pair in pairs if not (t in (0, 1) and np.ptp((pair.second if t else pair.first).reshape(-1, 2), 0).max() < 1e-9))
    mix = lambda a, b: a + (b - a) * t
    opacity, rule = mix(one.opacity, other.opacity), one.rule if t < 0.5 else other.rule
    out = []
    fills, strokes = (one.fill, other.fill), (one.stroke, other.stroke)
    if (shown := mix(*(float(c != "none") for c in fills))) > 0:
        out.append(Shape(paths, _mixed(*fills, t), "none", 0.0, rule, opacity * shown))
    if (width := mix(*(s.width * (s.stroke != "none") for s in (one, other)))) > 0:
        out.append(Shape(paths, "none", _mixed(*strokes, t), width, rule, opacity, (one if t < 0.5 else other).round))
    return out


def _path(pair: Pair, t: float) -> Path:
    pieces = pair.first + (pair.second - pair.first) * t
    points = np.concatenate([pieces[0, :1], pieces[:, 1:].reshape(-1, 2)])
    closed = all(pair.closed) or (t == 0 and pair.closed[0]) or (t == 1 and pair.closed[1])
    return Path(points, "C" * len(pieces), closed)


def _mixed(one: str, other: str, t: float) -> str:
    """"#rrggbb" between two colours; "none" stands for the other one."""
    a, b = (np.array(_rgb(c), float) for c in (one if one != "none" else other, other if other != "none" else one))
    return "#" + "".join(f"{round(v):02x}" for v in a + (b - a) * t)


def _rgb(colour: str) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(colour)[:3]
    except ValueError:
        return (0, 0, 0)
