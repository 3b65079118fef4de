"""Noise levels and the walk down them. One step is the case of a single sigma.

Convention: x = x0 + sigma * noise; alpha = 1/sqrt(1+sigma^2), s = sigma/sqrt(1+sigma^2) convert to the variance-preserving
(VP) units that most networks were trained in (Karras et al. 2022, "EDM", section 5 and table 1).
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.errors import BadInput

TRAIN_STEPS = 1000
_MASK63 = 2 ** 63 - 1


def noise(seeds: Sequence[int], shape: Sequence[int], stream: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Unit Gaussian noise [len(seeds), *shape] on the CPU. Sample i depends on seeds[i] and `stream` alone, never on the
    batch, the device or what was drawn before: that is what makes a picture repeatable."""
    out = []
    for seed in seeds:
        g = torch.Generator().manual_seed((seed + stream * 0x9E3779B97F4A7C15) & _MASK63)
        out.append(torch.randn(tuple(shape), generator=g))
    return torch.stack(out).to(dtype)


def vp_sigmas(beta_start: float = 0.00085, beta_end: float = 0.012) -> np.ndarray:
    """sigma of the 1000 training times of the scaled-linear schedule (Rombach et al. 2022): 0.029 ... 14.61, rising."""
    betas = np.linspace(beta_start ** 0.5, beta_end ** 0.5, TRAIN_STEPS, dtype=np.float64) ** 2
    abar = np.cumprod(1 - betas)
    return np.sqrt((1 - abar) / abar)


def time_of_sigma(sigma: float, table: np.ndarray) -> float:
    """The (fractional) training time whose noise level is `sigma`, linear in log sigma, clamped to the table."""
    return float(np.interp(math.log(max(sigma, 1e-10)), np.log(table), np.arange(len(table))))


def spaced_sigmas(steps: int, table: np.ndarray, strength: float = 1.0) -> tuple[float, ...]:
    """`steps` noise levels evenly spaced in training time from the top of the table, or from `strength` of the way up."""
    if steps < 1:
        raise BadInput(f"{steps} steps is less than 1.")
    top = max(strength, 0.0) * (len(table) - 1)
    return tuple(float(np.interp(top * (1 - i / steps), np.arange(len(table)), table)) for i in range(steps))


def vp_scales(sigma: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
    """(alpha, s) with alpha^2 + s^2 = 1 and s / alpha = sigma."""
    root = (1 + sigma ** 2) ** 0.5
    return 1 / root, sigma / root


def x0_from_v(x_vp: Tensor, v: Tensor, sigma: float | Tensor) -> Tensor:
    """v = alpha * noise - s * x0 (Salimans & Ho 2022, eq. 11) -> x0; `x_vp` = alpha * x."""
    alpha, s = vp_scales(sigma)
    return alpha * x_vp - s * v


def x0_from_epsilon(x: Tensor, eps: Tensor, sigma: float | Tensor) -> Tensor:
    return x - sigma * eps


def run(denoise: Callable[[Tensor, float], Tensor], x: Tensor, sigmas: Sequence[float],
        fresh: Callable[[int], Tensor] | None = None, before_step: Callable[[int], None] = lambda i: None) -> Tensor:
    """Walk from x at sigmas[0] down to x0.

    Deterministic (`fresh` None): the DDIM step x <- x0 + (sigma_next / sigma) (x - x0) (Song et al. 2021, eta = 0).
    Stochastic: x <- x0 + sigma_next * fresh(i), as consistency and distilled students are trained (Song et al. 2023, alg. 1).
    `before_step(i)` may raise to stop.
    """
    x0 = x
    for i, sigma in enumerate(sigmas):
        before_step(i)
        x0 = denoise(x, sigma)
        if i + 1 < len(sigmas):
            following = sigmas[i + 1]
            x = x0 + following * fresh(i) if fresh else x0 + (following / sigma) * (x - x0)
    return x0
