"""Fréchet and kernel distances between painted and real pictures.

Fréchet (Heusel et al. 2017, eq. 6): ||m1 - m2||^2 + tr(S1 + S2 - 2 (S1 S2)^1/2) of Gaussians fitted to features, here to the
first 64 principal components of EfficientNet-Lite0 features of real pictures: with hundreds of pictures instead of 50,000, all
1280 dimensions would measure the sample size. Numbers compare within this project only.

KID (Binkowski et al. 2018): unbiased squared MMD with the kernel (x.y / d + 1)^3 on all 1280 features; unbiased at any size.

Both compare with real drawings of the same categories other than those asked for; the floor column holds the very drawings
asked for, so it shows what a perfect painter would get.
"""
from __future__ import annotations

import numpy as np

from models.lab.metrics.features import pca
from models.lab.metrics.metric import KNOWN, Metric, Painted, Score
from models.lab.metrics.real import Real

DIMS = 64
RESAMPLES = 100


def gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [N, D] -> (mean [D], covariance [D, D])."""
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def frechet_distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Between two Gaussians (mean, covariance); tr (S1 S2)^1/2 is taken as tr (S1^1/2 S2 S1^1/2)^1/2, which is symmetric."""
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    root = _root(cov_a)
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def frechet_interval(x: np.ndarray, y: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Score:
    """Fréchet distance of samples x [N, D], y [M, D]; the spread is 1.96 bootstrap standard deviations, both sides resampled.
    (Bootstrap values themselves lie too high, because a resample repeats pictures; their deviation is sound.)"""
    rng = np.random.default_rng(seed)

    def again(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return gaussian(a[rng.integers(len(a), size=len(a))])
    values = [frechet_distance(again(x), again(y)) for _ in range(resamples)]
    return Score(frechet_distance(gaussian(x), gaussian(y)), 1.96 * float(np.std(values)))


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD^2 of x [N, D], y [M, D] under the cubic kernel; may be slightly negative for equal distributions."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return _mean_within(x) + _mean_within(y) - 2 * float(_kernel(x, y).mean())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_within(a: np.ndarray) -> float:
    values = _kernel(a, a)
    return float(values.sum() - np.trace(values)) / (len(a) * (len(a) - 1))


def _reference(real: Real, asked: np.ndarray) -> np.ndarray:
    """Features of the plain real drawings of the same categories and styles that were not asked for."""
    kinds = {real.items[i].category for i in asked}
    taken = set(asked.tolist())
    return real.plain[[i for i, item in enumerate(real.items) if item.category in kinds and i not in taken]]


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    painted = painted.of(KNOWN)
    if len(painted) < 2:
        return {}
    reference = _reference(real, painted.wanted)
    mean, basis = pca(real.plain, min(DIMS, real.plain.shape[1]))
    distance = frechet_interval((painted.features - mean) @ basis, (reference - mean) @ basis)
    kernel = Score(1000 * kernel_distance(painted.features, reference))
    return {"Fréchet distance ↓": distance, "kernel distance (KID) x 1000 ↓": kernel}


METRIC = Metric("frechet", measure)
