"""Boxes that do not get in each other's way: simulated annealing, and the layout of many words in one picture.

Boxes are float64 [n, 4] of (x0, y0, x1, y1) in pixels. Annealing after Kirkpatrick et al. 1983; the energy of words after the layout
repair for long captions of Lakhanpal et al. 2024 (arXiv 2403.16422): overlaps go away while words stay near where they were put.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from models.job import Extent

HOT, COOLING, MOVES = 1.0, 0.95, 300
OUTSIDE, AWAY, DISORDER, LOW = 4.0, 0.5, 0.5, 6.0     # weights beside the overlap, whose weight is OVERLAP
OVERLAP = 4.0
LEAST_HEIGHT = 0.1                                   # of the shorter side: smaller words cannot be painted
MOST_LINES = 4
CLEAR = 0.02                                         # of the shorter side: what stays free between words and to the edge
S = TypeVar("S")


def anneal(start: S, energy: Callable[[S], float], move: Callable[[S, float], S], rng: np.random.Generator, moves: int = MOVES, hot: float = HOT,
           cooling: float = COOLING) -> tuple[S, float]:
    """The best state seen, and its energy. `move(state, heat)` proposes; heat goes from 1 down. Worse states are taken with
    probability exp(-rise / temperature); the temperature falls by `cooling` every hundredth of the moves."""
    now, value = start, energy(start)
    best, least = now, value
    for step in range(moves):
        heat = cooling ** (100 * step / moves)
        tried = move(now, heat)
        rise = (new := energy(tried)) - value
        if rise < 0 or rng.random() < math.exp(-min(700.0, rise / max(1e-9, hot * heat))):
            now, value = tried, new
            if value < least:
                best, least = now, value
    return best, least


def shared_share(boxes: np.ndarray) -> np.ndarray:
    """[n, n]: intersection of two boxes over the area of the smaller one; 0 on the diagonal."""
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    share = both / np.maximum(1e-9, np.minimum(area[:, None], area[None]))
    np.fill_diagonal(share, 0)
    return share


def outside(boxes: np.ndarray, extent: Extent, margin: float = 0.0) -> float:
    """How far boxes reach over the canvas less its margin, summed over their sides, as a share of the shorter side."""
    low = np.clip(margin - boxes[:, :2], 0, None).sum()
    high = np.clip(boxes[:, 2:] - (np.array([extent.width, extent.height]) - margin), 0, None).sum()
    return float(low + high) / min(extent.width, extent.height)


def reversed_pairs(boxes: np.ndarray) -> int:
    """How many pairs are read in the wrong order: rows from above, each from the left. Boxes share a row when they share more than half
    of the lower one's height."""
    wrong = 0
    for i in range(len(boxes)):
        for j in range(i + 1, len(boxes)):
            a, b = boxes[i], boxes[j]
            row = min(a[3], b[3]) - max(a[1], b[1]) > 0.5 * min(a[3] - a[1], b[3] - b[1])
            wrong += a[0] > b[0] if row else a[1] > b[1]
    return wrong


def words_energy(boxes: np.ndarray, first: np.ndarray, extent: Extent) -> float:
    """What is wrong with a layout of words: overlap, reach over the edge, distance from where they were, order, and lowness."""
    side = min(extent.width, extent.height)
    grown = boxes + np.array([-1, -1, 1, 1]) * CLEAR * side / 2
    overlap = shared_share(grown).sum() / 2
    moved = np.linalg.norm((boxes[:, :2] + boxes[:, 2:] - first[:, :2] - first[:, 2:]) / 2, axis=1).sum() / side
    low = np.clip(LEAST_HEIGHT - (boxes[:, 3] - boxes[:, 1]) / side, 0, None).sum()
    return float(OVERLAP * overlap + OUTSIDE * outside(boxes, extent, CLEAR * side) + AWAY * moved + DISORDER * reversed_pairs(boxes) + LOW * low)


