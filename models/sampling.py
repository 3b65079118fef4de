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
SIGMA_MAX = 1e4                                      # stands for "no picture left": the picture is a ten-thousandth of the noise
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


def flow_time(sigma: float | Tensor) -> float | Tensor:
    """The share of noise t of flow matching, x_t = (1 - t) x0 + t noise (Liu et al. 2022, with noise at t = 1). As
    x_t = (1 - t) x, sigma = t / (1 - t)."""
    return sigma / (1 + sigma)


def sigma_of_flow(t: float, shift: float = 1.0) -> float:
    """sigma of flow time t after the shift t' = shift t / (1 + (shift - 1) t) (Esser et al. 2024, eq. 23), which is sigma' = shift sigma.
    At most SIGMA_MAX: there is no finite sigma at t = 1."""
    return min(shift * t / (1 - t), SIGMA_MAX) if t < 1 else SIGMA_MAX


def sigma_of_angle(angle: float) -> float:
    """sigma of TrigFlow's angle in radians (Lu & Song 2024, section 3): x_s = cos(s) x0 + sin(s) noise = cos(s) x, so sigma = tan(s).
    The spread sigma_data of its pictures scales x0 and noise alike and falls out. At most SIGMA_MAX, which pi / 2 and more stand for."""
    return min(math.tan(angle), SIGMA_MAX) if angle < math.pi / 2 else SIGMA_MAX


def x0_from_flow(x: Tensor, u: Tensor, sigma: float | Tensor) -> Tensor:
    """Velocity u = noise - x0, answered at x_t = x / (1 + sigma), -> x0 = x_t - t u; well defined up to t = 1. A flow network that was
    distilled in TrigFlow is fed the same x_t and t, and what it answers gives the same x0 (Chen et al. 2025, "SANA-Sprint")."""
    return x / (1 + sigma) - flow_time(sigma) * u


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
