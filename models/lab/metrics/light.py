"""Tone and sharpness: are pictures as bright, and as crisp, as the drawings that were asked for?

Tone: earth mover's distance between the two luma histograms (BT.601, 64 bins), in levels of 255; in one dimension it is the
area between the cumulative histograms. Sharpness: energy of luma in spatial frequencies above half of Nyquist, painted over
real; 1 is as crisp as the drawings, less is blurred, more is noisy.
"""
from __future__ import annotations

import numpy as np

from models.lab.metrics.metric import KNOWN, Metric, Painted, Score
from models.lab.metrics.real import Real

BINS = 64


def luma(pictures: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 3] -> float32 [N, H, W] in 0..255 (BT.601)."""
    return pictures @ np.float32([0.299, 0.587, 0.114])


def histogram(y: np.ndarray) -> np.ndarray:
    """Luma -> [BINS], summing to one."""
    counts, _ = np.histogram(y, BINS, (0, 256))
    return counts / counts.sum()


def mover_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Of two histograms [BINS] over 0..255, in levels."""
    return float(np.abs(np.cumsum(a - b)).sum() * 256 / BINS)


def fine_energy(y: np.ndarray) -> float:
    """Mean energy of luma [N, S, S] at radial frequencies above half of Nyquist (0.25 cycles a pixel)."""
    total = 0.0
    freq = np.fft.fftfreq(y.shape[1])
    fine = np.hypot(freq[:, None], np.fft.rfftfreq(y.shape[2])[None]) > 0.25
    for picture in y:
        total += float((np.abs(np.fft.rfft2(picture))[fine] ** 2).sum())
    return total / y.size


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    painted = painted.of(KNOWN)
    if not len(painted):
        return {}
    there, here = luma(real.pictures(painted.wanted)), luma(painted.pictures)
    return {"luma histogram distance ↓": Score(mover_distance(histogram(here), histogram(there))),
            "fine detail, painted / real (1 is best)": Score(fine_energy(here) / max(fine_energy(there), 1e-12))}


METRIC = Metric("light", measure)
