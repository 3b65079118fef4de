"""Which noise levels a tuning visits and when it has seen enough. Levels are the strengths of a Job: 0 = the picture, 1 = pure noise."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

GOLDEN = 0.6180339887498949                          # steps of this share of a circle never repeat and fill it evenly
LEAST_WEIGHT = 1.0                                   # of a flat place, in grey values of deviation
NEAR, FAR = 0.25, 0.40                               # of the semantic discrepancy: small changes below, large ones above


@dataclass(frozen=True)
class Window:
    """Levels from `low` to `high` are visited."""
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high <= 1:
            raise ValueError(f"a window of levels must lie in (0, 1], not {self.low}..{self.high}")


ALL = Window(0.02, 1.0)
WINDOWS = (Window(0.1, 0.6), Window(0.2, 0.8), Window(0.4, 1.0))     # for small, middling and large changes


def discrepancy(source: np.ndarray, target: np.ndarray) -> float:
    """1 - cosine of what a text encoder makes of the picture's words and of the edit's, [D] each (FastEdit, Chen et al. 2024, section 3.2;
    both are words here, so there is no gap between modalities to bridge)."""
    return float(1 - source @ target / max(np.linalg.norm(source) * np.linalg.norm(target), 1e-9))


def window_of(distance: float) -> Window:
    """Small edits are decided late in the walk, large ones early: tuning spends its few steps there (section 3.2)."""
    return WINDOWS[0] if distance < NEAR else WINDOWS[1] if distance <= FAR else WINDOWS[2]


def visits(window: Window, start: float = 0.5) -> Iterator[float]:
    """Levels without end, spread evenly over the window however many are taken."""
    at = start
    while True:
        at = (at + GOLDEN) % 1
        yield window.low + at * (window.high - window.low)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of a picture with `other`, uint8 [H, W, 3] each, on their luminance, -1..1 (Wang et al. 2004, eq. 13); places count
    by how much there is to see in `other`, because a flat sky would say that all is well when the thing before it is mush."""
    a, b = (cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (one, other))
    mean = lambda x: cv2.GaussianBlur(x, (11, 11), 1.5)
    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    alike = (2 * ma * mb + c1) * (2 * both + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    weights = np.sqrt(np.maximum(vb, 0)) + LEAST_WEIGHT
    return float((alike * weights).sum() / weights.sum())
