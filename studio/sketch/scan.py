"""Is a picture already a drawing of lines, such as a scan or a photo of one, and where do its lines run?

A drawing is one even sheet with thin ink on it. The sheet is found by closing (Serra 1982), which wipes away whatever is thinner than
its window; what differs from the sheet is ink. All lengths here are pixels of a picture of about 1024 px a side.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from models.lines import joined, pruned, strokes_of, thinned

COARSE = 4                                           # the sheet is looked for in a picture so many times smaller, where noise is gone
WINDOWS = (13, 27)                                   # side of the closing there, of a pen and of a marker: thinner than that is ink, not sheet
UNEVEN, UNEVEN_SHARE = 0.1, 0.025                    # a sheet may differ so much from a smooth one, elsewhere than in that share
FILL_DARKNESS, FILL_SHARE = 0.55, 0.18               # darker than this of the sheet is a black fill; how much of the sheet may be filled
BLACKBOARD, DARKEST_SHEET = 90, 50                   # of 255: below the one a sheet is taken for black, below the other for none
STRONG, WEAK = 0.2, 0.12                             # of full ink: where a line begins, and how far it is followed
PEAK, PEAK_WINDOW_PX = 0.45, 15                      # a pixel is ink where it has that share of the darkest around it: soft borders do not count
FAINTEST = 0.07                                      # contrast to the sheet, 0..1
INK_SHARE = (0.0004, 0.3)
THICK_SHARE = 0.6                                    # of the ink, for shapes that are no lines
OUTLINE_WINDOW_PX, OUTLINE_CONTRAST = 53, 0.6        # of the outlines between painted parts: how wide at most, how clear at least
MARKER_SPREAD, OUTLINE_SPREAD = 0.25, 0.15           # of the brightness within the ink: on a scan, light falls unevenly on it
DOT_PX = 150                                         # area; a larger blot is drawn by its rim
SPECK_PX = 18                                        # area


@dataclass(frozen=True)
class Ink:
    """`mask`: bool [H, W] of a drawing's ink; `width_px`: of its usual line; `fills`: bool [H, W], the part of it that is filled."""
    mask: np.ndarray
    width_px: float
    fills: np.ndarray


def ink_of(rgb: np.ndarray) -> Ink | None:
    """The ink of a line drawing, dark on light or light on dark, uint8 [H, W, 3]; None for any other picture."""
    dark = np.median(rgb.max(2)) < BLACKBOARD
    rgb = 255 - rgb if dark else rgb
    for window in WINDOWS:
        sheet = _sheet(rgb, window)
        ink = None if sheet is None else _as_lines(_inked(_contrast(rgb, sheet)))
        if ink is not None and (window == WINDOWS[0] or _spread(rgb, ink.mask) <= MARKER_SPREAD):
            return ink
    return None


def outlines_of(rgb: np.ndarray) -> Ink | None:
    """The dark outlines of a painted picture, uint8 [H, W, 3], such as a comic's; None when it has none. They are darker than what lies on
    both their sides, whatever its colour (black-hat transform, Serra 1982)."""
    value = cv2.GaussianBlur(rgb.max(2), (0, 0), 1.1)
    around = cv2.morphologyEx(value, cv2.MORPH_CLOSE, np.ones((OUTLINE_WINDOW_PX, OUTLINE_WINDOW_PX), np.uint8))
    contrast = 1 - value.astype(np.float32) / np.maximum(around, 1)
    ink = _as_lines(linked(contrast > 0.7 * OUTLINE_CONTRAST, contrast > OUTLINE_CONTRAST))
    return None if ink is None or _spread(rgb, ink.mask) > OUTLINE_SPREAD else ink


def _spread(rgb: np.ndarray, mask: np.ndarray) -> float:
    """How differently bright the inside of the ink is, 0..1: one pen is of one colour, the dark parts of a painting or a photo are not."""
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    low, high = np.percentile(rgb.max(2)[inside], (10, 90)) if inside.any() else (0, 0)
    return float(high - low) / 255


def _as_lines(mask: np.ndarray) -> Ink | None:
    """The mask as ink when it is neither too little nor too much of it and mostly lines."""
    if not INK_SHARE[0] <= mask.mean() <= INK_SHARE[1]:
        return None
    ink = _measured(mask)
    length = (mask & ~ink.fills).sum() / max(ink.width_px, 1)
    return ink if ink.fills.sum() <= THICK_SHARE * mask.sum() and length >= 6 * ink.width_px else None


