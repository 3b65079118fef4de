"""Drawing one picture into a box of the canvas: turned, flipped, shrunk by true areas, with edges as sharp as a pixel allows.

Only the box that is asked for is computed, from the part of the picture that it shows, so a canvas of any size can be drawn piece
by piece. Colour is premultiplied on the way (float32 [h, w, 4] in [0, 1]).
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from models.layers.blending import bounded, premultiplied
from models.layers.stack import Placement

NEAR_PX = 1e-4                                       # closer than this to a whole pixel is on it
TILE_PX = 1024                                       # a turned tile of this side shows a bounded part of the picture
CHUNK_PX = 1_000_000                                 # source pixels that are summed at once
REACH = 3                                            # pixels beyond a tile that cubic interpolation looks at


class Box(NamedTuple):
    """Whole pixels: left and top are inside, right and bottom are not."""
    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return max(0, self.right - self.left), max(0, self.bottom - self.top)

    @property
    def empty(self) -> bool:
        return 0 in self.size

    def cut(self, other: Box) -> Box:
        """What both cover."""
        return Box(max(self.left, other.left), max(self.top, other.top), min(self.right, other.right), min(self.bottom, other.bottom))

    def within(self, outer: Box) -> tuple[slice, slice]:
        """The rows and columns of this box in an array of `outer`."""
        return slice(self.top - outer.top, self.bottom - outer.top), slice(self.left - outer.left, self.right - outer.left)


def box_of(place: Placement) -> Box:
    """Every pixel that a placed picture touches."""
    left, top, right, bottom = place.bounds()
    return Box(math.floor(left + NEAR_PX), math.floor(top + NEAR_PX), math.ceil(right - NEAR_PX), math.ceil(bottom - NEAR_PX))


def drawn(pixels: np.ndarray, place: Placement, box: Box) -> np.ndarray:
    """uint8 straight RGBA [h, w, 4] at `place` -> float32 premultiplied of the size of `box`. A picture at its own size on whole pixels,
    also flipped or turned by quarters, comes out exactly as it is."""
    pixels, place = _upright(pixels, place)
    out = np.zeros((box.bottom - box.top, box.right - box.left, 4), np.float32)
    seen = box.cut(box_of(place))
    if seen.empty:
        return out
    corner = _whole_corner(pixels, place)
    h, w = pixels.shape[:2]
    if corner:
        out[seen.within(box)] = premultiplied(pixels[seen.within(Box(*corner, 0, 0))])
    elif place.angle_deg == 0 and place.width <= w and place.height <= h:
        spans = _spans(seen.left, seen.right, place.corner[0], w / place.width), _spans(seen.top, seen.bottom, place.corner[1], h / place.height)
        out[seen.within(box)] = _area(pixels, *spans)
    else:
        for tile in _tiles(seen):
            out[tile.within(box)] = _warped(pixels, place, tile)
    return out


def _upright(pixels: np.ndarray, place: Placement) -> tuple[np.ndarray, Placement]:
    """Flips and quarter turns done on the pixels themselves; what is left of the turn stays in the placement."""
    pixels = pixels[::-1 if place.flip_y else 1, ::-1 if place.flip_x else 1]
    quarters, rest = divmod(place.angle_deg, 90)
    if rest:
        return pixels, replace(place, flip_x=False, flip_y=False)
    size = (place.height, place.width) if quarters % 2 else (place.width, place.height)
    return np.rot90(pixels, -int(quarters) % 4), Placement(place.x, place.y, *size)


def _whole_corner(pixels: np.ndarray, place: Placement) -> tuple[int, int] | None:
    """Where a picture at its own size begins, if it does on a whole pixel."""
    numbers = (*place.corner, place.width - pixels.shape[1], place.height - pixels.shape[0])
    whole = all(abs(n - round(n)) < NEAR_PX for n in numbers) and place.angle_deg == 0
    return (round(numbers[0]), round(numbers[1])) if whole and round(numbers[2]) == round(numbers[3]) == 0 else None


# --- shrinking ---------------------------------------------------------------------------------------------------------

def _spans(first: int, last: int, start: float, step: float) -> np.ndarray:
    """Edges [n + 1], in source pixels, of the canvas pixels `first`..`last` of a picture that starts at `start`."""
    return (np.arange(first, last + 1, dtype=np.float64) - start) * step


def _area(pixels: np.ndarray, edges_x: np.ndarray, edges_y: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 4] -> premultiplied [len(edges_y) - 1, len(edges_x) - 1, 4]: the true mean over every cell, nothing outside."""
    width = max(1.0, min(edges_x[-1], pixels.shape[1]) - max(edges_x[0], 0))
    rows = max(1, int(CHUNK_PX / width / (edges_y[1] - edges_y[0])))
    parts = [edges_y[i:i + rows + 1] for i in range(0, len(edges_y) - 1, rows)]
    return np.concatenate([_area_of(pixels, edges_x, part) for part in parts])


