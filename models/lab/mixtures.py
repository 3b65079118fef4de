"""Pictures for the autoencoder: drawings over white, colours and drawn scenes, shifted and scaled so that no edge sits still."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.lab.items import Item
from models.lab.pictures import BACKGROUNDS, SCENES, over, place, scene_background

_COLORS = np.uint8(list(BACKGROUNDS.values()))
HELD_OUT = ("val", "test_pair", "test_concept")


def training_pictures(items: Sequence[Item], rgba: np.ndarray) -> Callable[[np.random.Generator, int], np.ndarray]:
    """-> f(rng, n) = uint8 [n, 256, 256, 3]."""
    train = [i for i, item in enumerate(items) if item.split == "train"]
    scenes = [scene_background(SCENES[k % len(SCENES)], np.random.default_rng(k)) for k in range(64)]

    def one(rng: np.random.Generator) -> np.ndarray:
        drawing = np.roll(np.asarray(rgba[rng.choice(train)]), tuple(rng.integers(-8, 9, 2)), (0, 1))
        if rng.random() < 0.15:
            drawing = place(drawing, rng.uniform(0.4, 0.9), 0.5, 0.5, rng.uniform(-10, 10))
        where = rng.random()
        if where < 0.55:
            return over(drawing, _COLORS[0])
        return over(drawing, _COLORS[rng.integers(len(_COLORS))] if where < 0.8 else scenes[rng.integers(len(scenes))])

    return lambda rng, n: np.stack([one(rng) for _ in range(n)])


def held_out_pictures(items: Sequence[Item], rgba: np.ndarray, count: int = 64) -> Tensor:
    """[count, 3, 256, 256] in [0, 1], on white, never trained on."""
    chosen = [i for i, item in enumerate(items) if item.split in HELD_OUT]
    chosen = chosen[::max(1, len(chosen) // count)][:count]
    return torch.from_numpy(np.stack([over(np.asarray(rgba[i]), _COLORS[0]) for i in chosen])).permute(0, 3, 1, 2).float() / 255
