"""Line drawings to points on a sphere: a tower over 64x64 rasters of lines, one for doodles and pictures alike.

After "More Photos are All You Need" (Bhunia et al. 2021): F(sketch) lies near F(picture) of the same thing. Both sides arrive as thin
lines cut to their own box, so where and how large something stands does not matter and one tower serves both.
"""
from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.likeness"
SIDE_PX = 64
DRAWN_PX = 56                                        # the longer side of the lines within the raster
SMALLEST_PX = 8                                      # a dot is not blown up to a disc
DIMENSIONS = 64
MEAN, DEVIATION = 0.18, 0.31                         # of the pixels of rasters of drawings


class Tower(nn.Module):
    """rasters [B, 1, 64, 64] in [0, 1] -> unit vectors [B, 64]. The raster is folded into channels first (convolutions at 64x64 would cost
    more than the rest together); the linear layer at the end still knows where things are, 4x4 places."""

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256), dimensions: int = DIMENSIONS, fold: int = 4) -> None:
        super().__init__()
        self.fold = fold
        before = (fold ** 2, *widths[:-1])
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 1 if k == 0 else 2, 1) for k, (a, b) in enumerate(zip(before, widths)))
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in widths)
        places = (SIDE_PX // fold >> (len(widths) - 1)) ** 2
        self.leave = nn.Linear(widths[-1] * places, dimensions)

    def forward(self, rasters: Tensor) -> Tensor:
        x = F.pixel_unshuffle((rasters - MEAN) / DEVIATION, self.fold)
        for conv, norm in zip(self.convs, self.norms):
            x = F.silu(norm(conv(x)))
        return F.normalize(self.leave(x.flatten(1)), dim=1)


def raster(lines: np.ndarray) -> np.ndarray:
    """bool [H, W] of thin lines -> float32 [64, 64] in [0, 1]: their box, centred, its longer side DRAWN_PX; all 0 without lines."""
    ys, xs = np.flatnonzero(lines.any(1)), np.flatnonzero(lines.any(0))
    if not len(ys):
        return np.zeros((SIDE_PX, SIDE_PX), np.float32)
    box = lines[ys[0]:ys[-1] + 1, xs[0]:xs[-1] + 1]
    side = max(SMALLEST_PX, *box.shape)
    whole = round(side * SIDE_PX / DRAWN_PX)
    top, left = (whole - box.shape[0]) // 2, (whole - box.shape[1]) // 2
    square = np.zeros((whole, whole), np.float32)
    square[top:top + box.shape[0], left:left + box.shape[1]] = box
    small = cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA if whole > SIDE_PX else cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(small, (0, 0), 0.6)
    return np.minimum(soft / np.quantile(soft[soft > 0.1 * soft.max()], 0.8), 1)


def stacked(rasters: list[np.ndarray] | np.ndarray) -> Tensor:
    """Rasters, float 0..1 or uint8 0..255, as the tower takes them."""
    t = torch.from_numpy(np.stack(rasters))[:, None]
    return t.float() / 255 if t.dtype == torch.uint8 else t.float()
