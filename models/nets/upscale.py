"""A small net that makes a picture four times as large in one step, told how blurred and how noisy it is.

The trunk is the compact network of Real-ESRGAN (Wang et al. 2021; "SRVGGNetCompact"), convolutions at the size of the small picture, whose
published weights for drawn film are where training begins. On it S3Diff's way of telling a network what is wrong with a picture (Zhang et
al. 2024, sections 3.2 and 3.3): a degradation net scores blur and noise in [0, 1]; Fourier features of both scores and an embedding of the
layer make a matrix M of r x r, which stands between the factors of a low rank path beside each convolution: y = W x + B (M (A x)). The
field of view is small and finite, so tiles give exactly what the whole picture gives.
"""
from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.upscale"
SCALE = 4
SCORES = 2                                           # blur, noise
DETAIL = "detail."                                   # in a file: before the names of the weights that add detail
FREQUENCIES = 16                                     # of each score


class Scorer(nn.Module):
    """rgb [B, 3, H, W] in [0, 1], sides 16 px or more -> (blur, noise) [B, 2] in [0, 1]. Noise and blur live in the smallest differences,
    so the first layer sees the picture beside what is left of it without its local mean; statistics over all places are told by mean and
    by the mean of the largest."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (6, width, 2 * width, 2 * width)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=s) for a, b, s in zip(widths, widths[1:], (1, 2, 1)))
        self.mix, self.out = nn.Linear(6 * width, 64), nn.Linear(64, SCORES)

    def forward(self, rgb: Tensor) -> Tensor:
        soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = torch.cat([rgb - 0.5, 8 * (rgb - soft)], 1)
        for conv in self.convs:
            x = F.silu(conv(x))
        top = F.adaptive_max_pool2d(F.avg_pool2d(x, 2), 8).mean((2, 3)) if min(x.shape[-2:]) >= 16 else x.amax((2, 3))
        seen = torch.cat([x.mean((2, 3)), x.square().mean((2, 3)).add(1e-6).sqrt(), top], 1)
        return self.out(F.silu(self.mix(seen))).sigmoid()


class Told(nn.Module):
    """Scores [B, 2] -> matrices [B, blocks, r, r] about the identity."""

    def __init__(self, blocks: int, rank: int, width: int = 64) -> None:
        super().__init__()
        self.rank = rank
        self.register_buffer("frequencies", torch.randn(FREQUENCIES, generator=torch.Generator().manual_seed(0)) * 2)
        self.scores = nn.ModuleList(nn.Linear(2 * FREQUENCIES, width) for _ in range(SCORES))
        self.block = nn.Parameter(torch.randn(blocks, width) * 0.5)
        self.fuse = nn.Sequential(nn.Linear((SCORES + 1) * width, width), nn.SiLU(), nn.Linear(width, rank * rank))
        nn.init.normal_(self.fuse[2].weight, std=1e-5)
        nn.init.zeros_(self.fuse[2].bias)

    def forward(self, scores: Tensor) -> Tensor:
        angles = 2 * math.pi * scores.float()[..., None] * self.frequencies.float()
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        said = torch.cat([F.silu(layer(waves[:, i].to(layer.weight.dtype))) for i, layer in enumerate(self.scores)], 1)
        count = len(self.block)
        both = torch.cat([said[:, None].expand(-1, count, -1), self.block.expand(len(said), -1, -1)], 2)
        return self.fuse(both).unflatten(2, (self.rank, self.rank)) + torch.eye(self.rank, dtype=both.dtype, device=both.device)


class Layer(nn.Module):
    """A 3x3 convolution with the low rank path beside it, then a rectifier with a slope a channel: [B, C, H, W] and M [B, r, r] -> same."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.a, self.b = nn.Conv2d(channels, rank, 1, bias=False), nn.Conv2d(rank, channels, 1, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        low = self.a(x)
        mixed = torch.einsum("bij,bjhw->bihw", m.to(low.dtype), low) if len(m) > 1 else F.conv2d(low, m[0, :, :, None, None].to(low.dtype))
        return F.prelu(self.conv(x) + self.b(mixed), self.slope)


class Upscaler(nn.Module):
    """rgb [B, 3, H, W] in [0, 1], scores [B, 2] in [0, 1] -> rgb [B, 3, 4H, 4W] around [0, 1], not clamped."""

    def __init__(self, width: int = 64, depth: int = 16, rank: int = 16) -> None:
        super().__init__()
        self.scorer = Scorer()
        self.told = Told(depth, rank)
        self.enter, self.slope = nn.Conv2d(3, width, 3, padding=1), nn.Parameter(torch.full((width,), 0.25))
        self.layers = nn.ModuleList(Layer(width, rank) for _ in range(depth))
        self.leave = nn.Conv2d(width, 3 * SCALE ** 2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, rgb: Tensor, scores: Tensor) -> Tensor:
        x = F.prelu(self.enter(rgb.to(self.enter.weight.dtype)), self.slope)
        for layer, m in zip(self.layers, self.told(scores).unbind(1), strict=True):
            x = layer(x, m)
        return F.interpolate(rgb.float(), scale_factor=SCALE) + F.pixel_shuffle(self.leave(x), SCALE).float()


def field_of_view(net: Upscaler) -> int:
    """Px of the small picture around a place that can change what it becomes."""
    return len(net.layers) + 2


def between(faithful: Mapping[str, Tensor], detailed: Mapping[str, Tensor], fidelity: float) -> dict[str, Tensor]:
    """Weights between two trainings of one net (Wang et al. 2018, "ESRGAN", section 3.4): 1 is the faithful one, 0 the detailed one."""
    return {name: value if name not in detailed else torch.lerp(detailed[name], value, fidelity) for name, value in faithful.items()}
