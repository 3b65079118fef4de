"""Looks drawn at random: formulas that redraw any picture the same way, so that a style picture and its truth can be made in any number.

Every look keeps what is where, so that what it makes of a drawing is the exact answer to "this drawing in that style".
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.lab.filters import FILTERS, _lines, _luma

Look = Callable[[Tensor], Tensor]                    # [B, 3, H, W] in [0, 1] -> the same


def random_look(rng: np.random.Generator) -> Look:
    """One look; the same generator state gives the same one."""
    kind = str(rng.choice(["named", "inks", "outline", "toned", "hatched", "turned", "flat"], p=[0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.1]))
    return {"named": _named, "inks": _inks, "outline": _outline, "toned": _toned, "hatched": _hatched, "turned": _turned, "flat": _flat}[kind](rng)


def _named(rng: np.random.Generator) -> Look:
    """One of the formulas that adapters are made from."""
    return FILTERS[str(rng.choice(sorted(FILTERS)))].apply


def _colour(rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    """[3, 1, 1]: a random hue, its luma in low..high."""
    rgb = torch.from_numpy(rng.random(3).astype(np.float32))
    wanted, own = float(rng.uniform(low, high)), float(rgb.mean())
    rgb = rgb * (wanted / own) if wanted < own else 1 - (1 - rgb) * ((1 - wanted) / (1 - own))
    return rgb[:, None, None]


def _inks(rng: np.random.Generator) -> Look:
    """Light becomes paper, middle tones one ink, dark another; now and then light inks on dark paper."""
    tones = [_colour(rng, 0.82, 1.0), _colour(rng, 0.35, 0.7), _colour(rng, 0.03, 0.3)]
    paper, middle, dark = tones[::-1] if rng.random() < 0.3 else tones
    knee = float(rng.uniform(0.4, 0.7))

    def look(rgb: Tensor) -> Tensor:
        light = _luma(rgb)
        return torch.where(light > knee, torch.lerp(middle, paper, (light - knee) / (1 - knee)), torch.lerp(dark, middle, light / knee))
    return look


def _outline(rng: np.random.Generator) -> Look:
    """Contours in one colour over the drawing's own, which fade towards the paper."""
    line, paper, fade = _colour(rng, 0.0, 0.35), _colour(rng, 0.85, 1.0), float(rng.uniform(0, 1))
    thick = int(rng.choice([1, 3, 5]))

    def look(rgb: Tensor) -> Tensor:
        contour = F.max_pool2d(_lines(rgb), thick, 1, thick // 2)
        return torch.lerp(torch.lerp(rgb * (1 - fade) + paper * fade, rgb * paper, 0.5), line.expand_as(rgb), contour)
    return look


def _toned(rng: np.random.Generator) -> Look:
    """Light, contrast and colour of another hour: a colour cast, weaker or stronger colours."""
    cast, vivid, gamma = _colour(rng, 0.55, 0.95), float(rng.uniform(0.0, 1.6)), float(rng.uniform(0.6, 1.7))

    def look(rgb: Tensor) -> Tensor:
        light = _luma(rgb)
        return ((light + vivid * (rgb - light)).clamp(0, 1) ** gamma * cast).clamp(0, 1)
    return look


def _hatched(rng: np.random.Generator) -> Look:
    """Tone by parallel lines, the darker the broader."""
    ink, paper = _colour(rng, 0.0, 0.3), _colour(rng, 0.85, 1.0)
    angle, step = float(rng.uniform(0, np.pi)), float(rng.uniform(6, 12))

    def look(rgb: Tensor) -> Tensor:
        height, width = rgb.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        wave = ((x * np.cos(angle) + y * np.sin(angle)) / step) % 1
        drawn = torch.sigmoid(((1 - _luma(rgb)) - (wave - 0.5).abs() * 2 * 0.95 - 0.03) * 14)
        return torch.lerp(paper.expand_as(rgb), ink.expand_as(rgb), torch.maximum(drawn, _lines(rgb)))
    return look


def _turned(rng: np.random.Generator) -> Look:
    """Hues turned round the grey axis, by Rodrigues' formula."""
    angle = float(rng.uniform(0.6, 2 * np.pi - 0.6))
    cos, sin = np.cos(angle), np.sin(angle) / 3 ** 0.5
    matrix = torch.tensor(np.eye(3) * cos + (1 - cos) / 3 + sin * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), dtype=torch.float32)
    return lambda rgb: torch.einsum("ij,bjhw->bihw", matrix, rgb).clamp(0, 1)


def _flat(rng: np.random.Generator) -> Look:
    """Smooth areas in few levels, as cut from paper."""
    levels, soft = int(rng.integers(3, 6)), int(rng.choice([3, 5, 7]))
    return lambda rgb: F.avg_pool2d(F.pad(rgb, (soft // 2,) * 4, mode="replicate"), soft, 1).mul(levels).round().div(levels)
