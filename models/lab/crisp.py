"""Teaches the patch decoder to finish what a one-step student leaves soft: python -m models.lab crisp --minutes 25

The decoder was trained on exact latents with a little white noise, but what it is given is an estimate: right in the large, blurred in the
small coefficients. Here it sees real drawings as the student estimates them from a noised state (aligned pairs) and pictures that the student
painted from nothing (no pair). Pairs cost pixels and edges, less the more noise was taken away; painted ones keep their colours in the
large; and a critic of patches says of both whether they look like drawings (Isola et al. 2017, "Image-to-image translation", section 3.2.2,
with the hinge of Lim & Ye 2017). Exact latents stay a part of every batch, so that there and back still gives the picture.
"""
from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from models.devices import mixed_precision
from models.lab.autoencoder import edge_loss
from models.lab.budget import Budget
from models.lab.diffusion import TABLE, TOP, denoise, estimate, sigmas_at
from models.lab.ema import Ema
from models.lab.items import Item
from models.lab.latents import TextTable
from models.lab.rows import rows_of, scene, scene_pool
from models.nets.decoder import PatchDecoder
from models.nets.patches import PATCH_PX, PatchEncoder
from models.nets.unet import Cond
from models.sampling import noise, run, spaced_sigmas


@dataclass(frozen=True)
class CrispConfig:
    """pairs: real drawings estimated by the student; painted: pictures it made from nothing, half in one step, half in four. times: the
    noise the pairs had. exact: share of a batch that is exact latents, free: share that is painted from nothing. critic: weight of the
    critic's opinion, burn_in: updates of the critic alone."""
    pairs: int = 4000
    painted: int = 1600
    times: tuple[float, float] = (40.0, 620.0)
    batch_size: int = 16
    exact: float = 0.2
    free: float = 0.25
    crop_cells: int = 8
    lr: float = 2e-4
    lr_critic: float = 4e-4
    critic: float = 0.06
    burn_in: int = 60
    seed: int = 0


class Critic(nn.Module):
    """rgb [B, 3, H, W] -> one opinion for each patch of about 46 px, [B, 1, H/8, W/8]."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        conv = lambda a, b, stride: spectral_norm(nn.Conv2d(a, b, 4 if stride == 2 else 3, stride, 1))
        act = lambda: nn.LeakyReLU(0.2, inplace=True)
        self.body = nn.Sequential(conv(3, width, 2), act(), conv(width, 2 * width, 2), act(), conv(2 * width, 4 * width, 2), act(),
                                  conv(4 * width, 4 * width, 1), act(), conv(4 * width, 1, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        return self.body(rgb * 2 - 1)


@dataclass
class Estimates:
    """soft: latents as the student leaves them [N, C, 16, 16]; rgb: what they should be, uint8 [P, 256, 256, 3] for the first P of them;
    trust: how far a pair may be held to its pixels [P], 1 for exact ones."""
    soft: Tensor
    rgb: np.ndarray
    trust: Tensor


def shown_rows(items: Sequence[Item], rgba: np.ndarray, count: int, rng: np.random.Generator, split: str = "train") -> tuple[np.ndarray, list[str]]:
    """`count` pictures of the training rows, one in eight a scene, with one caption each."""
    index = {item.key: i for i, item in enumerate(items)}
    mine = [i for i, item in enumerate(items) if item.split == split]
    pool = scene_pool(items)
    pictures, captions = [], []
    for k in range(count):
        if k % 8 == 7 and split == "train":
            row = scene(int(rng.integers(5000)), pool, lambda item: np.asarray(rgba[index[item.key]]))
        else:
            number = int(rng.choice(mine))
            rows = list(rows_of(items[number], np.asarray(rgba[number])))
            row = rows[int(rng.integers(len(rows)))]
        pictures.append(row.rgb)
        captions.append(str(rng.choice(row.captions)))
    return np.stack(pictures), captions


@torch.no_grad()
def estimated(net: Any, latents: Tensor, cond: Cond, times: Tensor, generator: torch.Generator) -> Tensor:
    """What the student makes of noised latents [N, C, 16, 16] at `times` [N]."""
    x = latents + sigmas_at(times)[:, None, None, None] * torch.randn(latents.shape, generator=generator)
    return estimate(net, x, times, cond)


@torch.no_grad()
def painted(net: Any, cond: Cond, seeds: Sequence[int], steps: int) -> Tensor:
    """From pure noise, as the studio does."""
    sigmas, shape = spaced_sigmas(steps, TABLE), (net.config.in_channels, 16, 16)
    fresh = lambda i: noise(seeds, shape, stream=1 + i)
    return run(lambda x, sigma: denoise(net, x, sigma, cond), sigmas[0] * noise(seeds, shape), sigmas, fresh)


@torch.no_grad()
def estimates(net: Any, encoder: PatchEncoder, text: Any, items: Sequence[Item], rgba: np.ndarray, config: CrispConfig,
              say: Callable[[str], None] = print) -> Estimates:
    """Everything the decoder learns from, made once."""
    rng, generator = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    rgb, captions = shown_rows(items, rgba, config.pairs, rng)
    low, high = config.times
    times = low + (high - low) * torch.rand(config.pairs, generator=generator)
    soft, start, part = [], time.monotonic(), 40
    say(f"{config.pairs} drawings to estimate, {config.painted} pictures to paint")
    for i in range(0, config.pairs, part):
        latents = encoder(torch.from_numpy(rgb[i:i + part]).permute(0, 3, 1, 2).float() / 255)
        cond = _cond(text, captions[i:i + part])
        with mixed_precision("cpu"):
            soft.append(estimated(net, latents, cond, times[i:i + part], generator).float())
        if i == 10 * part:
            say(f"about {(time.monotonic() - start) / i * config.pairs / 60:.0f} min for the drawings")
    for i in range(0, config.painted, part):
        cond = _cond(text, [captions[int(k)] for k in rng.integers(0, config.pairs, part)])
        with mixed_precision("cpu"):
            soft.append(painted(net, cond, range(10_000 + i, 10_000 + i + part), 4 if (i // part) % 2 else 1).float())
    return Estimates(torch.cat(soft), rgb, (1 - times / TOP).square())


def _cond(text: Any, captions: Sequence[str]) -> Cond:
    return TextTable.of(text.encode(list(captions))).batch(np.arange(len(captions)))


def cropped(config: CrispConfig, rng: np.random.Generator) -> tuple[int, int, int]:
    """(row, column, cells) of a crop on the 16 x 16 grid."""
    y, x = rng.integers(0, 16 - config.crop_cells + 1, 2)
    return int(y), int(x), config.crop_cells


def draw(known: Estimates, encoder: PatchEncoder, config: CrispConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(latents [B, C, c, c], truth [B, 3, 16c, 16c], trust [B]): exact ones first, then pairs, then those without truth (trust 0)."""
    pairs, size = len(known.rgb), config.batch_size
    exact, free = int(config.exact * size), int(config.free * size)
    chosen = rng.integers(0, pairs, size - free)
    y, x, cells = cropped(config, rng)
    px = lambda v: v * PATCH_PX
    truth = torch.from_numpy(known.rgb[chosen][:, px(y):px(y + cells), px(x):px(x + cells)]).permute(0, 3, 1, 2).float() / 255
    soft = known.soft[torch.from_numpy(chosen)][..., y:y + cells, x:x + cells].clone()
    soft[:exact] = encoder(truth[:exact])
    others = torch.from_numpy(rng.integers(pairs, len(known.soft), free))
    trust = torch.cat([torch.ones(exact), known.trust[torch.from_numpy(chosen[exact:])], torch.zeros(free)])
    latents = torch.cat([soft, known.soft[others][..., y:y + cells, x:x + cells]])
    return latents, torch.cat([truth, torch.zeros(free, *truth.shape[1:])]), trust


