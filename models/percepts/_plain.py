"""Percepts that are plain image processing: a function of uint8 pictures, dressed as one of tensors."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.pixels import to_uint8
from models.spec import PerceptSpec


def seen_by(find: Callable[[np.ndarray], np.ndarray], rgb: Tensor) -> Tensor:
    """`find`: uint8 [H, W, 3] -> bool [H, W]; applied to every picture of rgb [B, 3, H, W] in [0, 1]. Returns [B, 1, H, W] of 0 and 1."""
    found = np.stack([find(picture) for picture in to_uint8(rgb)])
    return torch.from_numpy(found[:, None].astype(np.float32)).to(rgb.device)


class Plain:
    """The percept of one such function: lines one pixel wide, no weights."""

    def __init__(self, spec: PerceptSpec, find: Callable[[np.ndarray], np.ndarray]) -> None:
        self.spec, self.find = spec, find

    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 1, H, W] of 0 and 1."""
        return seen_by(self.find, rgb)

    def bytes_resident(self) -> int:
        return 0
