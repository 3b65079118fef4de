"""Whether words can be read on a picture: contrast after WCAG 2.2, and how restless the picture is under them. numpy and OpenCV only."""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

ENOUGH = 4.5                                         # WCAG 2.2, success criterion 1.4.3


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance 0..1 of uint8 or 0..255 [..., 3] (WCAG 2.2, definition)."""
    c = np.asarray(rgb, np.float64) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Contrast ratio 1..21 of colours [..., 3]."""
    a, b = luminance(one), luminance(other)
    return (np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05)


def worst_contrast(ink: np.ndarray, under: np.ndarray) -> float:
    """The least contrast of one colour [3] with any pixel of `under` [..., 3]."""
    return float(contrast(np.asarray(ink), under.reshape(-1, 3)).min())


def best_ink(under: np.ndarray, inks: Sequence[tuple[int, int, int]]) -> tuple[tuple[int, int, int], float]:
    """The first of `inks` that is read everywhere on `under`, else the one whose worst contrast is best; with that contrast."""
    rated = [(ink, worst_contrast(np.array(ink), under)) for ink in inks]
    return next((pair for pair in rated if pair[1] >= ENOUGH), max(rated, key=lambda pair: pair[1]))


def edge_energy(rgb: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Mean slope of brightness (0..255 a pixel, Sobel) inside a box in pixels: 0 where a picture is calm."""
    x0, y0, x1, y1 = (max(0, round(v)) for v in box)
    part = np.ascontiguousarray(rgb[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1), :3])
    if not part.size:
        return 0.0
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).mean() / 8)
