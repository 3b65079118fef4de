"""Two towers that put a picture and the words for it at one point of a sphere (Radford et al. 2021, "CLIP", in small).

Words come as sentence embeddings (models.text), so that their tower is two layers. The picture tower also shows its maps, whose statistics
tell how something is drawn (Huang & Belongie 2017, section 3). Two forms, so that what was optimised against one can be judged by the other.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.judge"
SIDE_PX = 96                                         # of the pictures that `vector` was taught on; maps are taken at any size
TEXT_WIDTH, POINT = 384, 128
FOLD, GROUPS, MIDDLE = 4, 8, 0.5


class Convolutions(nn.Module):
    """rgb [B, 3, H, W] in [0, 1] -> maps at a quarter, an eighth and a sixteenth of the side. Pixels are folded 4x4 into channels first."""

    def __init__(self, widths: Sequence[int] = (32, 96, 224)) -> None:
        super().__init__()
        self.first = nn.Conv2d(3 * FOLD ** 2, widths[0], 3, padding=1)
        self.same = nn.ModuleList(_block(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:]))
        self.width = widths[-1]

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x, maps = self.first(F.pixel_unshuffle(rgb - MIDDLE, FOLD)), []
        for i, same in enumerate(self.same):
            x = x + same(x)
            maps.append(x)
            x = self.down[i](F.silu(x)) if i < len(self.down) else x
        return maps


class Mixer(nn.Module):
    """Patches of 8 px, then wide channel-by-channel convolutions between pointwise ones (Trockman & Kolter 2022, "ConvMixer")."""

    def __init__(self, width: int = 160, depth: int = 4, kernel: int = 5, patch_px: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, patch_px, stride=patch_px)
        self.wide = nn.ModuleList(nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width) for _ in range(depth))
        self.point = nn.ModuleList(nn.Sequential(nn.GroupNorm(GROUPS, width), nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1))
                                   for _ in range(depth))
        self.width = width

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x, maps = self.first(rgb - MIDDLE), []
        for wide, point in zip(self.wide, self.point):
            x = x + F.gelu(wide(x))
            x = x + point(x)
            maps.append(x)
        return maps[-1::-2][::-1]


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(GROUPS, width), nn.SiLU(),
                         nn.Conv2d(width, width, 3, padding=1))


FORMS: dict[str, type[nn.Module]] = {"convolutions": Convolutions, "mixer": Mixer}


class Judge(nn.Module):
    """`form`: of the picture tower, with its own arguments."""

    def __init__(self, form: str = "convolutions", **shape: Any) -> None:
        super().__init__()
        self.picture = FORMS[form](**shape)
        self.leave = nn.Sequential(nn.LayerNorm(2 * self.picture.width), nn.Linear(2 * self.picture.width, POINT))
        self.words = nn.Sequential(nn.Linear(TEXT_WIDTH, 256), nn.GELU(), nn.Linear(256, POINT))

    def maps(self, rgb: Tensor) -> list[Tensor]:
        """rgb [B, 3, H, W] in [0, 1], sides multiples of 16 -> feature maps, fine to coarse."""
        return self.picture(rgb)

    def of_maps(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of a picture -> its point, unit vectors [B, 128]."""
        last = maps[-1]
        return F.normalize(self.leave(torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)), dim=1)

    def vector(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> unit vectors [B, 128]."""
        return self.of_maps(self.maps(rgb))

    def text(self, pooled: Tensor) -> Tensor:
        """Sentence embeddings [B, 384] of unit variance -> unit vectors [B, 128]."""
        return F.normalize(self.words(pooled), dim=1)


def look_of(maps: Sequence[Tensor]) -> Tensor:
    """How it is drawn: mean and standard deviation over the places of each map, [B, sum 2 C]."""
    return torch.cat([torch.cat([m.mean((2, 3)), m.float().var((2, 3), unbiased=False).add(1e-5).sqrt()], 1) for m in maps], 1)
