"""Trains the transparent decoder of the embedded base: python -m models.lab rgba --minutes 6

The frozen linear encoder sees a drawing over a background; the decoder gives back the drawing with its alpha (the decoder half of
Zhang & Agrawala 2024, "LayerDiffuse", section 3.1; the encoder needs no change, because an illustration on plain paper already
tells where it ends). Noise on the latents stands for what a painter gets a little wrong.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import mixed_precision
from models.lab.autoencoder import crops
from models.lab.budget import Budget
from models.lab.ema import Ema
from models.lab.items import Item
from models.lab.mixtures import HELD_OUT
from models.lab.pictures import BACKGROUNDS
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.rgba import KIND, RgbaDecoder, packed

COLOURS = np.float32(list(BACKGROUNDS.values())) / 255
WHITE = 0


@dataclass(frozen=True)
class RgbaConfig:
    """on_white: share of drawings shown on white paper; the others lie on plain colours. latent_noise: largest standard deviation."""
    batch_size: int = 12
    crop_cells: int = 10
    lr: float = 4e-4
    on_white: float = 0.7
    latent_noise: float = 0.2
    alpha_weight: float = 2.0
    seed: int = 0


def over(rgba: Tensor, colour: Tensor) -> Tensor:
    """Straight rgba [B, 4, H, W] on plain colours [B, 3] -> rgb [B, 3, H, W]."""
    return rgba[:, :3] * rgba[:, 3:] + colour[:, :, None, None] * (1 - rgba[:, 3:])


def random_colours(count: int, on_white: float, rng: np.random.Generator) -> Tensor:
    """[count, 3] in [0, 1]."""
    chosen = COLOURS[rng.integers(0, len(COLOURS), count)]
    chosen[rng.random(count) < on_white] = COLOURS[WHITE]
    return torch.from_numpy(chosen)


def rgba_loss(decoder: RgbaDecoder, encoder: PatchEncoder, rgba: Tensor, colour: Tensor, other: Tensor, noise: Tensor, config: RgbaConfig) -> Tensor:
    """L1 of alpha, of the drawing on the paper it was seen on and of the drawing on another one."""
    latents = encoder(over(rgba, colour)) + noise
    with mixed_precision(rgba.device.type):
        out = decoder(latents).float()
    alpha = (out[:, 3:] - rgba[:, 3:]).abs().mean()
    return config.alpha_weight * alpha + sum((over(out, c) - over(rgba, c)).abs().mean() for c in (colour, other))


def _tensor(drawings: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(drawings)).permute(0, 3, 1, 2).float() / 255


def train_rgba(decoder: RgbaDecoder, encoder: PatchEncoder, items: Sequence[Item], rgba: np.ndarray, budget: Budget,
               config: RgbaConfig = RgbaConfig(), device: str = "cpu", say: Callable[[str], None] = print) -> RgbaDecoder:
    """Train in place until the budget is spent and return the averaged decoder. `rgba`: uint8 [N, 256, 256, 4]."""
    train = [i for i, item in enumerate(items) if item.split == "train"]
    encoder.to(device), decoder.to(device, memory_format=torch.channels_last).train()
    average = Ema(decoder, 0.995)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=config.lr, weight_decay=0.0)
    rng, generator = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    while (spent := budget.spent) < 1:
        drawings = _tensor(np.stack([rgba[i] for i in rng.choice(train, config.batch_size)])).to(device)
        drawings = crops(drawings, config.crop_cells, rng)
        colour, other = (random_colours(len(drawings), share, rng).to(device) for share in (config.on_white, 0.0))
        level = config.latent_noise * torch.rand(len(drawings), 1, 1, 1, generator=generator) ** 2
        cells = (len(drawings), len(encoder.scale), config.crop_cells, config.crop_cells)
        loss = rgba_loss(decoder, encoder, drawings, colour, other, (level * torch.randn(cells, generator=generator)).to(device), config)
        loss.backward()
        optimizer.param_groups[0]["lr"] = config.lr * min(1.0, (budget.updates + 1) / 50) * min(1.0, max(0.02, (1 - spent) / 0.4))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(decoder)
        budget.tick()
        if budget.updates % 100 == 1:
            say(f"{budget.updates} updates, loss {float(loss.detach()):.4f}, {budget.minutes_left:.1f} min left")
    return average.copy_to(decoder)


def keyed_alpha(rgb: Tensor) -> Tensor:
    """The alpha that a colour key would give: distance from white [B, 3, H, W] -> [B, 1, H, W]. What the decoder must beat."""
    return ((1 - rgb).abs().amax(1, keepdim=True) / 0.1).clamp(0, 1)


@torch.no_grad()
def alpha_errors(decoder: RgbaDecoder, encoder: PatchEncoder, items: Sequence[Item], rgba: np.ndarray, count: int = 128) -> dict[str, float]:
    """Mean absolute error of alpha on held-out drawings on white: the decoder's, the colour key's, and that of opaque pictures."""
    chosen = [i for i, item in enumerate(items) if item.split in HELD_OUT]
    chosen = chosen[::max(1, len(chosen) // count)][:count]
    device = next(decoder.parameters()).device
    sums = np.zeros(3)
    for start in range(0, len(chosen), 16):
        true = _tensor(np.stack([rgba[i] for i in chosen[start:start + 16]])).to(device)
        seen = over(true, torch.ones(len(true), 3, device=device))
        with mixed_precision(device.type):
            guess = decoder(encoder(seen)).float()[:, 3:].clamp(0, 1)
        sums += [float((a - true[:, 3:]).abs().mean((1, 2, 3)).sum()) for a in (guess, keyed_alpha(seen), torch.ones_like(guess))]
    return dict(zip(("decoder", "colour_key", "opaque"), (round(float(v), 4) for v in sums / len(chosen))))


def make_rgba(encoder: PatchEncoder, opaque: PatchDecoder, drawings: tuple[Sequence[Item], np.ndarray], budget: Budget, path: Path,
              command: str, device: str = "cpu", config: RgbaConfig = RgbaConfig()) -> dict[str, Any]:
    """Train from the opaque decoder, measure, export; returns the errors."""
    torch.manual_seed(config.seed)
    decoder = train_rgba(RgbaDecoder.from_opaque(opaque), encoder, *drawings, budget, config, device, lambda text: print(text, flush=True)).eval()
    errors = alpha_errors(decoder, encoder, *drawings)
    recipe = {"command": command, "config": asdict(config), "updates": budget.updates, "alpha_error_on_held_out_drawings": errors}
    widths = [first.first.in_channels for first, _, _ in decoder.stages]
    tensors = packed(decoder.cpu())
    halves = {k: v.float() if ".projection." in k else v.half() for k, v in tensors.items()}
    checkpoint.save(path, KIND, {"channels": len(encoder.scale), "widths": widths}, recipe, halves, "Transparent",
                    says="Gives the picture with an alpha channel, cut out of its paper.")
    print(f"{budget.updates} updates, mean alpha error on held-out drawings {errors}, {path.name}", flush=True)
    return errors
