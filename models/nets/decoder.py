"""The embedded decoder: the transposed patch projection plus a convolutional residual that starts at zero.

Work happens at 16x16 to 64x64 positions (one latent cell is 16 px); the last layer gives 4x4 pixels a position by pixel
shuffle, so a 256 px picture costs no full-resolution convolution.
"""
from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.patches import PatchEncoder


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class PatchDecoder(nn.Module):
    """latents [B, C, h, w] -> rgb [B, 3, 16h, 16w], around [0, 1], not clamped. Holds its own copy of the projection."""

    def __init__(self, channels: int = 32, widths: tuple[int, ...] = (192, 128, 64)) -> None:
        super().__init__()
        self.projection = PatchEncoder(channels)
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList()
        for k, width in enumerate(widths):
            following = widths[k + 1] if k + 1 < len(widths) else None
            up = nn.Conv2d(width, following * 4, 1) if following else nn.Identity()
            self.stages.append(nn.ModuleList([Block(width), Block(width), up]))
        self.leave = nn.Conv2d(widths[-1], 3 * 16, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.enter(latents)
        for first, second, up in self.stages:
            x = up(second(first(x)))
            x = F.pixel_shuffle(x, 2) if isinstance(up, nn.Conv2d) else x
        return self.projection.transpose(latents) + F.pixel_shuffle(self.leave(F.silu(x)), 4)
