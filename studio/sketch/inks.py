"""What the colours of a sketch mean, and the sketch taken apart by them.

The page draws in flat inks on white paper; an antialiased pixel is paper mixed with one ink, 255 + a (ink - 255) with coverage a.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

DETAIL, BLOCK = "#1d1b1a", "#2f9e5b"
OBJECTS = ("#d24a31", "#3557b7", "#f0a020", "#7b4fb3", "#12808a", "#b3417e")
COVERED = 0.4                                        # share of a pixel that makes it drawn
PEN_PX = 5                                           # lines grow by this: the control was trained on lines of 2 to 5 px at 256
WIDEST_PX = 40                                       # half a stroke's width; what is broader is an area, of which the core stays
RIDGE = 0.7                                          # of a block stroke's half width: what is nearer to its middle counts as its line


@dataclass(frozen=True)
class Drawn:
    """Which pixels [512, 512] bool each ink covers. Inks without a pixel are missing."""
    masks: dict[str, np.ndarray]

    def of(self, ink: str) -> np.ndarray | None:
        return self.masks.get(ink)

    @property
    def objects(self) -> tuple[str, ...]:
        return tuple(ink for ink in OBJECTS if ink in self.masks)


def _rgb(ink: str) -> np.ndarray:
    return np.array([int(ink[i:i + 2], 16) for i in (1, 3, 5)], np.float32)


INKS = (DETAIL, BLOCK, *OBJECTS)
_PULL = np.stack([255 - _rgb(ink) for ink in INKS])  # how far each ink is from paper, [inks, 3]


def separate(canvas: np.ndarray) -> Drawn:
    """uint8 [H, W, 3] -> the pixels of each ink. Colours that are no ink (a pasted photo) count as the nearest one."""
    rows, columns = np.nonzero(canvas.min(2) < 250)
    pull = 255 - canvas[rows, columns].astype(np.float32)
    coverage = np.clip(pull @ _PULL.T / (_PULL ** 2).sum(1), 0, 1)
    away = ((pull[:, None] - coverage[..., None] * _PULL) ** 2).sum(2)
    ink = away.argmin(1)
    drawn = coverage[np.arange(len(ink)), ink] >= COVERED
    masks: dict[str, np.ndarray] = {}
    for k in np.unique(ink[drawn]):
        chosen = drawn & (ink == k)
        mask = np.zeros(canvas.shape[:2], bool)
        mask[rows[chosen], columns[chosen]] = True
        masks[INKS[k]] = mask
    return Drawn(masks)


def lines_of(masks: Sequence[np.ndarray], side_px: int) -> np.ndarray:
    """Masks [512, 512] of strokes -> their lines as a control picture uint8 [side, side, 1], white on black."""
    joined = np.zeros((512, 512), np.uint8) if not masks else np.maximum.reduce([_line(m) for m in masks])
    return cv2.resize(joined, (side_px, side_px), interpolation=cv2.INTER_AREA)[..., None]


def _line(mask: np.ndarray) -> np.ndarray:
    """A pen line grows to the width that controls know; of a broad stroke only the middle stays. uint8 0 or 255."""
    shape = mask.astype(np.uint8)
    depth = cv2.distanceTransform(shape, cv2.DIST_L2, 5)
    widest = min(WIDEST_PX, int(depth.max()))
    if widest > PEN_PX:
        hill = cv2.dilate(depth, np.ones((2 * widest + 1,) * 2, np.uint8))
        shape = ((depth > 0) & (depth >= RIDGE * hill)).astype(np.uint8)
    return cv2.dilate(shape, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (PEN_PX, PEN_PX))) * 255
