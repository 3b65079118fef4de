"""A sprite sheet: every layer that is shown, trimmed and packed side by side, with an atlas that game engines read (the "hash" form of
TexturePacker: Phaser, PixiJS, Godot)."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.errors import BadInput
from models.job import Picture
from models.layers.stack import Layer, Stack
from studio.export import About, Format, _parts
from studio.export._parts import Piece

PADDING_PX = 2                                       # between sprites and around them, so that none bleeds into its neighbour
MAX_SIDE_PX = 8192                                   # of a texture on most cards


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """A zip of sprites.png and sprites.json."""
    return _parts.zipped(files(stack, pictures, scale, about).items())


def files(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> dict[str, bytes]:
    """Raises BadInput when no layer is shown or they fill more than one sheet."""
    width, height = _parts.size(stack, scale, _parts.MAX_LAYERED_PX, "a sprite sheet")
    layers = list(_parts.seen(stack.layers))
    if not layers:
        raise BadInput("No layer is shown, so there are no sprites.", "Show some layers first.")
    pieces = [_parts.trimmed(_parts.piece(layer, stack, pictures, scale)) for layer in layers]
    corners, size = packed([piece.pixels.shape[1::-1] for piece in pieces])
    sheet = np.zeros((size[1], size[0], 4), np.uint8)
    for piece, (x, y) in zip(pieces, corners, strict=True):
        h, w = piece.pixels.shape[:2]
        sheet[y:y + h, x:x + w] = piece.pixels
    taken: set[str] = set()
    frames = {_parts.file_name(layer.name, taken): _frame(layer, piece, corner, (width, height))
              for layer, piece, corner in zip(layers, pieces, corners, strict=True)}
    meta = {"app": _parts.SOFTWARE, "version": "1.0", "image": "sprites.png", "format": "RGBA8888", "size": _size(*size), "scale": f"{scale:g}"}
    return {"sprites.png": _parts.png_bytes(sheet), "sprites.json": json.dumps({"frames": frames, "meta": meta}, indent=1).encode()}


def packed(sizes: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Corners (x, y) of boxes (width, height) that never touch, and the size of the sheet: shelves of falling height (NFDH, Coffman 1980)
    at the width that makes the sheet smallest."""
    widest = max(width for width, _ in sizes) + 2 * PADDING_PX
    area = sum((width + PADDING_PX) * (height + PADDING_PX) for width, height in sizes)
    tries = {max(widest, min(MAX_SIDE_PX, round(area ** 0.5 * factor))) for factor in (0.8, 1.0, 1.1, 1.25, 1.5, 2.0)}
    corners, size = min((_shelves(sizes, width) for width in tries), key=lambda made: (max(made[1]) > MAX_SIDE_PX, made[1][0] * made[1][1]))
    if max(size) > MAX_SIDE_PX:
        raise BadInput(f"The sprites would fill {size[0]}x{size[1]} px; {MAX_SIDE_PX} px a side is the most.", "Choose a smaller scale.")
    return corners, size


def _shelves(sizes: Sequence[tuple[int, int]], width: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    corners, x, y, shelf, right = {}, PADDING_PX, PADDING_PX, 0, 0
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], -sizes[i][0])):
        w, h = sizes[i]
        if x + w + PADDING_PX > width and x > PADDING_PX:
            x, y, shelf = PADDING_PX, y + shelf + PADDING_PX, 0
        corners[i] = (x, y)
        x, shelf = x + w + PADDING_PX, max(shelf, h)
        right = max(right, x)
    return [corners[i] for i in range(len(sizes))], (right, y + shelf + PADDING_PX)


def _frame(layer: Layer, piece: Piece, corner: tuple[int, int], canvas: tuple[int, int]) -> dict[str, Any]:
    h, w = piece.pixels.shape[:2]
    return {"frame": {"x": corner[0], "y": corner[1], "w": w, "h": h}, "rotated": False, "trimmed": True,
            "spriteSourceSize": {"x": piece.left, "y": piece.top, "w": w, "h": h}, "sourceSize": _size(*canvas),
            "opacity": layer.opacity, "blend": layer.blend}


def _size(width: int, height: int) -> dict[str, int]:
    return {"w": width, "h": height}


FORMAT = Format("sprites", "Sprite sheet", "sprites.zip", "application/zip", write, 20)
