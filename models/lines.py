"""Pictures to strokes and strokes to pictures: an annotator that needs no weights, and the hand it pretends to be.

A stroke is an int array [n, 2] of (x, y) pixels in drawing order. A control picture is white lines on black, as scribble and edge
ControlNets are trained (Zhang et al. 2023, section 3.3).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

NEIGHBOURS = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))   # straight steps before slanted ones
LOW, HIGH = 60, 140                                  # Canny's thresholds on 8-bit gradients
SHORTEST_PX = 10
LOOK_BACK = 6                                        # pixels of a path that tell where it is going
_RING_BITS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)     # of the neighbours: north first, clockwise
_RING_COUNT = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)


def edges(rgb: np.ndarray, high: int = HIGH) -> np.ndarray:
    """uint8 [H, W, 3] -> bool [H, W], one pixel wide: where any colour channel jumps (Canny 1986), thinned. `high`: the upper
    threshold; the lower one follows it."""
    soft = cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), 1.2)
    seen = np.maximum.reduce([cv2.Canny(np.ascontiguousarray(soft[..., c]), high * LOW // HIGH, high) for c in range(3)])
    return thinned(cv2.dilate(seen, np.ones((3, 3), np.uint8)) > 0)


def thinned(mask: np.ndarray) -> np.ndarray:
    """bool [H, W] -> its one pixel wide skeleton (Zhang & Suen 1984)."""
    p = np.pad(mask, 1).astype(np.uint8)
    thinning, stairs = _thinning_tables()
    count = -1
    while count != (count := cv2.countNonZero(p)):
        for table in thinning:
            p &= _looked_up(p, table)
    for table in stairs:
        p &= _looked_up(p, table)
    return p[1:-1, 1:-1].astype(bool)


def _looked_up(p: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table[code]` at every pixel of `p`, uint8 0/1 [H, W]; the code has one bit for each neighbour that is set, in the order of RING."""
    return cv2.LUT(cv2.filter2D(p, cv2.CV_8U, _RING_BITS, borderType=cv2.BORDER_CONSTANT), table)


@cache
def _thinning_tables() -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """What stays (1) and what goes (0) by the code of the neighbours, uint8 [256]: both sub-iterations of thinning; then the four passes,
    a quarter turn apart, that take the corners out of slanted lines, which thinning leaves two pixels wide."""
    ring = [(np.arange(256) >> bit) & 1 for bit in range(8)]         # north first, clockwise
    n, _, e, _, s, _, w, _ = ring
    count, rises = sum(ring), sum((1 - a) & b for a, b in zip(ring, (*ring[1:], n)))
    edge = (count >= 2) & (count <= 6) & (rises == 1)
    thinning = [edge & (n * e * s == 0) & (e * s * w == 0), edge & (n * e * w == 0) & (n * s * w == 0)]
    stairs = [ring[i] & ring[(i + 2) % 8] & (1 - ring[(i + 4) % 8]) & (1 - ring[(i + 6) % 8]) & (1 - ring[(i + 5) % 8]) for i in (0, 2, 4, 6)]
    return tuple((1 - t).astype(np.uint8) for t in thinning), tuple((1 - t).astype(np.uint8) for t in stairs)


def strokes_of(line: np.ndarray, shortest_px: int = SHORTEST_PX) -> list[np.ndarray]:
    """bool [H, W] of thin lines -> strokes, longest first. Ends are followed before loops; forks begin new strokes.

    Pixels are numbered by columns within a margin of one, so that a neighbour is a fixed step away and none is outside.
    """
    p = np.pad(line.T, 1).astype(np.uint8)
    neighbours = cv2.filter2D(p, cv2.CV_8U, _RING_COUNT, borderType=cv2.BORDER_CONSTANT)
    left, steps = bytearray(p.tobytes()), tuple(dx * p.shape[1] + dy for dx, dy in NEIGHBOURS)
    walked = [_walk(at, left, steps, p.shape[1]) for which in ((p > 0) & (neighbours == 1), p > 0)
              for at in np.flatnonzero(which).tolist() if left[at]]
    kept = sorted((path for path in walked if len(path) >= shortest_px), key=len, reverse=True)
    return [np.stack(np.divmod(np.array(path), p.shape[1]), 1).astype(np.int32) - 1 for path in kept]


def pruned(line: np.ndarray, shorter_px: int) -> np.ndarray:
    """bool [H, W] of thin lines without their side branches of fewer than `shorter_px` pixels, which thinning a rough line leaves."""
    p = np.pad(line.T, 1).astype(np.uint8)
    around = cv2.filter2D(p, cv2.CV_8U, _RING_COUNT, borderType=cv2.BORDER_CONSTANT)
    left, count, steps = bytearray(p.tobytes()), around.tobytes(), tuple(dx * p.shape[1] + dy for dx, dy in NEIGHBOURS)
    for end in np.flatnonzero((p > 0) & (around == 1)).tolist():
        branch, near = [end], [end + step for step in steps if left[end + step]]
        while len(near) == 1 and count[near[0]] == 2 and len(branch) < shorter_px:
            branch.append(near[0])
            near = [near[0] + step for step in steps if left[near[0] + step] and near[0] + step not in branch[-2:]]
        if len(branch) < shorter_px and near and count[near[0]] > 2:
            for at in branch:
                left[at] = 0
    out = np.frombuffer(bytes(left), np.uint8).reshape(p.shape)[1:-1, 1:-1].T
    return thinned(out > 0)                          # a fork that lost a branch may be thinner now


