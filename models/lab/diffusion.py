"""Training the denoiser and sampling from it inside the lab.

The network answers x0 itself. With a v- or noise-prediction it would have to carry the noise of 32 numbers a cell through layers
of 96 channels and group norms; flat white, half of every drawing, then stays grainy for a long time (seen here at 80,000 pictures;
Li & He 2025, "Back to basics: let denoising generative models denoise", section 4).
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.devices import mixed_precision
from models.lab.latents import Batch
from models.nets.unet import Cond, predict
from models.sampling import TRAIN_STEPS, noise, run, spaced_sigmas, time_of_sigma, vp_scales, vp_sigmas

TABLE = vp_sigmas()
TOP = TRAIN_STEPS - 1                                # the noisiest training time, where a one-step student starts
MAX_WEIGHT = 5.0


def sigmas_at(times: Tensor) -> Tensor:
    """Noise levels of fractional training times [B] (linear in log sigma)."""
    log_table = torch.as_tensor(TABLE, dtype=torch.float32, device=times.device).log()
    low = times.floor().long().clamp(0, TRAIN_STEPS - 2)
    return torch.lerp(log_table[low], log_table[low + 1], times - low).exp()


def random_times(count: int, generator: torch.Generator, mean: float, std: float) -> Tensor:
    """Logit-normal training times in (0, 999), [count] (Esser et al. 2024, section 3.1)."""
    return torch.sigmoid(torch.randn(count, generator=generator) * std + mean) * (TRAIN_STEPS - 1)


def weights_of(sigma: Tensor) -> Tensor:
    """The loss weight in x0 units that a v-prediction would have, 1 + 1/sigma^2 (Salimans & Ho 2022), up to MAX_WEIGHT."""
    return (1 + sigma ** -2).clamp_max(MAX_WEIGHT)


def denoising_loss(net: Any, batch: Batch, times: Tensor, eps: Tensor) -> Tensor:
    """Weighted mean squared error of x0, per sample [B]."""
    sigma = sigmas_at(times)
    x = batch.latents + sigma[:, None, None, None] * eps
    error = (estimate(net, x, times, batch.cond) - batch.latents).square().mean((1, 2, 3))
    return weights_of(sigma) * error


def estimate(net: Any, x: Tensor, times: Tensor, cond: Cond) -> Tensor:
    """x0 at per-sample training times [B]; x = x0 + sigma * noise enters the network in variance-preserving units."""
    alpha, _ = vp_scales(sigmas_at(times)[:, None, None, None])
    return predict(net, alpha * x, times, cond).float()


def denoise(net: Any, x: Tensor, sigma: float, cond: Cond) -> Tensor:
    """D(x, sigma, cond) -> x0 at one noise level for the whole batch."""
    return estimate(net, x, torch.full((len(x),), time_of_sigma(sigma, TABLE), device=x.device), cond)


def guided(net: Any, x: Tensor, sigma: float, cond: Cond, empty: Cond, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): uncond + scale * (cond - uncond); scale 1 = none."""
    if scale == 1:
        return denoise(net, x, sigma, cond)
    plain = denoise(net, x, sigma, tuple(t.expand(len(x), *t.shape[1:]) for t in empty))
    return plain + scale * (denoise(net, x, sigma, cond) - plain)


@torch.no_grad()
def sample(net: Any, cond: Cond, empty: Cond, seeds: Sequence[int], steps: int, scale: float, channels: int = 32) -> Tensor:
    """DDIM pictures in latent space, [B, channels, 16, 16]."""
    sigmas = spaced_sigmas(steps, TABLE)
    x = noise(seeds, (channels, 16, 16)).to(cond[0].device) * sigmas[0]
    with mixed_precision(x.device.type):
        return run(lambda x, sigma: guided(net, x, sigma, cond, empty, scale), x, sigmas)
