"""How a large picture becomes a bad small one: blurred, made smaller, noisy, compressed (Wang et al. 2021, "Real-ESRGAN", section 3, in the
ranges of S3Diff), or as the embedded base would have painted it: through its autoencoder, with latents a little wrong.

Scores are shares of the ranges: blur of `BLUR_PX` of the small picture, noise of a deviation of `NOISE` of 255.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from models.nets.upscale import SCALE

BLUR_PX, NOISE = 1.5, 15.0
SHRINKS = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LINEAR)
Rng = np.random.Generator


@dataclass(frozen=True)
class Damage:
    """blur, noise in [0, 1]; squeeze: how much rounder the blur is one way than the other; jpeg: quality, 0 = not compressed."""
    blur: float = 0.0
    noise: float = 0.0
    squeeze: float = 1.0
    turn_deg: float = 0.0
    grey_noise: bool = False
    shrink: int = cv2.INTER_AREA
    jpeg: int = 0

    @property
    def scores(self) -> tuple[float, float]:
        return self.blur, self.noise


SEVERITIES = {"light": Damage(0.15, 0.05, jpeg=92), "middle": Damage(0.45, 0.3, jpeg=80), "heavy": Damage(0.8, 0.75, jpeg=65)}
"""What every held-out picture is measured under; blur and noise vary by a tenth about these."""


def random_damage(rng: Rng) -> Damage:
    """A third of the pictures is not noisy, a fifth not blurred, half not compressed: most pictures that people enlarge are good."""
    return Damage(blur=0.0 if rng.random() < 0.2 else float(rng.uniform(0.05, 1)), noise=0.0 if rng.random() < 0.35 else float(rng.random() ** 1.5),
                  squeeze=float(rng.uniform(1, 2)) if rng.random() < 0.2 else 1.0, turn_deg=float(rng.uniform(0, 180)),
                  grey_noise=rng.random() < 0.3, shrink=SHRINKS[rng.integers(len(SHRINKS))], jpeg=int(rng.integers(60, 96)) if rng.random() < 0.5 else 0)


def near(damage: Damage, rng: Rng) -> Damage:
    """The same severity, a little other."""
    off = lambda value: float(np.clip(value + rng.uniform(-0.1, 0.1), 0, 1))
    return Damage(off(damage.blur), off(damage.noise), jpeg=damage.jpeg)


def damaged(large: np.ndarray, damage: Damage, rng: Rng) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [H / 4, W / 4, 3]."""
    size = (large.shape[1] // SCALE, large.shape[0] // SCALE)
    f = _blurred(large.astype(np.float32), damage)
    f = cv2.resize(f, size, interpolation=damage.shrink)
    if damage.noise:
        grain = rng.standard_normal(f.shape[:2] + ((1,) if damage.grey_noise else (3,)), np.float32)
        f = f + grain * (damage.noise * NOISE)
    small = f.clip(0, 255).round().astype(np.uint8)
    return _compressed(small, damage.jpeg) if damage.jpeg else small


def _blurred(f: np.ndarray, damage: Damage) -> np.ndarray:
    """By a Gaussian of blur * BLUR_PX of the small picture, longer one way where it is squeezed."""
    sigma = damage.blur * BLUR_PX * SCALE
    if sigma < 0.3:
        return f
    if damage.squeeze == 1.0:
        return cv2.GaussianBlur(f, (0, 0), sigma)
    reach = int(np.ceil(2.5 * sigma))
    y, x = np.mgrid[-reach:reach + 1, -reach:reach + 1].astype(np.float32)
    a = np.radians(damage.turn_deg)
    u, v = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    kernel = np.exp(-0.5 * ((u / sigma) ** 2 + (v * damage.squeeze / sigma) ** 2))
    return cv2.filter2D(f, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def _compressed(small: np.ndarray, quality: int) -> np.ndarray:
    coded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(coded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


class Painted:
    """Small pictures as the embedded base's decoder would give them. `nets`: its encoder and decoder."""

    def __init__(self, nets: Sequence[torch.nn.Module]) -> None:
        self.encoder, self.decoder = (net.eval().requires_grad_(False) for net in nets)

    @torch.no_grad()
    def __call__(self, small: np.ndarray, rng: Rng) -> np.ndarray:
        """uint8 [B, H, W, 3], sides multiples of 16 -> the same through latents whose finer components are weakened and disturbed, as those
        of a painter are that did not quite make up its mind."""
        rgb = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
        latents = self.encoder(rgb)
        count = latents.shape[1]
        fine = torch.linspace(0, 1, count)[None, :, None, None]
        weak, wrong = (torch.from_numpy(rng.uniform(0, top, (len(small), 1, 1, 1)).astype(np.float32)) for top in (0.35, 0.1))
        off = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
        out: Tensor = self.decoder(latents * (1 - weak * fine) + wrong * off)
        return (out.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