def _walk(start: int, left: bytearray, steps: tuple[int, ...], height: int) -> list[int]:
    """Follow a line both ways from `start`, taking its pixels out of `left`; at a fork it goes on the way it came."""
    left[start] = 0
    path = [start]
    for _ in range(2):
        at = start
        while options := [step for step in steps if left[at + step]]:
            at += options[0] if len(options) == 1 else _straightest(path, options, steps, height)
            left[at] = 0
            path.append(at)
        path.reverse()
    return path


def _straightest(path: list[int], options: list[int], steps: tuple[int, ...], height: int) -> int:
    """The one of `options` that turns least from the way over the last pixels of `path`; the first where there was none."""
    (x, y), (x0, y0) = divmod(path[-1], height), divmod(path[max(-len(path), -LOOK_BACK)], height)
    ahead = {step: ((x - x0) * dx + (y - y0) * dy) / math.hypot(dx, dy) for step, (dx, dy) in zip(steps, NEIGHBOURS)}
    return max(options, key=ahead.__getitem__)


def joined(strokes: Sequence[np.ndarray], gap_px: float = 6.0, turn_deg: float = 35.0) -> list[np.ndarray]:
    """Strokes whose ends face each other over at most `gap_px` become one: what a crossing line or a speck cut apart. The line may turn
    by `turn_deg` there. Longest first."""
    mates = _mates(strokes, gap_px, math.cos(math.radians(turn_deg)))
    out, used = [], set()
    for end in ((i, side) for i in range(len(strokes)) for side in (0, 1)):
        if end in mates or end[0] in used:
            continue
        parts = []
        while end is not None:
            used.add(end[0])
            parts.append(strokes[end[0]][::-1] if end[1] else strokes[end[0]])
            end = mates.get((end[0], 1 - end[1]))
        out.append(np.concatenate(parts))
    return sorted(out, key=len, reverse=True)


def _mates(strokes: Sequence[np.ndarray], gap_px: float, cosine: float) -> dict[tuple[int, int], tuple[int, int]]:
    """{(stroke, 0 = its first or 1 = its last point): the end it is to be joined with}, nearest ends first, never in a ring."""
    from scipy.spatial import cKDTree

    if len(strokes) < 2:
        return {}
    ends = np.array([s[-side] for s in strokes for side in (0, 1)], np.float32)
    ahead = np.array([s[-side] - s[min(LOOK_BACK, len(s) - 1) * (1 - 2 * side) - side] for s in strokes for side in (0, 1)], np.float32)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-6)
    a, b = cKDTree(ends).query_pairs(gap_px, output_type="ndarray").T
    between = ends[b] - ends[a]
    far = np.linalg.norm(between, axis=1)
    meet = (ahead[a] * -ahead[b]).sum(1) >= cosine
    aim = np.minimum((ahead[a] * between).sum(1), (ahead[b] * -between).sum(1)) >= cosine * far
    fit = np.flatnonzero(meet & (aim | (far < 2)))   # neighbours lie in one of eight directions, which says nothing of the line's
    mates: dict[tuple[int, int], tuple[int, int]] = {}
    chain = list(range(len(strokes)))                # the chain that each stroke belongs to
    for pair in fit[np.argsort(far[fit], kind="stable")]:
        one, other = divmod(int(a[pair]), 2), divmod(int(b[pair]), 2)
        if one not in mates and other not in mates and chain[one[0]] != chain[other[0]]:
            mates[one], mates[other] = other, one
            chain = [chain[one[0]] if c == chain[other[0]] else c for c in chain]
    return mates


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


def silhouette(rgb: np.ndarray, apart: int = 24) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [H, W], 255 where something stands before the paper: what differs by more than `apart` levels from the
    median colour of the border, its holes filled."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    differs = np.abs(rgb.astype(np.int16) - np.median(border, 0).astype(np.int16)).max(-1) > apart
    mask = cv2.morphologyEx(differs.astype(np.uint8) * 255, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), outlines, -1, 255, cv2.FILLED)


def chamfer(wanted: np.ndarray, found: np.ndarray) -> float:
    """Mean distance in px from a pixel of each bool drawing [H, W] to the nearest one of the other, both ways averaged; the diagonal
    where one of them is empty, 0 where both are."""
    if not wanted.any() or not found.any():
        return 0.0 if wanted.any() == found.any() else float(np.hypot(*wanted.shape))
    far = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) for mask in (found, wanted)]
    return float(far[0][wanted].mean() + far[1][found].mean()) / 2


def control_picture(rgb: np.ndarray, share: float = 1.0, seed: int = 0, width_px: float = 3.0) -> np.ndarray:
    """uint8 [H, W, 3] -> scribble control uint8 [H, W, 3]: white hand-drawn lines on black, `share` of them (0..1)."""
    rng = np.random.default_rng(seed)
    strokes = by_hand(partial(strokes_of(edges(rgb)), share, rng), rng)
    return np.repeat(drawn(strokes, (rgb.shape[1], rgb.shape[0]), width_px)[..., None], 3, 2)