def moved_words(boxes: np.ndarray, heat: float, extent: Extent, rng: np.random.Generator) -> np.ndarray:
    """One proposal: half of them shift a word, three of ten scale one by .8 to 1.2 about its centre, the rest swap two places."""
    out, which = boxes.copy(), rng.integers(len(boxes))
    kind = rng.random()
    if kind < 0.5 or len(boxes) < 2 and kind >= 0.8:
        sigma = 0.05 * min(extent.width, extent.height) * (0.3 + 0.7 * heat)
        out[which] += np.tile(rng.normal(0, sigma, 2), 2)
    elif kind < 0.8:
        out[which] = scaled(out[which], rng.uniform(0.8, 1.2))
    else:
        other = (which + rng.integers(1, len(boxes))) % len(boxes)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        out[which] += np.tile(centres[other] - centres[which], 2)
        out[other] += np.tile(centres[which] - centres[other], 2)
    return out


def scaled(box: np.ndarray, factor: float) -> np.ndarray:
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * factor
    return np.concatenate([middle - half, middle + half])


def apart(boxes: np.ndarray, extent: Extent, seed: int = 0, moves: int = 0) -> np.ndarray:
    """The words' boxes moved and scaled until nothing overlaps or leaves the canvas, near where they were. Deterministic. At first as many
    moves as it takes for so many words; where an overlap stays, again from there up to four times."""
    rng, best = np.random.default_rng(seed), np.asarray(boxes, float)
    first, moves = best.copy(), moves or MOVES * max(2, len(boxes))
    for hot in (HOT, 0.3, 0.3, 0.3):
        best, _ = anneal(best, lambda b: words_energy(b, first, extent), lambda b, heat: moved_words(b, heat, extent, rng), rng, moves, hot)
        if shared_share(best).max(initial=0) == 0 and outside(best, extent) == 0:
            break
    return best


def lined_up(sizes: Sequence[tuple[float, float]], extent: Extent, share: float = 0.86) -> np.ndarray:
    """Words of (width, height) at one size, set greedily into up to four lines in the middle of the canvas, as large as the lines fit
    `share` of its width and half of its height. [n, 4], in reading order."""
    sizes_ = np.asarray(sizes, float)
    height = sizes_[:, 1].max()
    ways = [_rows(sizes_[:, 0], 0.35 * height, count) for count in range(1, min(MOST_LINES, len(sizes_)) + 1)]
    fit = lambda rows: min(share * extent.width / max(wide for _, wide in rows), 0.55 * extent.height / (1.25 * height * len(rows)))
    rows = max(ways, key=fit)
    scale, boxes = fit(rows), []
    top = (extent.height - 1.25 * height * scale * len(rows)) / 2
    for number, (members, wide) in enumerate(rows):
        x = (extent.width - wide * scale) / 2
        for k in members:
            y = top + 1.25 * height * scale * number + (height - sizes_[k, 1]) * scale
            boxes.append([x, y, x + sizes_[k, 0] * scale, y + sizes_[k, 1] * scale])
            x += (sizes_[k, 0] + 0.35 * height) * scale
    return np.array(boxes)


def _rows(widths: np.ndarray, gap: float, count: int) -> list[tuple[list[int], float]]:
    """[(members, width)] of at most `count` rows, greedily, with the least limit that lets them hold all."""
    whole = widths.sum() + gap * (len(widths) - 1)
    for limit in np.linspace(max(widths.max(), whole / count), whole, 24):
        rows: list[tuple[list[int], float]] = []
        for k, wide in enumerate(widths):
            if rows and rows[-1][1] + gap + wide <= limit + 1e-6:
                rows[-1] = (rows[-1][0] + [k], rows[-1][1] + gap + wide)
            else:
                rows.append(([k], float(wide)))
        if len(rows) <= count:
            return rows
    return [(list(range(len(widths))), float(whole))]
