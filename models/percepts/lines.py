"""Thin lines where any colour jumps, without weights: `models.lines.edges` as a percept that picks its threshold."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from models.devices import Device
from models.lines import HIGH, edges, thinned
from models.percepts._plain import Plain
from models.spec import PerceptSpec

SPECS = (PerceptSpec(id="lines", title="Thin lines", files=(), bytes=0, licence="Apache-2.0"),)
FAINT = (30, 70)                                     # Canny's upper threshold: a pale cloud on white paper shows at the first
FEW = 0.02                                           # share of the picture that lines may cover before only the clearer ones are taken
BESIDE_PX = 17


def lines(rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> bool [H, W]: faint edges too where there are few, so that a drawing keeps its pale parts and a photo's texture
    does not drown its shapes."""
    clear = edges(rgb, HIGH)
    for high in FAINT:
        if (found := edges(rgb, high)).mean() < FEW:
            return _with_faint(clear, found)
    return clear


def _with_faint(clear: np.ndarray, faint: np.ndarray) -> np.ndarray:
    """Both together, without what runs close beside a clear line: that is its shading or its compression, not another line."""
    beside = cv2.dilate(clear.astype(np.uint8), np.ones((BESIDE_PX, BESIDE_PX), np.uint8)) > 0
    alone = cv2.dilate((faint & ~beside).astype(np.uint8), np.ones((BESIDE_PX, BESIDE_PX), np.uint8)) > 0
    return thinned(cv2.dilate((clear | faint & alone).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Plain:
    return Plain(spec, lines)
