"""Training a v-prediction denoiser and sampling from it inside the lab."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.lab.latents import Batch
from models.nets.unet import Cond, predict
from models.sampling import TRAIN_STEPS, noise, run, spaced_sigmas, time_of_sigma, vp_scales, vp_sigmas, x0_from_v

TABLE = vp_sigmas()


def sigmas_at(times: Tensor) -> Tensor:
    """Noise levels of fractional training times [B] (linear in log sigma)."""
    log_table = torch.as_tensor(TABLE, dtype=torch.float32, device=times.device).log()
    low = times.floor().long().clamp(0, TRAIN_STEPS - 2)
    return torch.lerp(log_table[low], log_table[low + 1], times - low).exp()


def random_times(count: int, generator: torch.Generator, mean: float, std: float) -> Tensor:
    """Logit-normal training times in (0, 999), [count] (Esser et al. 2024, section 3.1)."""
    return torch.sigmoid(torch.randn(count, generator=generator) * std + mean) * (TRAIN_STEPS - 1)


def v_loss(net: Any, batch: Batch, times: Tensor, eps: Tensor) -> Tensor:
    """Mean squared error of v = alpha * noise - s * x0 (Salimans & Ho 2022), per sample [B]."""
    sigma = sigmas_at(times)[:, None, None, None]
    alpha, s = vp_scales(sigma)
    x = alpha * batch.latents + s * eps
    v = predict(net, x, times, batch.cond)
    return (v.float() - (alpha * eps - s * batch.latents)).square().mean((1, 2, 3))


def denoise(net: Any, x: Tensor, sigma: float, cond: Cond) -> Tensor:
    """D(x, sigma, cond) -> x0 of a v-prediction network."""
    alpha, _ = vp_scales(sigma)
    time = torch.full((len(x),), time_of_sigma(sigma, TABLE), device=x.device)
    return x0_from_v(alpha * x, predict(net, alpha * x, time, cond).float(), sigma)


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
    with torch.autocast(x.device.type, torch.bfloat16):
        return run(lambda x, sigma: guided(net, x, sigma, cond, empty, scale), x, sigmas)
