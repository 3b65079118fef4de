"""A whole object with alpha from a base that paints opaque pictures, without training: Alfie (Quattrini et al. 2024, arXiv 2408.14826).

Two things are done. While painting, a frame around the picture follows the words "a white background" (a Region of the job), so nothing
is cut off by the edge. Then attention maps say where the thing is: those of its nouns seed GrabCut (Rother et al. 2004), and spread along
the picture's self-attention they give a soft alpha inside what GrabCut found. numpy and OpenCV only; maps come from the adapter
attention_record as Result.seen.
"""
from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from models.job import Extent, Picture, Region

BORDER = 1 / 8                                       # of each side, on every side
PAPER_WORDS = "a white background"
SURE, MAYBE, HARDLY = 0.8, 0.3, 0.1                  # of a noun map's maximum: sure thing, maybe thing, maybe background, sure background
ROUNDS = 5                                           # of GrabCut
INNER = 0.8                                          # the fallback: a rectangle of this share of each side
SOFTNESS = 0.5                                       # Alfie's k
Seen = Mapping[str, np.ndarray]


def frame(extent: Extent, border: float = BORDER) -> np.ndarray:
    """uint8 [H, W]: 255 in the outer `border` share of each side."""
    across, down = round(border * extent.width), round(border * extent.height)
    out = np.full((extent.height, extent.width), 255, np.uint8)
    out[down:extent.height - down, across:extent.width - across] = 0
    return out


def paper_around(extent: Extent, border: float = BORDER, words: str = PAPER_WORDS) -> Region:
    """The border split as a region of a job: x0 = (1 - m) * D(paper) + m * D(subject), m = 1 inside (Alfie, section 3.1)."""
    return Region(words, Picture.from_array(frame(extent, border)))


def normal(values: np.ndarray) -> np.ndarray:
    """To 0..1 by minimum and maximum; a flat map becomes 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def raised(grid: np.ndarray, extent: Extent) -> np.ndarray:
    """A map [h, w] in the picture's size, bicubic, never below 0."""
    return cv2.resize(grid.astype(np.float32), (extent.width, extent.height), interpolation=cv2.INTER_CUBIC).clip(0)


def noun_maps(seen: Seen, extent: Extent, sample: int = 0) -> np.ndarray:
    """float32 [nouns, H, W] in 0..1: where each noun speaks, the mean over the recorded grids."""
    grids = [maps[sample] for name, maps in seen.items() if name.startswith("cross")]
    if not grids or not len(grids[0]):
        return np.zeros((0, extent.height, extent.width), np.float32)
    return np.stack([normal(np.mean([raised(grid[n], extent) for grid in grids], 0)) for n in range(len(grids[0]))])


def spread(seen: Seen, extent: Extent, sample: int = 0) -> np.ndarray:
    """Alfie's ff, float32 [H, W] in 0..1: the mean noun map carried along self-attention, ff[q] = sum_p A[p] S[p, q]."""
    found = []
    for name, maps in seen.items():
        if name.startswith("self"):
            cross = seen[name.replace("self", "cross")][sample]
            start = np.mean([normal(one) for one in cross], 0) if len(cross) else np.ones(cross.shape[1:], np.float32)
            found.append(raised((start.ravel() @ maps[sample]).reshape(start.shape), extent))
    return normal(np.mean(found, 0)) if found else np.zeros((extent.height, extent.width), np.float32)


def seeds(maps: np.ndarray, border: np.ndarray | None = None) -> np.ndarray:
    """GrabCut's labels uint8 [H, W] from noun maps [nouns, H, W]; a place belongs to a thing as much as its strongest noun says. Where
    `border` (bool) is True is background."""
    best = maps.max(0)
    labels = np.full(best.shape, cv2.GC_BGD, np.uint8)
    for limit, label in ((HARDLY, cv2.GC_PR_BGD), (MAYBE, cv2.GC_PR_FGD), (SURE, cv2.GC_FGD)):
        labels[best >= limit] = label
    if border is not None:
        labels[border] = cv2.GC_BGD
    return labels


def rectangle(shape: tuple[int, ...], inner: float = INNER) -> np.ndarray:
    """Labels of the fallback: maybe thing in the inner part, background around it."""
    height, width = shape[:2]
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    down, across = round(height * (1 - inner) / 2), round(width * (1 - inner) / 2)
    labels[down:height - down, across:width - across] = cv2.GC_PR_FGD
    return labels


def grabbed(rgb: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Bool [H, W]: what GrabCut takes for the thing in uint8 [H, W, 3]; with an empty class, from the rectangle instead. Holes stay."""
    thing, around = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)), np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD))
    labels = (labels if thing.any() and around.any() else rectangle(rgb.shape)).copy()
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(bgr, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:                                # one colour all over: there is nothing to tell apart
        return thing
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def alpha_of(rgb: np.ndarray, seen: Seen, sample: int = 0, softness: float = SOFTNESS, border: float = 0.0) -> np.ndarray:
    """float32 [H, W] in 0..1 of the thing in uint8 [H, W, 3]: 1{GrabCut} * clip((1 + k) * norm(ff + A), 0, 1), k = softness.

    Without nouns the rectangle seeds GrabCut and alpha is hard."""
    extent = Extent(rgb.shape[1], rgb.shape[0])
    maps = noun_maps(seen, extent, sample)
    edge = frame(extent, border) > 0 if border else None
    if not len(maps) or not maps.any():
        return grabbed(rgb, rectangle(rgb.shape)).astype(np.float32)
    hard = grabbed(rgb, seeds(maps, edge))
    return hard * ((1 + softness) * normal(spread(seen, extent, sample) + maps.mean(0))).clip(0, 1)
