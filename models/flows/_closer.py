"""From a small alpha to a large one, along the edge only: each level is looked at in pieces with everything given but a band."""
from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from models.contracts import Cancel, Progress
from models.errors import Cancelled

NET = "matting"
COARSE_PX = 256                                      # the longer side of the first look, as in training
ONE_LOOK_PX, TILE_PX, MARGIN_PX = 512, 256, 24       # a level is looked at whole up to this, else in overlapping pieces
FACTOR = 3.0                                         # between two levels
MOST_PX = 16_000_000                                 # above, alpha is found at this many pixels and enlarged: memory stays bounded
SURE, LEEWAY = 245, 12                               # of 255


def closer(look: Callable[..., np.ndarray], rgb: np.ndarray, alpha: np.ndarray, hints: np.ndarray, progress: Progress, cancel: Cancel) -> np.ndarray:
    """Alpha uint8 [h, w] of a small picture -> float32 [H, W] of uint8 rgb [H, W, 3]; hints uint8 [H, W, 2] are the user's."""
    sizes = list(levels(rgb.shape, alpha.shape))
    for number, (width, height) in enumerate(sizes):
        level = rgb if (height, width) == rgb.shape[:2] else cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        told = hints if level is rgb else cv2.resize(hints, (width, height), interpolation=cv2.INTER_NEAREST)
        before = alpha.shape[0]
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC)
        report = lambda done, total, k=number: progress(len(sizes) + k, 3 * len(sizes), f"sharpening, piece {done + 1} of {total}")
        alpha = _sharpened(look, level, alpha, told, int(np.ceil(1.5 * height / before)) + 1, report, cancel)
    return cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255


def levels(shape: tuple[int, ...], start: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(width, height) of each level above `start` up to the picture or MOST_PX."""
    scale = min(1.0, (MOST_PX / (shape[0] * shape[1])) ** 0.5)
    last, first = max(shape[:2]) * scale, max(start[:2])
    count = int(np.ceil(np.log(max(last / first, 1)) / np.log(FACTOR) - 1e-9))
    for k in range(1, count + 1):
        part = scale if k == count else first * (last / first) ** (k / count) / max(shape[:2])
        yield max(1, round(shape[1] * part)), max(1, round(shape[0] * part))


def _sharpened(look: Callable[..., np.ndarray], rgb: np.ndarray, alpha: np.ndarray, told: np.ndarray, band_px: int,
               report: Callable[[int, int], None], cancel: Cancel) -> np.ndarray:
    """uint8 alpha of one level, looked at again where it is unsure. Nowhere does it leave the range that alpha had nearby, so a pane of
    glass stays one."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band_px + 1,) * 2)
    low, high = cv2.erode(alpha, disc), cv2.dilate(alpha, disc)
    given = np.dstack([np.where(low >= SURE, 255, 0), np.where(high <= 255 - SURE, 255, 0)]).astype(np.uint8)
    given = np.where(told.max(2, keepdims=True) > 0, told, given)
    open_band = given.max(2) == 0
    pieces = [piece for piece in tiles(open_band) if open_band[piece[0]].any()]
    out = alpha.copy()
    for number, (inner, outer) in enumerate(pieces):
        if cancel():
            raise Cancelled()
        report(number, len(pieces))
        seen = look(NET, np.ascontiguousarray(rgb[outer]), hints=np.ascontiguousarray(given[outer]))
        y, x = inner[0].start - outer[0].start, inner[1].start - outer[1].start
        seen = seen[y:y + inner[0].stop - inner[0].start, x:x + inner[1].stop - inner[1].start]
        least, most = low[inner].astype(np.int16) - LEEWAY, high[inner].astype(np.int16) + LEEWAY
        out[inner] = np.where(open_band[inner], np.clip(seen, least, most), alpha[inner])
    return out


def tiles(band: np.ndarray) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """(what is taken from a piece, the piece) over a level with an edge in bool `band` [H, W], rows and columns each."""
    height, width = band.shape
    if max(height, width) <= ONE_LOOK_PX:
        whole = tuple(_around(band.any(axis), band.shape[1 - axis]) for axis in (1, 0))
        yield whole, whole
        return
    step = TILE_PX - 2 * MARGIN_PX
    for top in range(0, height, step):
        for left in range(0, width, step):
            rows, columns = slice(top, min(height, top + step)), slice(left, min(width, left + step))
            yield (rows, columns), (_wider(rows, height), _wider(columns, width))


def _around(line: np.ndarray, limit: int) -> slice:
    """From the first to the last True of bool [N], with margins."""
    there = np.flatnonzero(line)
    return slice(max(0, int(there[0]) - MARGIN_PX), min(limit, int(there[-1]) + 1 + MARGIN_PX)) if len(there) else slice(0, limit)


def _wider(span: slice, limit: int) -> slice:
    """With its margins, moved inwards where the picture ends."""
    start = max(0, min(span.start - MARGIN_PX, limit - TILE_PX))
    return slice(start, min(limit, start + TILE_PX))
