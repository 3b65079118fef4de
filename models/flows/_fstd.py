"""Denoising on a canvas larger than a base can see: Any-Size-Diffusion's fast seamless tiles (Zheng et al. 2024, section 3.3).

At every step the canvas is cut into tiles that do not overlap, each denoised once; the grid is moved from step to step, so that seams never
meet twice and average out. What the moved grid leaves free at a border takes the reference, the enlarged picture. For comparison the same
walk knows tiles that overlap (Bar-Tal et al. 2023, "MultiDiffusion") and tiles that do not move.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOVING, OVERLAPPING, STILL = "moving", "overlapping", "still"
WAYS = (MOVING, OVERLAPPING, STILL)
HOME_EVERY = 4                                       # steps; at each of these the grid lies at the corner
AT_ONCE = 8                                          # tiles in one call of the network
Denoise = Callable[[Tensor, float, list[tuple[int, int]]], Tensor]
"""(tiles [N, C, T, T], sigma, their corners) -> x0 of each."""


@dataclass(frozen=True)
class Grid:
    """Sides in latent cells. reach: how far a moving grid is moved at most; stride: between tiles that overlap."""
    tile: int = 16
    reach: int = 8
    stride: int = 8

    def corners(self, height: int, width: int, way: str, step: int, seed: int) -> list[tuple[int, int]]:
        """(top, left) of the tiles of one step; none reaches past the canvas."""
        dy, dx = self.offset(step, seed) if way == MOVING else (0, 0)
        along = lambda size, moved: self._along(size, moved, self.stride if way == OVERLAPPING else self.tile, way == MOVING and moved != 0)
        return [(y, x) for y in along(height, dy) for x in along(width, dx)]

    def offset(self, step: int, seed: int) -> tuple[int, int]:
        """How far the grid is moved at a step, towards either side, so that no border is always the one left free."""
        if step % HOME_EVERY == 0:
            return 0, 0
        generator = torch.Generator().manual_seed((seed * 1009 + step) % 2 ** 63)
        return tuple(int(v) for v in torch.randint(-self.reach + 1, self.reach, (2,), generator=generator))

    def _along(self, size: int, moved: int, stride: int, leave: bool) -> list[int]:
        """Where tiles begin along one side: clipped ones move inside; with `leave` a rest smaller than half a tile stays free."""
        last = size - self.tile
        found = [min(max(start, 0), last) for start in range(moved, size, stride) if not (leave and start > last + self.tile // 2)]
        if leave and moved > self.tile // 2:
            found = [0, *found]
        return list(dict.fromkeys(found))


def window(tile: int) -> Tensor:
    """How much a tile counts where, Gaussian about its middle, [tile, tile]."""
    at = (torch.arange(tile) + 0.5) / tile - 0.5
    bell = torch.exp(-0.5 * (at / 0.25) ** 2)
    return bell[:, None] * bell[None]


def x0_of(x: Tensor, sigma: float, reference: Tensor, corners: Sequence[tuple[int, int]], grid: Grid, denoise: Denoise,
          skip: Callable[[int, int], bool] = lambda top, left: False) -> Tensor:
    """x, reference [1, C, H, W] -> the estimate of x0 of the canvas. Tiles that `skip` names are not denoised and take the reference."""
    total, weight, bell = torch.zeros_like(x), torch.zeros_like(x[:, :1]), window(grid.tile).to(x)
    wanted = [corner for corner in corners if not skip(*corner)]
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start:start + AT_ONCE]
        tiles = torch.cat([x[..., y:y + grid.tile, left:left + grid.tile] for y, left in some])
        for (y, left), made in zip(some, denoise(tiles, sigma, some), strict=True):
            here = (..., slice(y, y + grid.tile), slice(left, left + grid.tile))
            total[here] += bell * made
            weight[here] += bell
    return torch.where(weight > 0, total / weight.clamp_min(1e-8), reference)


def fstd(x: Tensor, sigmas: Sequence[float], reference: Tensor, denoise: Denoise, way: str = MOVING, grid: Grid = Grid(), seed: int = 0,
         around: Callable[[int, Callable[[], Tensor]], Tensor] = lambda step, work: work(),
         skip: Callable[[int, int], bool] = lambda top, left: False) -> Tensor:
    """From x = x0 + sigmas[0] * noise [1, C, H, W] down to x0 by the deterministic step. `around(step, work)` returns what work() does."""
    x0 = x
    for i, sigma in enumerate(sigmas):
        corners = grid.corners(*x.shape[-2:], way, i, seed)
        x0 = around(i, lambda x=x, sigma=sigma, corners=corners: x0_of(x, sigma, reference, corners, grid, denoise, skip))
        if i + 1 < len(sigmas):
            x = x0 + (sigmas[i + 1] / sigma) * (x - x0)
    return x0
