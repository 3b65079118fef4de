"""Pictures to strokes and strokes to pictures: an annotator that needs no weights, and the hand it pretends to be.

A stroke is an int array [n, 2] of (x, y) pixels in drawing order. A control picture is white lines on black, as scribble and edge
ControlNets are trained (Zhang et al. 2023, section 3.3).
"""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

NEIGHBOURS = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))   # straight steps before slanted ones
LOW, HIGH = 60, 140                                  # Canny's thresholds on 8-bit gradients
SHORTEST_PX = 10


def edges(rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> bool [H, W], one pixel wide: where any colour channel jumps (Canny 1986), thinned."""
    soft = cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), 1.2)
    seen = np.maximum.reduce([cv2.Canny(np.ascontiguousarray(soft[..., c]), LOW, HIGH) for c in range(3)])
    return thinned(cv2.dilate(seen, np.ones((3, 3), np.uint8)) > 0)


def thinned(mask: np.ndarray) -> np.ndarray:
    """bool [H, W] -> its one pixel wide skeleton (Zhang & Suen 1984)."""
    p = np.pad(mask, 1).astype(np.uint8)
    while True:
        before = int(p.sum())
        for odd in (0, 1):
            p[1:-1, 1:-1] &= ~_removable(p, odd)
        if int(p.sum()) == before:
            return _without_stairs(p)[1:-1, 1:-1].astype(bool)


def _without_stairs(p: np.ndarray) -> np.ndarray:
    """Takes the corners out of slanted lines, which thinning leaves two pixels wide, one quarter turn after the other."""
    for _ in range(4):
        n, e, s, w = p[:-2, 1:-1], p[1:-1, 2:], p[2:, 1:-1], p[1:-1, :-2]
        p[1:-1, 1:-1] &= 1 - (n & e & (1 - s) & (1 - w) & (1 - p[2:, :-2]))
        p = np.rot90(p).copy()
    return p


def _removable(p: np.ndarray, odd: int) -> np.ndarray:
    """The inner pixels of padded `p` that sub-iteration `odd` takes away, uint8 0/1 [H, W]."""
    n, ne, e, se, s, sw, w, nw = (p[1 + dy:p.shape[0] - 1 + dy, 1 + dx:p.shape[1] - 1 + dx] for dy, dx in
                                  ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)))
    ring = (n, ne, e, se, s, sw, w, nw)
    count = sum(x.astype(np.int8) for x in ring)
    rises = sum(((a == 0) & (b == 1)).astype(np.int8) for a, b in zip(ring, (*ring[1:], n)))
    open_sides = (n * e * w == 0) & (n * s * w == 0) if odd else (n * e * s == 0) & (e * s * w == 0)
    return ((p[1:-1, 1:-1] == 1) & (count >= 2) & (count <= 6) & (rises == 1) & open_sides).astype(np.uint8)


def strokes_of(line: np.ndarray, shortest_px: int = SHORTEST_PX) -> list[np.ndarray]:
    """bool [H, W] of thin lines -> strokes, longest first. Ends are followed before loops; forks begin new strokes."""
    left = {(int(x), int(y)) for y, x in np.argwhere(line)}
    ends = [p for p in sorted(left) if sum((p[0] + dx, p[1] + dy) in left for dx, dy in NEIGHBOURS) == 1]
    out = []
    for start in (*ends, *sorted(left)):
        if start in left:
            out.append(_walk(start, left))
    return sorted((np.int32(s) for s in out if len(s) >= shortest_px), key=len, reverse=True)


def _walk(start: tuple[int, int], left: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Follow a line both ways from `start`, taking its pixels out of `left`; goes straight on where it can."""
    left.discard(start)
    path = [start]
    for _ in range(2):
        direction = (0, 0)
        while True:
            x, y = path[-1]
            options = [(dx, dy) for dx, dy in NEIGHBOURS if (x + dx, y + dy) in left]
            if not options:
                break
            direction = max(options, key=lambda d: d[0] * direction[0] + d[1] * direction[1])
            path.append((x + direction[0], y + direction[1]))
            left.discard(path[-1])
        path.reverse()
    return path


def drawn(strokes: Sequence[np.ndarray], size: tuple[int, int], width_px: float = 3.0) -> np.ndarray:
    """Strokes on black, uint8 [H, W]; size = (width, height)."""
    canvas = np.zeros((size[1], size[0]), np.uint8)
    for stroke in strokes:
        if len(stroke):
            cv2.polylines(canvas, [np.int32(stroke).reshape(-1, 1, 2)], False, 255, max(1, round(width_px)), cv2.LINE_AA)
    return canvas


def partial(strokes: Sequence[np.ndarray], share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The first `share` (0..1) of a drawing's length, as a person might have begun it: outlines first, details later, not strictly."""
    if not strokes:
        return []
    order = np.argsort([-np.log(len(s)) + rng.normal(0, 0.7) for s in strokes])
    budget = share * sum(len(s) for s in strokes)
    out: list[np.ndarray] = []
    for i in order:
        if budget < 2:
            break
        stroke = strokes[i] if rng.random() < 0.5 else strokes[i][::-1]
        out.append(stroke[:int(budget) + 1])
        budget -= len(out[-1])
    return out


def by_hand(strokes: Sequence[np.ndarray], rng: np.random.Generator, wobble_px: float = 1.5) -> list[np.ndarray]:
    """Strokes as a hand repeats them: fewer corners, a little moved, scaled and shaky."""
    out = []
    for stroke in strokes:
        few = cv2.approxPolyDP(np.int32(stroke).reshape(-1, 1, 2), rng.uniform(0.5, 2.5), False).reshape(-1, 2).astype(float)
        centre = few.mean(0)
        few = centre + (few - centre) * rng.normal(1, 0.02) + rng.normal(0, wobble_px, 2)
        out.append(np.round(few + rng.normal(0, wobble_px / 3, few.shape)).astype(np.int32))
    return out


def agreement(wanted: np.ndarray, found: np.ndarray, within_px: float = 4.0) -> tuple[float, float, float]:
    """(recall, precision, F1) of two bool line drawings [H, W]: the share of wanted pixels with a found one within `within_px`, the
    share of found ones with a wanted one near, and their harmonic mean. Nothing wanted and nothing found agree fully."""
    if not wanted.any() or not found.any():
        same = float(wanted.any() == found.any())
        return same, same, same
    far = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) for mask in (found, wanted)]
    recall, precision = float((far[0][wanted] <= within_px).mean()), float((far[1][found] <= within_px).mean())
    return recall, precision, 2 * recall * precision / max(recall + precision, 1e-9)


def control_picture(rgb: np.ndarray, share: float = 1.0, seed: int = 0, width_px: float = 3.0) -> np.ndarray:
    """uint8 [H, W, 3] -> scribble control uint8 [H, W, 3]: white hand-drawn lines on black, `share` of them (0..1)."""
    rng = np.random.default_rng(seed)
    strokes = by_hand(partial(strokes_of(edges(rgb)), share, rng), rng)
    return np.repeat(drawn(strokes, (rgb.shape[1], rgb.shape[0]), width_px)[..., None], 3, 2)
