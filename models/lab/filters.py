"""Looks that a formula makes: each turns pictures [B, 3, H, W] in [0, 1] into the same things drawn another way."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

GRID_PX = 32
PIXEL_PX, LEVELS = 8, 5


@dataclass(frozen=True)
class Filter:
    """`apply` keeps shape and range; `says` is the sentence people read beside the adapter made from it."""
    title: str
    says: str
    apply: Callable[[Tensor], Tensor]


def _color(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype)[:, None, None]


def _luma(rgb: Tensor) -> Tensor:
    return (rgb * _color((0.299, 0.587, 0.114), rgb)).sum(1, keepdim=True)


def _lines(rgb: Tensor) -> Tensor:
    """[B, 1, H, W] in [0, 1], 1 on contours two to three pixels wide."""
    soft = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    across = F.pad(soft[..., 1:] - soft[..., :-1], (0, 1)).abs()
    down = F.pad(soft[..., 1:, :] - soft[..., :-1, :], (0, 0, 0, 1)).abs()
    return F.max_pool2d((across + down).amax(1, keepdim=True).mul(4).clamp(0, 1), 3, 1, 1)


def blueprint(rgb: Tensor) -> Tensor:
    """White contours on blue paper with a faint grid; dark things are filled a little lighter."""
    paper, chalk = _color((0.08, 0.25, 0.55), rgb), _color((0.95, 0.98, 1.0), rgb)
    grid = torch.zeros_like(rgb[:1, :1])
    grid[..., ::GRID_PX, :] = grid[..., ::GRID_PX] = 0.12
    tone = torch.maximum(0.35 * (1 - _luma(rgb)), grid)
    return torch.lerp(torch.lerp(paper, chalk, tone), chalk.expand_as(rgb), _lines(rgb))


def ink(rgb: Tensor) -> Tensor:
    """Dark contours on cream paper, the fill a thin grey wash."""
    paper, dark = _color((0.97, 0.94, 0.87), rgb), _color((0.10, 0.09, 0.13), rgb)
    wash = paper * (1 - 0.4 * (1 - _luma(rgb)))
    return torch.lerp(wash, dark.expand_as(rgb), _lines(rgb))


def dusk(rgb: Tensor) -> Tensor:
    """The light of a late evening: violet from above, orange from below."""
    above, below = _color((0.52, 0.46, 0.82), rgb), _color((1.0, 0.70, 0.42), rgb)
    height = torch.linspace(0, 1, rgb.shape[-2], device=rgb.device, dtype=rgb.dtype)[:, None]
    return rgb * torch.lerp(above, below, height)


def night(rgb: Tensor) -> Tensor:
    """Light and dark change places, hues stay: paper becomes a midnight blue on which colours glow."""
    light = _luma(rgb)
    chroma = rgb - light
    return (0.10 + 0.75 * (1 - light) + 1.3 * chroma + _color((-0.02, 0.0, 0.09), rgb) * light).clamp(0, 1)


def two_inks(rgb: Tensor) -> Tensor:
    """A print in coral and navy on cream: light tones are paper, middle ones coral, dark ones navy."""
    paper, coral, navy = (_color(c, rgb) for c in ((0.98, 0.95, 0.88), (0.95, 0.42, 0.35), (0.13, 0.16, 0.42)))
    light = _luma(rgb)
    return torch.where(light > 0.5, torch.lerp(coral, paper, 2 * light - 1), torch.lerp(navy, coral, 2 * light))


def pixel(rgb: Tensor) -> Tensor:
    """Blocks of PIXEL_PX in few colours."""
    blocks = F.avg_pool2d(rgb, PIXEL_PX).mul(LEVELS).round().div(LEVELS)
    return F.interpolate(blocks, scale_factor=PIXEL_PX, mode="nearest")


FILTERS = {"blueprint": Filter("Blueprint", "Draws anything as white lines on blue paper.", blueprint),
           "dusk": Filter("Dusk", "Paints anything in evening light, violet above and orange below.", dusk),
           "ink": Filter("Ink and wash", "Draws anything with dark ink on cream paper.", ink),
           "night": Filter("Night", "Paints anything glowing on midnight blue.", night),
           "two-inks": Filter("Two inks", "Prints anything in coral and navy on cream paper.", two_inks),
           "pixel": Filter("Pixel art", "Draws anything in coarse square pixels.", pixel)}