def _area_of(pixels: np.ndarray, edges_x: np.ndarray, edges_y: np.ndarray) -> np.ndarray:
    (top, bottom), (left, right) = _inside(edges_y, pixels.shape[0]), _inside(edges_x, pixels.shape[1])
    part = premultiplied(pixels[top:bottom, left:right])
    return _means(_means(part, edges_y - top, 0), edges_x - left, 1)


def _inside(edges: np.ndarray, most: int) -> tuple[int, int]:
    """The whole source pixels that lie under the edges; at least one."""
    low = min(max(math.floor(edges[0]), 0), most - 1)
    return low, max(low + 1, min(math.ceil(edges[-1]), most))


def _means(values: np.ndarray, edges: np.ndarray, axis: int) -> np.ndarray:
    """Means of `values` between neighbouring `edges` along an axis, out of running sums (Crow 1984); 0 outside."""
    values = np.moveaxis(values, axis, 0)
    sums = np.zeros((len(values) + 1, *values.shape[1:]), np.float64)
    np.cumsum(values, axis=0, out=sums[1:])
    edge = edges.clip(0, len(values))
    whole = np.minimum(edge.astype(np.intp), len(values) - 1)
    part = (edge - whole).reshape(-1, *[1] * (values.ndim - 1))
    cells = np.diff(sums[whole] * (1 - part) + sums[whole + 1] * part, axis=0) / (edges[1] - edges[0])
    return np.moveaxis(cells.astype(np.float32), 0, axis)


# --- turning and growing -----------------------------------------------------------------------------------------------------

def _tiles(box: Box) -> Iterator[Box]:
    for top in range(box.top, box.bottom, TILE_PX):
        for left in range(box.left, box.right, TILE_PX):
            yield Box(left, top, min(left + TILE_PX, box.right), min(top + TILE_PX, box.bottom))


def _warped(pixels: np.ndarray, place: Placement, tile: Box) -> np.ndarray:
    """The general case: shrunk by true areas where it shrinks, then turned with cubic interpolation; its edges are cut by how much of
    each canvas pixel the turned rectangle covers."""
    h, w = pixels.shape[:2]
    grid = np.array([max(1, min(w, round(place.width))), max(1, min(h, round(place.height)))])
    linear, start = _to_local(place, tile)
    to_grid = grid / (place.width, place.height)
    corners = [to_grid * (linear @ p + start) for p in ((0, 0), (tile.size[0], 0), (0, tile.size[1]), tile.size)]
    low = np.clip(np.floor(np.min(corners, 0)).astype(int) - REACH, 0, grid - 1)
    high = np.clip(np.ceil(np.max(corners, 0)).astype(int) + REACH, low + 1, grid)
    part = _on_grid(pixels, grid, Box(*low, *high))
    matrix = np.column_stack([to_grid[:, None] * linear, to_grid * (linear @ (0.5, 0.5) + start) - low - 0.5])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(part, matrix, tile.size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    out = bounded(out)
    return out if _all_inside(corners, grid) else out * _coverage(linear, start, place, tile)[..., None]


def _all_inside(corners: list[np.ndarray], grid: np.ndarray) -> bool:
    """Whether no pixel of a tile with these corners, in pixels of the grid, reaches over the picture's edges."""
    return bool(np.min(corners) >= 1 and (np.max(corners, 0) <= grid - 1).all())


def _to_local(place: Placement, tile: Box) -> tuple[np.ndarray, np.ndarray]:
    """(matrix [2, 2], offset [2]) from tile pixels to pixels of the unturned drawn picture, whose corner is (0, 0)."""
    c, s = math.cos(math.radians(place.angle_deg)), math.sin(math.radians(place.angle_deg))
    linear = np.array([[c, s], [-s, c]])
    return linear, linear @ (tile.left - place.x, tile.top - place.y) + (place.width / 2, place.height / 2)


def _on_grid(pixels: np.ndarray, grid: np.ndarray, part: Box) -> np.ndarray:
    """Premultiplied pixels of a part of the picture after it was shrunk to `grid` (width, height)."""
    h, w = pixels.shape[:2]
    if (w, h) == tuple(grid):
        return premultiplied(pixels[part.top:part.bottom, part.left:part.right])
    return _area(pixels, _spans(part.left, part.right, 0, w / grid[0]), _spans(part.top, part.bottom, 0, h / grid[1]))


def _coverage(linear: np.ndarray, start: np.ndarray, place: Placement, tile: Box) -> np.ndarray:
    """float32 [h, w]: the share of each pixel that lies in the rectangle; exact for an upright one, within a few hundredths for a turned one."""
    x, y = np.meshgrid(np.arange(tile.size[0]) + 0.5, np.arange(tile.size[1]) + 0.5)
    shares = [_overlap(linear[i, 0] * x + linear[i, 1] * y + start[i], side) for i, side in enumerate((place.width, place.height))]
    return (shares[0] * shares[1]).astype(np.float32)


def _overlap(centre: np.ndarray, side: float) -> np.ndarray:
    """How much of [centre - 1/2, centre + 1/2] lies in [0, side]."""
    return (np.minimum(centre + 0.5, side) - np.maximum(centre - 0.5, 0)).clip(0, 1)