def content_loss(out: Tensor, before: Tensor, truth: Tensor, trust: Tensor) -> Tensor:
    """Pixels and edges of pairs by their trust; of the others the picture averaged over 8 px, which must stay what it was."""
    known = trust > 0
    weight = trust[known][:, None, None, None]
    a, b = out[known] * weight, truth[known] * weight
    held = (F.avg_pool2d(out[~known], 8) - F.avg_pool2d(before[~known], 8)).abs().mean() if (~known).any() else 0.0
    return (a - b).abs().mean() + edge_loss(a, b) + held


def train_crisp(decoder: PatchDecoder, encoder: PatchEncoder, known: Estimates, budget: Budget, config: CrispConfig,
                say: Callable[[str], None] = print) -> PatchDecoder:
    """Train until the budget is spent; returns the averaged decoder."""
    torch.manual_seed(config.seed)
    plain = copy.deepcopy(decoder).eval().requires_grad_(False)
    critic = Critic().to(memory_format=torch.channels_last).train()
    decoder.train().requires_grad_(True)
    decoder.projection.requires_grad_(False)
    mine = [p for p in decoder.parameters() if p.requires_grad]
    painter = torch.optim.AdamW(mine, config.lr, (0.5, 0.99), weight_decay=0.0)
    judge = torch.optim.AdamW(critic.parameters(), config.lr_critic, (0.5, 0.99), weight_decay=0.0)
    average, rng = Ema(decoder, 0.995), np.random.default_rng(config.seed)
    exact = int(config.exact * config.batch_size)
    while (spent := budget.spent) < 1:
        latents, truth, trust = draw(known, encoder, config, rng)
        for group in painter.param_groups:
            group["lr"] = config.lr * min(1.0, max(0.05, (1 - spent) / 0.3))
        with mixed_precision("cpu"):
            out = decoder(latents).float()
            real, drawn = critic(truth[: len(trust) - int((trust == 0).sum())]), critic(out[exact:].detach())
            against = F.relu(1 - real).mean() + F.relu(1 + drawn).mean()
        against.backward()
        judge.step()
        judge.zero_grad(set_to_none=True)
        loss = torch.zeros(())
        if budget.updates >= config.burn_in:
            with torch.no_grad(), mixed_precision("cpu"):
                before = plain(latents).float()
            with mixed_precision("cpu"):
                loss = content_loss(out, before, truth, trust) - config.critic * critic(out[exact:]).mean()
            loss.backward()
            judge.zero_grad(set_to_none=True)
            torch.nn.utils.clip_grad_norm_(mine, 1.0)
            painter.step()
            average.update(decoder)
        painter.zero_grad(set_to_none=True)
        budget.tick()
        if budget.updates % 100 == 1:
            losses = f"loss {float(loss.detach()):.4f}, critic {float(against.detach()):.3f} (2 = cannot tell)"
            say(f"{budget.updates} updates, {losses}, {budget.minutes_left:.1f} min left")
    average.copy_to(decoder)
    return decoder.eval()

