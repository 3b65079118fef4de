"""A large picture made of overlapping tiles: where they lie, how much each counts where, and how they are joined row by row.

Near its edge a tile does not know what lies beyond, so the outer part of an overlap counts nothing and the middle part fades from one
tile to the next. Only one row of tiles is held at a time, so memory does not grow with the height of a picture.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNSEEN = 1 / 3                                       # of an overlap at either side, where a tile counts nothing
Window = tuple[int, int, int, int]                   # top, left, height, width


def starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of `tile` px begin so that they cover `size` px and overlap by `overlap` px at least; the last one ends at the end. All
    others begin at even px, so that a net which halves a picture pairs the same px in every tile."""
    if size <= tile:
        return [0]
    count = -(-(size - overlap) // (tile - overlap - 2))
    return [i * (size - tile) // (count - 1) // 2 * 2 for i in range(count - 1)] + [size - tile]


def shares(size: int, tile: int, at: list[int], scale: int) -> list[np.ndarray]:
    """How much each tile counts along one side, float32 [tile * scale] each; at every px of size * scale they add up to 1."""
    length = min(tile, size)
    raw = []
    for i, start in enumerate(at):
        share = np.ones(length * scale, np.float32)
        if i:
            share = np.minimum(share, _rise(at[i - 1] + length - start, length, scale))
        if i + 1 < len(at):
            share = np.minimum(share, _rise(start + length - at[i + 1], length, scale)[::-1])
        raw.append(share)
    total = np.zeros(size * scale, np.float32)
    for start, share in zip(at, raw, strict=True):
        total[start * scale:(start + length) * scale] += share
    return [share / total[start * scale:(start + length) * scale] for start, share in zip(at, raw, strict=True)]


def _rise(overlap: int, length: int, scale: int) -> np.ndarray:
    """0 in the first third of an overlap, up to 1 over the second; float32 [length * scale]."""
    where = (np.arange(length * scale, dtype=np.float32) + 0.5) / (overlap * scale)
    return np.clip((where - UNSEEN) / (1 - 2 * UNSEEN), 0, 1)


@dataclass(frozen=True)
class Tiles:
    """Tiles of a picture of height x width px, to be enlarged `scale` times."""
    height: int
    width: int
    scale: int = 1
    tile: int = 192
    overlap: int = 48

    @cached_property
    def tops(self) -> list[int]:
        return starts(self.height, self.tile, self.overlap)

    @cached_property
    def lefts(self) -> list[int]:
        return starts(self.width, self.tile, self.overlap)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def joined(self, made: Callable[[Window], np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """`made(window)` -> float32 [h * scale, w * scale, C]; yields (top, float32 [rows, width * scale, C]) in order, each row once."""
        high, wide = min(self.tile, self.height), min(self.tile, self.width)
        down, across = (shares(size, self.tile, at, self.scale) for size, at in ((self.height, self.tops), (self.width, self.lefts)))
        rest: np.ndarray | None = None
        for i, top in enumerate(self.tops):
            band: np.ndarray | None = None
            for left, share in zip(self.lefts, across, strict=True):
                piece = made((top, left, high, wide)) * share[:, None]
                band = np.zeros((piece.shape[0], self.width * self.scale, piece.shape[2]), np.float32) if band is None else band
                band[:, left * self.scale:(left + wide) * self.scale] += piece
            band *= down[i][:, None, None]
            if rest is not None:
                band[:len(rest)] += rest
            done = (self.tops[i + 1] - top if i + 1 < len(self.tops) else high) * self.scale
            yield top * self.scale, band[:done]
            rest = band[done:]
