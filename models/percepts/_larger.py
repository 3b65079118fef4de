"""What everything that enlarges has in common: uint8 tiles in, larger float tiles out, by any whole or broken factor up to its own."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class Larger:
    """A percept that sees "larger". `scale`: how many times its `enlarge` makes a picture larger; takes_scores: whether blur, noise and
    fidelity matter to it."""
    scale: int
    device: Any
    takes_scores = False

    def enlarge(self, rgb: Tensor, **told: Any) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 3, scale H, scale W] in [0, 1]."""
        raise NotImplementedError

    def look(self, rgb: Tensor) -> Tensor:
        """As `enlarge` without being told anything."""
        return self.enlarge(rgb)

    def tensor(self, rgb: np.ndarray) -> Tensor:
        """uint8 [H, W, 3] -> [1, 3, H, W] in [0, 1] on its device."""
        return torch.from_numpy(np.array(rgb)).to(self.device.name).permute(2, 0, 1)[None].float() / 255

    def tile(self, rgb: np.ndarray, factor: int, scores: tuple[float, float] | None = None, fidelity: float = 0.5) -> np.ndarray:
        """uint8 [H, W, 3] -> float32 [factor H, factor W, 3] in [0, 1]; what is larger than asked is averaged down."""
        told = {"scores": torch.tensor([scores]), "fidelity": fidelity} if scores is not None and self.takes_scores else {}
        made = self.enlarge(self.tensor(rgb), **told).float()
        if self.scale > factor:
            made = F.interpolate(made, (rgb.shape[0] * factor, rgb.shape[1] * factor), mode="area")
        return made[0].permute(1, 2, 0).cpu().numpy()
