"""Pieces of a path cut at the border of a box, so that what lies outside of it can stay exactly while the inside is drawn anew.

A piece is float64 [2, 2] (straight) or [4, 2] (cubic) with the point it starts at; a box is (left, top, right, bottom) in its units.
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from models.vector.pathdata import Path

Piece = np.ndarray
Box = Sequence[float]
Run = tuple[bool, list[Piece]]                       # whether it lies inside; its pieces, each beginning where the one before ends


def inside(point: Sequence[float], box: Box, slack: float = 0.0) -> bool:
    return box[0] - slack <= point[0] <= box[2] + slack and box[1] - slack <= point[1] <= box[3] + slack


def pieces_of(path: Path, matrix: np.ndarray, ring: bool) -> list[Piece]:
    """The path's pieces by an affine [2, 3]; of a ring also the straight one that closes it."""
    out = [points @ matrix[:, :2].T + matrix[:, 2] for _, points in path.pieces()]
    if ring and np.abs(out[0][0] - out[-1][-1]).max() > 1e-6:
        out.append(np.stack([out[-1][-1], out[0][0]]))
    return out


def runs_of(pieces: Sequence[Piece], box: Box) -> list[Run]:
    """What lies inside and outside by turns, in the path's order; pieces are cut where they cross the border, and only there."""
    parts = [part for piece in pieces for part in _parts(piece, box)]
    return [(within, [piece for _, piece in run]) for within, run in groupby(parts, key=lambda part: part[0])]


def _parts(piece: Piece, box: Box) -> list[tuple[bool, Piece]]:
    """One piece as (inside, part), cut where it crosses the border."""
    cuts = [0.0, *_crossings(piece, box), 1.0]
    within = [inside(at(piece, (a + b) / 2), box) for a, b in zip(cuts, cuts[1:])]
    changes = [i for i in range(1, len(within)) if within[i] != within[i - 1]]
    begins, ends = [0, *changes], [*changes, len(within)]
    return [(within[b], between(piece, cuts[b], cuts[e])) for b, e in zip(begins, ends, strict=True)]


def _crossings(piece: Piece, box: Box) -> list[float]:
    """Where in 0..1 a piece meets one of the four lines that the box lies between, in order."""
    p = piece
    rows = [p[1] - p[0], p[0]] if len(p) == 2 else [p[3] - 3 * p[2] + 3 * p[1] - p[0], 3 * (p[2] - 2 * p[1] + p[0]), 3 * (p[1] - p[0]), p[0]]
    found: list[float] = []
    for axis in (0, 1):
        for line in (box[axis], box[axis + 2]):
            row = np.array([r[axis] for r in rows])
            row[-1] -= line
            roots = np.roots(np.trim_zeros(np.where(np.abs(row) < 1e-9, 0.0, row), "f"))
            found += [float(r.real) for r in roots if abs(r.imag) < 1e-9 and 1e-6 < r.real < 1 - 1e-6]
    return sorted(found)


def at(piece: Piece, t: float) -> np.ndarray:
    """The point [2] of a piece at t in 0..1."""
    return between(piece, 0.0, t)[-1]


def between(piece: Piece, a: float, b: float) -> Piece:
    """The part of a piece from a to b, exactly the piece for 0 and 1 (de Casteljau)."""
    if b < 1:
        rows = [piece]
        while len(rows[-1]) > 1:
            rows.append(rows[-1][:-1] * (1 - b) + rows[-1][1:] * b)
        piece = np.stack([row[0] for row in rows])
        a = a / b if b else 0.0
    return between(piece[::-1], 0.0, 1 - a)[::-1] if a > 0 else piece


def length(pieces: Sequence[Piece]) -> float:
    """About as long as the pieces are."""
    ts = np.linspace(0, 1, 5)
    return float(sum(np.hypot(*np.diff(np.stack([at(p, t) for t in ts]), axis=0).T).sum() for p in pieces))


def turned(pieces: Sequence[Piece]) -> list[Piece]:
    """The same way back."""
    return [piece[::-1] for piece in reversed(pieces)]


def path_of(pieces: Sequence[Piece], closed: bool) -> Path:
    kinds = "".join("L" if len(piece) == 2 else "C" for piece in pieces)
    return Path(np.concatenate([pieces[0][:1], *(piece[1:] for piece in pieces)]), kinds, closed)
