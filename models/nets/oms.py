"""One More Step for the embedded base: words -> the mean of their latents, E[x0 | text].

The network of the paper (Hu et al. 2024, arXiv 2311.15744) sees pure noise, which says nothing of the picture; so the best it can answer
is this mean, and a small regressor is its honest form. Train it with the squared error to the latents of captioned pictures.
"""
from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.oms"                               # config = the keywords of LatentMean, tensors = its state dict
SEED_SIDE, SIDE = 4, 16


class LatentMean(nn.Module):
    """pooled sentence embedding [B, text_width] -> mean latents [B, channels, h, w]; grown from 4x4 to 16x16, then stretched to
    `size`. Fresh, it answers 0. 0.5 M weights."""

    def __init__(self, text_width: int = 384, channels: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = hidden
        self.enter = nn.Linear(text_width, hidden * SEED_SIDE ** 2)
        self.grow = nn.ModuleList(nn.Conv2d(hidden, hidden, 3, padding=1) for _ in range(3))
        self.leave = nn.Conv2d(hidden, channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, pooled: Tensor, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
        x = self.enter(pooled).unflatten(1, (self.hidden, SEED_SIDE, SEED_SIDE))
        for i, layer in enumerate(self.grow):
            x = x + layer(F.silu(x))
            x = F.interpolate(x, scale_factor=2.0, mode="nearest") if i < 2 else x
        x = self.leave(F.silu(x))
        return x if tuple(size) == (SIDE, SIDE) else F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
