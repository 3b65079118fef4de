"""Style transfer in one call of the one-step student, after OSDiffST (Zuo et al. 2024, arXiv 2411.10130): tokens of a style picture take
the words' place, and the network answers the clean latents of a picture, given to it at the noisiest time, with the same thing restyled.

y = z + GAIN leave(features(z, T, tokens)): low-rank additions turn the frozen UNet into what reads a clean latent where it expects noise, and a
last convolution of its own, zero at the start, adds to the latents as they came, so that a fresh one is the identity and thin lines need
not pass the network (the paper's zero-convolution skips, here over all of it). No noise comes in: one picture and one style give one
answer, which is what makes several views agree. Strength g mixes the tokens with learned ones of no style: (1 - g) null + g style.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.attention import LowRank, beside, key_of
from models.nets.unet import predict

KIND = "onestroke.style"
GAIN = 0.02                                          # of the last convolution: it reads hundreds of features, and would else outrun all the rest
TOP = 999.0                                          # the training time at which the student makes a picture of pure noise
LOW_RANK = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_in", "conv")
FOLD, GROUPS, MIDDLE = 4, 8, 0.5


class StyleEye(nn.Module):
    """The style picture, rgb [B, 3, side_px, side_px] in [0, 1] -> places of three scales [B, N, width], and their statistics [B, S].

    Each scale gives its places and the mean and deviation of its channels; the finest also the picture's own colours.
    """

    def __init__(self, side_px: int = 128, widths: Sequence[int] = (32, 64, 128), width: int = 128) -> None:
        super().__init__()
        self.side_px, self.width = side_px, width
        self.first = nn.Conv2d(3 * FOLD ** 2, widths[0], 3, padding=1)
        self.same = nn.ModuleList(nn.Sequential(nn.GroupNorm(GROUPS, w), nn.SiLU(), nn.Conv2d(w, w, 3, padding=1)) for w in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:]))
        self.into = nn.ModuleList(nn.Linear(w, width) for w in widths)
        self.statistics = 2 * sum(widths) + 6

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        x, places, told = self.first(F.pixel_unshuffle(rgb - MIDDLE, FOLD)), [], list(_moments(rgb))
        for i, (same, into) in enumerate(zip(self.same, self.into)):
            x = x + same(x)
            told += _moments(x)
            coarse = F.avg_pool2d(x, max(1, x.shape[-1] // 8))            # 8x8 places a scale: how, not where
            places.append(into(coarse.flatten(2).transpose(1, 2)))
            x = self.down[i](F.silu(x)) if i < len(self.down) else x
        return torch.cat(places, 1), torch.cat(told, 1)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((2, 3)), x.float().var((2, 3), unbiased=False).add(1e-4).sqrt().to(x.dtype)


class StyleReader(nn.Module):
    """Learned queries read the places (attention pooling); the statistics are added to what they found. -> tokens [B, T, context] and one
    vector [B, context] for the time embedding, where a prompt's sentence goes."""

    def __init__(self, width: int, statistics: int, context: int, tokens: int = 8, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(1, tokens, width) / width ** 0.5)
        self.norm, self.to_kv = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.told = nn.Sequential(nn.LayerNorm(statistics), nn.Linear(statistics, 256), nn.SiLU(), nn.Linear(256, width))
        self.think = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, context), nn.LayerNorm(context))
        self.pooled = nn.Sequential(nn.Linear(width, context), nn.LayerNorm(context))

    def forward(self, places: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.to_kv(self.norm(places)).chunk(2, -1)
        query = self.queries.expand(len(places), -1, -1)
        found = F.scaled_dot_product_attention(split(query), split(key), split(value)).transpose(1, 2).flatten(2)
        told = self.told(statistics)
        return self.think(found + told[:, None]), self.pooled(told)


Style = tuple[Tensor, Tensor]                        # tokens [B, T, context], vector [B, context]


class Restyle(nn.Module):
    """All that is added to a UNet. `config` as `config_for` returns it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.eye = StyleEye(config["side_px"], config["widths"])
        self.reader = StyleReader(self.eye.width, self.eye.statistics, config["context"], config["tokens"])
        self.null_tokens = nn.Parameter(torch.zeros(1, config["tokens"], config["context"]))
        self.null_pooled = nn.Parameter(torch.zeros(1, config["context"]))
        self.low = nn.ModuleDict({key: LowRank(*shape[:2], config["rank"], *shape[2:]) for key, shape in config["layers"].items()})
        self.leave = nn.Conv2d(*config["leave"], 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def style(self, rgb: Tensor) -> Style:
        """rgb [B, 3, side_px, side_px] in [0, 1] -> the style of each, fp32, of about unit variance, as words are."""
        tokens, pooled = self.reader(*self.eye(rgb))
        return tokens.float(), pooled.float()

    def null(self, size: int = 1) -> Style:
        """No style, which answers a picture with itself."""
        return self.null_tokens.expand(size, -1, -1), self.null_pooled.expand(size, -1)

    def mixed(self, style: Style, strength: float | Tensor) -> Style:
        """(1 - g) null + g style; `strength` one number, or one a row [B]."""
        g = torch.as_tensor(strength, dtype=torch.float32, device=style[0].device).reshape(-1, 1, 1)
        none = tuple(t.float() for t in self.null(len(style[0])))
        return torch.lerp(none[0], style[0], g), torch.lerp(none[1], style[1], g[..., 0])


def config_for(unet: Any, rank: int = 16, tokens: int = 8, side_px: int = 128, widths: Sequence[int] = (32, 64, 128)) -> dict[str, Any]:
    """The config for a UNet2DConditionModel."""
    layers = {key_of(name): LowRank.shape_for(module) for name, module in unet.named_modules()
              if name.endswith(LOW_RANK) and isinstance(module, nn.Linear | nn.Conv2d)}
    return {"side_px": side_px, "widths": list(widths), "tokens": tokens, "context": unet.config.cross_attention_dim, "rank": rank,
            "layers": layers, "leave": [unet.conv_out.in_channels, unet.conv_out.out_channels]}


@dataclass
class Pass:
    """Whether the call that runs is one of style transfer; else the UNet is as it is, bit for bit."""
    on: bool = False

    def rows(self) -> slice | None:
        return slice(0, None) if self.on else None


@contextmanager
def attached(unet: Any, restyle: Restyle) -> Iterator[Pass]:
    """The UNet also restyles, through `restyled`; leaving restores it exactly."""
    now = Pass()
    modules = {key_of(name): module for name, module in unet.named_modules()}
    own = unet.conv_out.register_forward_hook(lambda _, args, out: GAIN * restyle.leave(args[0]) if now.on else None)
    try:
        with beside({key: (modules[key], low) for key, low in restyle.low.items()}, now.rows):
            yield now
    finally:
        own.remove()


def restyled(unet: Any, now: Pass, latents: Tensor, style: Style) -> Tensor:
    """latents [B, C, h, w] -> the same things in the style, fp32; tokens and vector of one style serve the whole batch."""
    dtype, size = unet.dtype, len(latents)
    tokens, pooled = style[0].expand(size, -1, -1).to(dtype), style[1].expand(size, -1).to(dtype)
    now.on = True
    try:
        time = torch.full((size,), TOP, device=latents.device)
        return latents.float() + predict(unet, latents.to(dtype), time, (tokens, None, pooled)).float()
    finally:
        now.on = False


def eye_view(rgb: Tensor, side_px: int) -> Tensor:
    """A style picture [B, 3, H, W] in [0, 1] as the eye takes it: the middle square, area-averaged to [B, 3, side_px, side_px]."""
    side = min(rgb.shape[-2:])
    top, left = (rgb.shape[-2] - side) // 2, (rgb.shape[-1] - side) // 2
    return F.interpolate(rgb[..., top:top + side, left:left + side].float(), (side_px, side_px), mode="bilinear", antialias=True, align_corners=False)
