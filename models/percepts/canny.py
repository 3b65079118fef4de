"""Canny's edges (Canny 1986) with thresholds that follow the picture, without weights."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from models.devices import Device
from models.percepts._plain import Plain
from models.spec import PerceptSpec

SPECS = (PerceptSpec(id="canny", title="Canny edges", files=(), bytes=0, licence="Apache-2.0"),)
SOFTEN_PX = 1.2
FLOOR = 24                                           # |dx| + |dy| of noise and slow shading, in the units of Sobel's 3x3 operator
HIGH_OF_MEDIAN, HIGH_OF_STEEP, LOW_OF_HIGH = 2.0, 0.6, 0.4
HIGH_RANGE = (70, 280)


def canny(rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> bool [H, W]. At each pixel the channel with the steepest slope counts, so that edges between colours of one
    lightness are seen too. The upper threshold is twice the median of all slopes above the noise, so that texture stays below it, and
    at most 0.6 of the steepest, so that a drawing with one kind of edge keeps it. The median of the pixels themselves, which is often
    taken, says nothing about a drawing on white paper."""
    soft = cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), SOFTEN_PX)
    dx, dy = cv2.Sobel(soft, cv2.CV_16S, 1, 0), cv2.Sobel(soft, cv2.CV_16S, 0, 1)
    steepest = (np.abs(dx) + np.abs(dy)).argmax(2)[..., None]
    dx, dy = (np.ascontiguousarray(np.take_along_axis(d, steepest, 2)[..., 0]) for d in (dx, dy))
    slope = np.abs(dx) + np.abs(dy)
    median, steep = np.percentile(slope[slope > FLOOR], (50, 95)) if (slope > FLOOR).any() else (np.inf, np.inf)
    high = float(np.clip(min(HIGH_OF_MEDIAN * median, HIGH_OF_STEEP * steep), *HIGH_RANGE))
    return cv2.Canny(dx, dy, LOW_OF_HIGH * high, high) > 0


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Plain:
    return Plain(spec, canny)
