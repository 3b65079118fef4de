"""Layered scenes with exact truth for the bench of edits: named drawings that no network here was trained on, over simple drawn places.

The drawings (assets/percepts/edit_things.webp, written by `python -m models.lab edit_things`) are held-out ones: their concept in that style
was never shown to base, matting or judge of the app. Everything is drawn by number, so a scene is the same on every machine.
"""
from __future__ import annotations

import json
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from models.weights import ASSETS

THINGS, CELL_PX, SIDE_PX = ASSETS / "percepts" / "edit_things.webp", 192, 256
GROUNDS = ("plain", "field", "sky")
FREE_SPOTS = {1: ((0.5, 0.55),), 2: ((0.28, 0.6), (0.73, 0.55)), 3: ((0.22, 0.6), (0.52, 0.4), (0.8, 0.66))}


@dataclass(frozen=True)
class Thing:
    """name: its words without an article; rgba: straight uint8 [192, 192, 4]."""
    name: str
    rgba: np.ndarray


@dataclass(frozen=True)
class Scene:
    """ground uint8 [256, 256, 3]; layers: (name, straight uint8 [256, 256, 4]) bottom to top."""
    ground: np.ndarray
    layers: tuple[tuple[str, np.ndarray], ...]
    kind: str = "plain"

    @property
    def rgb(self) -> np.ndarray:
        return self.without("")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.layers)

    def without(self, name: str) -> np.ndarray:
        """uint8 [256, 256, 3]: the truth of a removal."""
        out = self.ground.astype(np.float32)
        for other, layer in self.layers:
            alpha = layer[..., 3:].astype(np.float32) / 255
            out = out if other == name else layer[..., :3] * alpha + out * (1 - alpha)
        return out.round().astype(np.uint8)

    def alpha(self, name: str) -> np.ndarray:
        """float32 [256, 256] in 0..1: what shows of a thing."""
        above = np.ones((SIDE_PX, SIDE_PX), np.float32)
        for other, layer in reversed(self.layers):
            own = layer[..., 3].astype(np.float32) / 255
            if other == name:
                return own * above
            above = above * (1 - own)
        return above * 0


def things() -> list[Thing]:
    """All drawings of the sheet, in its order."""
    names = json.loads(THINGS.with_suffix(".json").read_text(encoding="utf-8"))
    sheet = np.asarray(Image.open(THINGS).convert("RGBA"))
    columns = sheet.shape[1] // CELL_PX
    cell = lambda k: sheet[k // columns * CELL_PX:(k // columns + 1) * CELL_PX, k % columns * CELL_PX:(k % columns + 1) * CELL_PX]
    return [Thing(name, cell(k)) for k, name in enumerate(names)]


def scene(number: int, pool: list[Thing], count: int = 2, kind: str | None = None) -> Scene:
    """Scene `number` with `count` different things of the pool."""
    rng = np.random.default_rng([number, count])
    kind = kind or GROUNDS[number % len(GROUNDS)]
    chosen = [pool[k] for k in rng.choice(len(pool), count, replace=False)]
    layers = tuple((thing.name, put(thing.rgba, size, x, y)) for thing, size, (x, y) in
                   zip(chosen, rng.uniform(0.33, 0.44, count) if count > 1 else (0.6,), FREE_SPOTS[count]))
    return Scene(ground(kind, rng), layers, kind)


def put(rgba: np.ndarray, size: float, x: float, y: float) -> np.ndarray:
    """A drawing with its middle at (x, y) and its frame `size` of the side large, uint8 [256, 256, 4]."""
    scale = size * SIDE_PX / rgba.shape[0]
    f = rgba.astype(np.float32)
    f[..., :3] *= f[..., 3:] / 255
    small = cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = round(x * SIDE_PX - small.shape[1] / 2), round(y * SIDE_PX - small.shape[0] / 2)
    m = np.float32([[1, 0, left], [0, 1, top]])
    f = cv2.warpAffine(small, m, (SIDE_PX, SIDE_PX), flags=cv2.INTER_NEAREST)
    rgb = np.where(f[..., 3:] > 0.5, f[..., :3] * 255 / np.maximum(f[..., 3:], 0.5), 0)
    return np.dstack([rgb, f[..., 3]]).clip(0, 255).round().astype(np.uint8)


def ground(kind: str, rng: np.random.Generator) -> np.ndarray:
    """uint8 [256, 256, 3]: one colour; a field under a sky with a wavy horizon; or only a sky, lighter below."""
    if kind == "plain":
        return np.broadcast_to(rng.integers(120, 256, 3).astype(np.uint8), (SIDE_PX, SIDE_PX, 3)).copy()
    top, bottom = rng.integers(90, 190, 3).astype(np.float32), rng.integers(190, 250, 3).astype(np.float32)
    shade = np.linspace(0, 1, SIDE_PX, dtype=np.float32)[:, None, None]
    out = np.repeat(top * (1 - shade) + bottom * shade, SIDE_PX, 1)
    if kind == "field":
        horizon = SIDE_PX * rng.uniform(0.55, 0.7) + 6 * np.sin(np.arange(SIDE_PX) / SIDE_PX * rng.uniform(3, 9) + rng.uniform(0, 6))
        out[np.arange(SIDE_PX)[:, None] >= horizon[None]] = rng.integers(60, 220, 3)
    return out.clip(0, 255).round().astype(np.uint8)
