"""Trains the image prompt of the embedded base, encoder and all: python -m models.lab image_prompt --minutes 10

The base stays frozen; an encoder from scratch, a projection and the keys and values of every cross-attention layer learn to bring
x0 to a picture of which another view is shown (Ye et al. 2023, "IP-Adapter", section 3.2). The view is flipped, turned, scaled and
cut, so that what is in it must be understood and cannot be copied; words, the view or both are sometimes left out.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.devices import mixed_precision
from models.lab.beside import train_beside
from models.lab.budget import Budget
from models.lab.diffusion import TOP, random_times, sigmas_at, weights_of
from models.lab.latents import Batch, LatentSet
from models.lab.parallel import rank
from models.nets.image_prompt import KIND, ImagePrompt, Look, attached, build, config_for, start_from
from models.nets.patches import PatchEncoder
from models.nets.unet import predict
from models.sampling import vp_scales



@dataclass(frozen=True)
class ImagePromptConfig:
    """blank: share of rows whose view is left out. text_dropout: of rows whose words are. one_step: rows from pure noise."""
    batch_size: int = 24
    lr: float = 4e-4
    text_dropout: float = 0.4
    blank: float = 0.1
    one_step: float = 0.25
    time_mean: float = 1.6
    time_std: float = 1.3
    turn_deg: float = 15.0
    seed: int = 0


def views(rgb: Tensor, side_px: int, config: ImagePromptConfig, rng: np.random.Generator) -> Tensor:
    """Another look at each picture: [B, 3, 256, 256] in [0, 1] -> [B, 3, side_px, side_px], paper white where it ends."""
    size = len(rgb)
    turn = np.radians(rng.uniform(-config.turn_deg, config.turn_deg, size))
    scale, flip = rng.uniform(0.85, 1.25, size), rng.choice([-1.0, 1.0], size)
    shift = rng.uniform(-0.15, 0.15, (size, 2))
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    theta = torch.from_numpy(np.float32([[[c * f, -s, x], [s * f, c, y]] for c, s, f, (x, y) in zip(cos, sin, flip, shift)])).to(rgb.device)
    grid = F.affine_grid(theta, [size, 3, side_px, side_px], align_corners=False)
    smaller = F.interpolate(rgb, scale_factor=0.5, mode="area")
    return 1 - F.grid_sample(1 - smaller, grid, align_corners=False)


def prompt_loss(net: object, prompt: ImagePrompt, look: Look, batch: Batch, seen: Tensor, shown: Tensor, times: Tensor, eps: Tensor) -> Tensor:
    """Weighted squared error of x0, per sample [B]. `seen` [B, 3, s, s]; `shown` bool [B]: False hides the view."""
    features = prompt.features(seen)
    mask = shown.reshape(-1, *[1] * (features.ndim - 1))
    look.show(prompt.image_proj(torch.where(mask, features, prompt.blank(features))))
    sigma = sigmas_at(times)[:, None, None, None]
    alpha, _ = vp_scales(sigma)
    x = (times < TOP).float()[:, None, None, None] * batch.latents + sigma * eps
    answer = predict(net, alpha * x, times, batch.cond).float()
    return weights_of(sigma[:, 0, 0, 0]) * (answer - batch.latents).square().mean((1, 2, 3))


def train_image_prompt(net: object, prompt: ImagePrompt, encoder: PatchEncoder, data: LatentSet, budget: Budget, config: ImagePromptConfig,
                       device: str = "cpu", say: Callable[[str], None] = print) -> None:
    """Train `prompt` on `data` until the budget is spent."""
    side_px = prompt.image_encoder.side_px
    with attached(net, prompt, Look()) as look:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            rows, batch = data.draw(rng, config.batch_size, config.text_dropout)
            batch = batch.to(device)
            with torch.no_grad():
                seen = views(encoder.transpose(batch.latents).clamp(0, 1), side_px, config, rng)
            times = random_times(len(rows), generator, config.time_mean, config.time_std)
            times[: int(config.one_step * len(rows))] = TOP
            eps = torch.randn(batch.latents.shape, generator=generator).to(device)
            shown = torch.from_numpy(rng.random(len(rows)) >= config.blank).to(device)
            return prompt_loss(net, prompt, look, batch, seen, shown, times.to(device), eps).mean()
        train_beside(net, prompt, loss_of, budget, config.lr, config.seed, device, say)


@torch.no_grad()
def errors(net: object, prompt: ImagePrompt, encoder: PatchEncoder, data: LatentSet, config: ImagePromptConfig, device: str = "cpu",
           count: int = 64) -> dict[str, float]:
    """x0 error from pure noise on unseen rows: with the right view, with somebody else's, with none."""
    rows = list(range(0, len(data), max(1, len(data) // count)))[:count]
    batch = data.rows(rows).to(device)
    seen = views(encoder.transpose(batch.latents).clamp(0, 1), prompt.image_encoder.side_px, config, np.random.default_rng(0))
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
    times, all_shown = torch.full((len(rows),), float(TOP), device=device), torch.ones(len(rows), dtype=torch.bool, device=device)
    out = {}
    with attached(net, prompt, Look()) as look, mixed_precision(device):
        for name, view, shown in (("right", seen, all_shown), ("another", seen.roll(1, 0), all_shown), ("none", seen, ~all_shown)):
            out[name] = round(float(prompt_loss(net, prompt, look, batch, view, shown, times, eps).mean()), 4)
    return out


def make_image_prompt(net: object, encoder: PatchEncoder, data: LatentSet, unseen: LatentSet, budget: Budget, path: Path, command: str,
                      device: str = "cpu", config: ImagePromptConfig = ImagePromptConfig()) -> None:
    """Build, train, measure, export."""
    torch.manual_seed(config.seed)
    shape = config_for(net, tokens=4)
    prompt = start_from(build(shape), net).to(device)
    train_image_prompt(net, prompt, encoder.to(device), data, budget, config, device, lambda text: print(text, flush=True))
    if rank():
        return
    told = errors(net, prompt, encoder, unseen, config, device)
    recipe = {"command": command, "config": asdict(config), "updates": budget.updates, "x0_error_by_view": told}
    checkpoint.save(path, KIND, shape, recipe, checkpoint.quantise(prompt.state_dict()), "Picture as prompt",
                    says="Paints something like the picture it is shown.")
    print(f"{budget.updates} updates, x0 error on unseen drawings by the view shown: {told}, {path.name}", flush=True)
