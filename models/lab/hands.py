"""Three simulated hands that draw the same strokes differently, so that a likeness is tested on a hand it was not trained on.

The tracer stands for a generator of sketches (models.lines.by_hand): it follows the contour, shaky at worst. The artist redraws:
a few smooth control points, stray ends, strokes forgotten or drawn twice, the whole a little turned, stretched and bent. The
stranger is for tests only: angular main lines that sit wrongly towards each other. Coordinates are pixels of 256.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from models.lines import by_hand, partial

Strokes = Sequence[np.ndarray]                       # each [n, 2] (x, y) in pixels, in drawing order
Hand = Callable[[Strokes, float, np.random.Generator], list[np.ndarray]]
SIDE_PX = 256


def tracer(strokes: Strokes, share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Contours as they are, from nearly exact to very shaky; `share` (0..1) of their length."""
    return by_hand(partial(strokes, share, rng), rng, float(np.exp(rng.normal(0.5, 0.7))))


def artist(strokes: Strokes, share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The same things drawn again by somebody who looks and has a style."""
    out: list[np.ndarray] = []
    spacing = rng.uniform(5, 16)
    for stroke in partial(strokes, share, rng):
        if rng.random() < (0.35 if len(stroke) < 25 else 0.07) and out:
            continue                                 # forgotten
        for _ in range(2 if rng.random() < 0.08 else 1):
            out.append(_ends(_smooth(stroke, spacing, rng), rng))
    return _bent(out, rng)


def stranger(strokes: Strokes, share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Main lines only, angular, each a little off its place; one half of the sheet wider than the other."""
    chosen = partial(strokes, share, rng)
    longest = max((len(s) for s in chosen), default=0)
    power = np.exp(rng.normal(0, 0.12, 2))
    out = []
    for stroke in chosen:
        if len(stroke) < 0.12 * longest:
            continue
        few = cv2.approxPolyDP(np.int32(stroke).reshape(-1, 1, 2), rng.uniform(2.5, 6), False).reshape(-1, 2).astype(float)
        few = _similar(few, rng, turn_deg=6, scale=0.08, shift_px=4) + rng.normal(0, 1.0, few.shape)
        out.append((few.clip(0, SIDE_PX) / SIDE_PX) ** power * SIDE_PX)
    return out


def shares(count: int, rng: np.random.Generator, whole: float = 0.5) -> np.ndarray:
    """How much of a drawing is there, [count] in 0.1..1: all of it in `whole` of the cases."""
    some = rng.uniform(0.1, 1.0, count)
    some[rng.random(count) < whole] = 1.0
    return some


def inked(strokes: Strokes) -> np.ndarray:
    """bool [S, S] of one pixel wide strokes, moved to where they fit; nothing is cut off at the edge of a sheet."""
    if not len(strokes):
        return np.zeros((SIDE_PX, SIDE_PX), bool)
    corner = np.min([s.min(0) for s in strokes], 0)
    reach = np.max([s.max(0) for s in strokes], 0) - corner
    canvas = np.zeros((int(reach[1]) + 3, int(reach[0]) + 3), np.uint8)
    cv2.polylines(canvas, [np.int32(np.round(s - corner + 1)).reshape(-1, 1, 2) for s in strokes], False, 1)
    return canvas.astype(bool)


def _smooth(stroke: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Every `spacing`-th point, off by a slowly wandering error, joined by a smooth curve (Chaikin 1974)."""
    count = max(2, round(len(stroke) / spacing) + 1)
    few = stroke[np.linspace(0, len(stroke) - 1, count).round().astype(int)].astype(float)
    drift = np.cumsum(rng.normal(0, 0.9, few.shape), 0)
    few += drift - np.linspace(0, 1, count)[:, None] * drift[-1] * rng.random() + rng.normal(0, 1.0, 2)
    for _ in range(2):
        cut = np.stack([0.75 * few[:-1] + 0.25 * few[1:], 0.25 * few[:-1] + 0.75 * few[1:]], 1).reshape(-1, 2)
        few = np.concatenate([few[:1], cut, few[-1:]])
    return few


def _ends(stroke: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Overshot or stopped short at the end."""
    what, last = rng.random(), len(stroke) - 1
    if what < 0.3 and last > 2:
        ahead = stroke[-1] - stroke[-3]
        return np.concatenate([stroke, stroke[-1:] + ahead / (np.hypot(*ahead) + 1e-6) * rng.uniform(2, 12)])
    return stroke[:max(2, round(last * rng.uniform(0.85, 1)))] if what < 0.6 else stroke


def _bent(strokes: Strokes, rng: np.random.Generator) -> list[np.ndarray]:
    """The whole turned, stretched, slanted, and bent by two slow waves."""
    turn, slant = np.radians(rng.normal(0, 5)), rng.normal(0, 0.06)
    wide, high = np.exp(rng.normal(0, 0.09, 2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[wide, slant], [0, high]])
    waves = [(rng.normal(0, 3, 2), rng.normal(0, 0.025, 2), rng.uniform(0, 6.3)) for _ in range(2)]
    bend = lambda p: p + sum(np.sin(p @ along + phase)[:, None] * push for push, along, phase in waves)
    return [bend((s - SIDE_PX / 2) @ matrix.T) + SIDE_PX / 2 for s in strokes]


def _similar(points: np.ndarray, rng: np.random.Generator, turn_deg: float, scale: float, shift_px: float) -> np.ndarray:
    """Points turned, scaled and shifted about their own centre."""
    turn, size, centre = np.radians(rng.normal(0, turn_deg)), np.exp(rng.normal(0, scale)), points.mean(0)
    matrix = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (points - centre) @ matrix.T + centre + rng.normal(0, shift_px, 2)