def _sheet(rgb: np.ndarray, window: int) -> np.ndarray | None:
    """The sheet under the ink, float32 [H, W, 3]; None when it is too dark or not even enough to be one."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, width // COARSE), max(1, height // COARSE)), interpolation=cv2.INTER_AREA)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8)).astype(np.float32)
    smooth = _trend(closed)
    filled = closed.max(2) < FILL_DARKNESS * smooth.max(2)
    uneven = (np.abs(closed - smooth).max(2) > UNEVEN * 255) & ~filled
    if uneven.mean() > UNEVEN_SHARE or filled.mean() > FILL_SHARE or smooth.max(2).min() < DARKEST_SHEET:
        return None
    closed[cv2.dilate(filled.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0] = 0
    sheet = cv2.GaussianBlur(np.maximum(closed, 0.88 * smooth), (0, 0), window / 3)
    return cv2.resize(sheet, (width, height), interpolation=cv2.INTER_LINEAR)


def _trend(picture: np.ndarray) -> np.ndarray:
    """The quadratic surface that most of a float32 picture [h, w, 3] lies on: light falls unevenly on a sheet, but smoothly."""
    height, width = picture.shape[:2]
    y, x = (axis.ravel() for axis in np.mgrid[-1:1:height * 1j, -1:1:width * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], 1).astype(np.float32)
    flat = picture.reshape(-1, 3)
    fits = np.abs(flat - np.median(flat, 0)).max(1) < 64
    for _ in range(3):
        surface = terms @ np.linalg.lstsq(terms[fits], flat[fits], rcond=None)[0]
        off = np.abs(flat - surface).max(1)
        fits = off <= max(6.0, 1.5 * float(np.median(off)))
    return surface.reshape(picture.shape)


def _contrast(rgb: np.ndarray, sheet: np.ndarray) -> np.ndarray:
    """How much darker than the sheet, 0..1, in the channel where it shows most (coloured pens are dark in one only); float32 [H, W]."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.1).astype(np.float32)
    return (1 - soft / np.maximum(sheet, 1)).max(2).clip(0, 1)


def _inked(contrast: np.ndarray) -> np.ndarray:
    """bool [H, W]: what stands out of the noise of the sheet and is linked to something that is clearly ink."""
    middle = float(np.median(contrast))
    noise = 1.4826 * float(np.median(np.abs(contrast - middle)))
    floor = middle + max(FAINTEST, 4 * noise)
    above = contrast[contrast > floor + FAINTEST / 2]
    if above.size < INK_SHARE[0] * contrast.size / 2:
        return np.zeros(contrast.shape, bool)
    full = float(np.percentile(above, 90))
    peak = cv2.dilate(contrast, np.ones((PEAK_WINDOW_PX, PEAK_WINDOW_PX), np.uint8))
    weak = (contrast > max(floor, WEAK * full)) & (contrast > PEAK * peak)
    closed = cv2.morphologyEx(weak.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
    return linked(closed, contrast > max(floor, STRONG * full))


def linked(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """The connected parts of `weak` that hold a pixel of `strong`, bool [H, W] (hysteresis, Canny 1986)."""
    _, labels = cv2.connectedComponents(weak.astype(np.uint8))
    return weak & np.isin(labels, np.unique(labels[strong & weak]))


def _measured(mask: np.ndarray) -> Ink:
    """The usual width of the lines, along their ridge, and as fills what is more than twice as wide."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    ridge = mask & (cv2.dilate(depth, np.ones((3, 3), np.uint8)) == depth)
    width = 2 * float(np.median(depth[ridge])) if ridge.any() else 0.0
    radius = max(7, round(1.2 * width))
    core = (depth > radius).astype(np.uint8)         # opening by a disc, through distances: windows of such a size are slow
    fills = mask & (cv2.distanceTransform(1 - core, cv2.DIST_L2, 5) <= radius) if core.any() else np.zeros_like(mask)
    return Ink(mask, width, fills)


def lines_of(ink: Ink) -> list[np.ndarray]:
    """One stroke a line, int [n, 2] of (x, y), longest first; fills by their outline, dots as strokes of two points.

    Short ends that thinning leaves at the sides of a line are dropped, but every part of the drawing larger than a speck keeps a stroke.
    """
    core = cv2.erode(ink.fills.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    speck, spur = max(SPECK_PX, 0.5 * ink.width_px ** 2), max(8.0, 1.5 * ink.width_px)
    strokes = joined(strokes_of(pruned(thinned(ink.mask & ~(core > 0)), round(0.8 * spur)), 1))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(ink.mask.astype(np.uint8))
    seen = np.zeros(count, bool)
    out = []
    for stroke in strokes:
        part = labels[stroke[0, 1], stroke[0, 0]]
        if facts[part, cv2.CC_STAT_AREA] < speck or (seen[part] and len(stroke) < spur):
            continue
        blot = not seen[part] and len(stroke) < 1.2 * math.sqrt(facts[part, cv2.CC_STAT_AREA])
        seen[part] = True
        out.append(_blot(labels == part) if blot else stroke)
    return sorted(out, key=len, reverse=True)


def _blot(mask: np.ndarray) -> np.ndarray:
    """The stroke of something as wide as long: the rim of a large one, a touch of the pen for a small one."""
    if mask.sum() > DOT_PX:
        rims, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return rims[0].reshape(-1, 2)
    y, x = np.argwhere(mask).mean(0).round().astype(np.int32)
    return np.int32([(x, y), (x + 1, y)])
