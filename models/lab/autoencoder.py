"""Training the patch decoder: from the linear solution to clean flats and crisp edges.

The encoder is fixed (PCA), so latents never change and diffusion can train at the same time. The decoder sees latents with a
little noise, because those it will decode come from a generator and are never exact.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.devices import mixed_precision
from models.lab.budget import Budget
from models.lab.ema import Ema
from models.files import write_atomic
from models.nets.decoder import PatchDecoder
from models.nets.patches import PATCH_PX, PatchEncoder


@dataclass(frozen=True)
class DecoderConfig:
    widths: tuple[int, ...] = (192, 128, 64)
    batch_size: int = 16
    crop_cells: int = 8                              # crops of 8 x 8 latent cells = 128 px
    lr: float = 6e-4
    edge_weight: float = 1.0
    latent_noise: float = 0.2                        # largest standard deviation added to the latents
    seed: int = 0


Pictures = Callable[[np.random.Generator, int], np.ndarray]      # (rng, n) -> uint8 [n, 256, 256, 3]


def edge_loss(a: Tensor, b: Tensor) -> Tensor:
    """L1 between the horizontal and vertical differences: a soft edge costs, an even shift of brightness does not."""
    d = a - b
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def crops(rgb: Tensor, cells: int, rng: np.random.Generator) -> Tensor:
    """One random crop a picture, on the patch grid."""
    size, last = cells * PATCH_PX, rgb.shape[-1] // PATCH_PX - cells
    out = []
    for picture in rgb:
        y, x = (int(v) * PATCH_PX for v in rng.integers(0, last + 1, 2))
        out.append(picture[:, y:y + size, x:x + size])
    return torch.stack(out)


def decoder_loss(decoder: PatchDecoder, encoder: PatchEncoder, rgb: Tensor, config: DecoderConfig) -> Tensor:
    latents = encoder(rgb)
    level = torch.rand(len(rgb), 1, 1, 1, device=rgb.device) * config.latent_noise * (torch.rand(len(rgb), 1, 1, 1, device=rgb.device) < 0.7)
    noisy = latents + level * torch.randn_like(latents)
    with mixed_precision(rgb.device.type):
        out = decoder(noisy).float()
    return (out - rgb).abs().mean() + config.edge_weight * edge_loss(out, rgb)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of [B, 3, H, W] in [0, 1], averaged over pictures."""
    return float((-10 * (a.clamp(0, 1) - b).square().mean((1, 2, 3)).clamp_min(1e-10).log10()).mean())


def _start(encoder: PatchEncoder, config: DecoderConfig, state_file: Path) -> tuple[PatchDecoder, int]:
    """(decoder, updates so far): from the state file, or the linear solution."""
    torch.manual_seed(config.seed)
    decoder = PatchDecoder(len(encoder.scale), config.widths)
    decoder.projection.load_state_dict(encoder.state_dict())
    if not state_file.exists():
        return decoder, 0
    state = torch.load(state_file, map_location="cpu", weights_only=True)
    decoder.load_state_dict(state["decoder"])
    return decoder, state["updates"]


def train_decoder(encoder: PatchEncoder, pictures: Pictures, held_out: Tensor, budget: Budget, state_file: Path,
                  config: DecoderConfig = DecoderConfig(), device: str = "cpu", say: Callable[[str], None] = print) -> PatchDecoder:
    """Train until `budget` is spent, resuming from `state_file`; returns the averaged decoder. `held_out`: [N, 3, 256, 256] in [0, 1]."""
    decoder, updates = _start(encoder, config, state_file)
    encoder.to(device)
    decoder.to(device, memory_format=torch.channels_last).train()
    average = Ema(decoder, 0.998)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=config.lr, weight_decay=0.0)
    rng, last = np.random.default_rng(config.seed + updates), time.monotonic()
    while (spent := budget.spent) < 1:
        rgb = torch.from_numpy(pictures(rng, config.batch_size)).to(device).permute(0, 3, 1, 2).float() / 255
        loss = decoder_loss(decoder, encoder, crops(rgb, config.crop_cells, rng), config)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, (updates + 1) / 100) * min(1.0, max(0.02, (1 - spent) / 0.4))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(decoder)
        updates += 1
        budget.tick()
        if time.monotonic() - last > 60:
            last = time.monotonic()
            say(f"decoder {updates} updates, loss {loss.item():.4f}, {budget.minutes_left:.0f} min left")
            write_atomic(state_file, lambda p: torch.save({"decoder": decoder.state_dict(), "updates": updates}, p))
    average.copy_to(decoder)
    write_atomic(state_file, lambda p: torch.save({"decoder": decoder.state_dict(), "updates": updates}, p))
    say(f"decoder done: linear {quality(None, encoder, held_out):.2f} dB -> {quality(decoder, encoder, held_out):.2f} dB on held-out pictures")
    return decoder


@torch.no_grad()
def quality(decoder: PatchDecoder | None, encoder: PatchEncoder, rgb: Tensor) -> float:
    """PSNR in dB of the round trip; None = the linear decoder."""
    device = encoder.basis.device
    out = []
    for part in rgb.split(16):
        part = part.to(device)
        latents = encoder(part)
        with mixed_precision(device.type, wanted=decoder is not None):
            back = decoder(latents).float() if decoder else encoder.transpose(latents)
        out.append(psnr(back, part))
    return sum(out) / len(out)
