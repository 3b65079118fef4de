"""How much of a drawing survives the autoencoder.

PSNR = 10 log10(1 / MSE) on RGB in [0, 1]. Perceptual distance as in LPIPS (Zhang et al. 2018, eq. 1) without its learned
weights: feature vectors of four EfficientNet-Lite0 levels, scaled to unit length at each position, squared difference,
averaged over positions, levels and pictures. 0 is identical, 2 the most that a level of ReLU features can reach.
"""
from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.lab.metrics.features import FeatureNet, to_unit
from models.lab.metrics.metric import REBUILT, Metric, Painted, Score
from models.lab.metrics.real import Real


def psnr_db(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 3] twice -> decibels [N]; identical pictures give 99."""
    error = ((a.astype(np.float32) - b.astype(np.float32)) ** 2).mean((1, 2, 3)) / 255 ** 2
    return -10 * np.log10(np.maximum(error, 10 ** -9.9))


def map_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Lists of maps [B, C, h, w] -> [B]."""
    levels = [(F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]
    return torch.stack(levels).mean(0)


@functools.cache
def _net() -> FeatureNet:
    return FeatureNet()


@torch.inference_mode()
def perceptual_distance(a: np.ndarray, b: np.ndarray, batch: int = 16) -> np.ndarray:
    """uint8 [N, H, W, 3] twice -> [N]."""
    net = _net()
    pairs = ((to_unit(a[i:i + batch]), to_unit(b[i:i + batch])) for i in range(0, len(a), batch))
    return np.concatenate([map_distance(net.maps(x), net.maps(y)).numpy() for x, y in pairs])


def _mean(values: np.ndarray) -> Score:
    return Score(float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5)


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    rebuilt = painted.of(REBUILT)
    if not len(rebuilt):
        return {}
    truth = real.pictures(rebuilt.wanted)
    return {"autoencoder PSNR, dB ↑": _mean(psnr_db(rebuilt.pictures, truth)),
            "autoencoder perceptual distance ↓": _mean(perceptual_distance(rebuilt.pictures, truth))}


METRIC = Metric("reconstruction", measure)
