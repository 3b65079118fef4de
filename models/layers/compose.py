"""A stack of layers as one picture, at any scale, in strips: what a canvas of 12,000 px needs in memory is its own bytes and no more.

Words and vector drawings are drawn anew at the size they are shown at; who can do so is handed in (`Renderers`).
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from models.layers.blending import laid, to_uint8
from models.errors import BadInput, StudioError
from models.job import Extent, Picture
from models.layers.placing import Box, box_of, drawn
from models.layers.stack import Layer, Node, Placement, Stack, Text

MAX_OUT_SIDE_PX, MAX_OUT_PX = 16_384, 150_000_000    # 12,000 x 12,000 fits
STRIP_PX = 300_000                                   # 5 MB a float buffer: what a processor keeps near
MAX_REDRAWN_PX = 36_000_000
SAME_SIZE = 1e-3                                     # a picture within this share of its drawn size is not drawn anew
SNAP_PX = 2.5                                        # what renderers may round up to


@dataclass(frozen=True)
class Renderers:
    """letter(text, scale) and rasterise(svg, width, height) -> uint8 RGBA [h, w, 4]; None = the layer's picture is resized instead."""
    letter: Callable[[Text, float], np.ndarray] | None = None
    rasterise: Callable[[str, int, int], np.ndarray] | None = None


NO_RENDERERS = Renderers()


def out_size(extent: Extent, scale: float) -> tuple[int, int]:
    """(width, height) of a canvas drawn at a scale. Raises BadInput beyond what can be exported."""
    if not 0 < scale <= MAX_OUT_SIDE_PX:
        raise BadInput(f"{scale} is not a scale.", "Choose a number above 0, for example 1 or 2.")
    width, height = max(1, round(extent.width * scale)), max(1, round(extent.height * scale))
    if max(width, height) > MAX_OUT_SIDE_PX or width * height > MAX_OUT_PX:
        raise BadInput(f"{width}x{height} px is more than can be written ({MAX_OUT_SIDE_PX:,} px a side, {MAX_OUT_PX / 1e6:.0f} megapixels).",
                       "Choose a smaller scale.")
    return width, height


def flatten(stack: Stack, pictures: Mapping[str, Picture], scale: float = 1.0, renderers: Renderers = NO_RENDERERS) -> np.ndarray:
    """The whole stack -> straight RGBA uint8 [H, W, 4]; colour is 0 where nothing is seen."""
    width, height = out_size(stack.extent, scale)
    out = np.empty((height, width, 4), np.uint8)
    for top, rows in strips(stack, pictures, scale, renderers):
        out[top:top + len(rows)] = rows
    return out


def strips(stack: Stack, pictures: Mapping[str, Picture], scale: float = 1.0, renderers: Renderers = NO_RENDERERS,
           strip_px: int = STRIP_PX) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, uint8 RGBA [rows, W, 4]) from top to bottom; whatever their height, the picture is the same to one step of 8 bits."""
    width, height = out_size(stack.extent, scale)
    sheet, step = _Sheet(pictures, scale, renderers), max(1, strip_px // width)
    for top in range(0, height, step):
        yield top, to_uint8(sheet.painted(stack.layers, Box(0, top, width, min(top + step, height))))


def placed(layer: Layer, pictures: Mapping[str, Picture], extent: Extent, scale: float = 1.0, box: Box | None = None,
           renderers: Renderers = NO_RENDERERS) -> np.ndarray:
    """One layer's own pixels where they lie on the canvas, without its opacity and blend mode: straight RGBA uint8 of the canvas's size
    at that scale, or of `box` (in pixels of the scaled canvas; it may reach beyond it)."""
    box = Box(0, 0, *out_size(extent, scale)) if box is None else box
    return to_uint8(_Sheet(pictures, scale, renderers).layer(layer, box))


def bounds(node: Node, scale: float = 1.0) -> Box | None:
    """Every pixel of the scaled canvas, and beyond, that a layer or group can touch; None for an empty group."""
    if isinstance(node, Layer):
        return box_of(node.place.scaled(scale))
    boxes = [box for box in (bounds(inner, scale) for inner in node.layers) if box]
    return Box(*map(min, list(zip(*boxes))[:2]), *map(max, list(zip(*boxes))[2:])) if boxes else None


@dataclass
class _Sheet:
    """What one drawing of a stack shares: its pictures, its scale and the layers that were drawn anew for it."""
    pictures: Mapping[str, Picture]
    scale: float
    renderers: Renderers
    redrawn: dict[str, tuple[np.ndarray, Placement]] = field(default_factory=dict)

    def painted(self, nodes: tuple[Node, ...], box: Box) -> np.ndarray:
        """`nodes`, bottom to top, on nothing: float32 premultiplied of the size of `box`."""
        out = np.zeros((box.bottom - box.top, box.right - box.left, 4), np.float32)
        for node in nodes:
            around = bounds(node, self.scale)
            if not node.visible or node.opacity == 0 or around is None:
                continue
            inner = _grown(around).cut(box)          # what is drawn anew may be a pixel or two larger
            if not inner.empty:
                over = self.layer(node, inner) if isinstance(node, Layer) else self.painted(node.layers, inner)
                under = out[inner.within(box)]
                under[...] = laid(under, over if node.opacity == 1 else over * np.float32(node.opacity), node.blend)
        return out

    def layer(self, layer: Layer, box: Box) -> np.ndarray:
        """One layer, fully opaque and unblended: float32 premultiplied."""
        if layer.id not in self.redrawn:
            self.redrawn[layer.id] = self._source(layer)
        return drawn(*self.redrawn[layer.id], box)

    def _source(self, layer: Layer) -> tuple[np.ndarray, Placement]:
        pixels, place = rgba(layer, self.pictures), layer.place.scaled(self.scale)
        same = max(abs(place.width / pixels.shape[1] - 1), abs(place.height / pixels.shape[0] - 1)) < SAME_SIZE
        anew = None if same else _anew(layer, pixels, place, self.renderers)
        return (pixels, place) if anew is None else (anew, _snapped(place, anew))


def rgba(layer: Layer, pictures: Mapping[str, Picture]) -> np.ndarray:
    """The layer's picture, uint8 [h, w, 4]."""
    if layer.picture not in pictures:
        raise BadInput(f'The picture of layer "{layer.name}" is missing.', "Delete the layer or make it again.")
    picture = pictures[layer.picture]
    if picture.channels != 4:
        from models.pixels import with_alpha         # the pixel boundary imports torch
        picture = with_alpha(picture)
    return picture.array


def _anew(layer: Layer, pixels: np.ndarray, place: Placement, renderers: Renderers) -> np.ndarray | None:
    """Words or a drawing at the size they are shown at, or None where nobody can (a font that is not here): then the picture serves."""
    shrink = min(1.0, (MAX_REDRAWN_PX / (place.width * place.height)) ** 0.5)
    try:
        if layer.text and renderers.letter:
            factor = max(place.width / pixels.shape[1], place.height / pixels.shape[0])
            return renderers.letter(layer.text, factor * shrink)
        if layer.svg and renderers.rasterise:
            return renderers.rasterise(layer.svg, max(1, round(place.width * shrink)), max(1, round(place.height * shrink)))
    except StudioError:
        pass
    return None


def _snapped(place: Placement, pixels: np.ndarray) -> Placement:
    """The place of a picture that was drawn for it: at its own size, on whole pixels where it is upright, so that it stays crisp."""
    h, w = pixels.shape[:2]
    if max(abs(place.width - w), abs(place.height - h)) > SNAP_PX:
        return place
    if place.angle_deg % 180:
        return replace(place, width=w, height=h)
    left, top = round(place.x - w / 2), round(place.y - h / 2)
    return replace(place, x=left + w / 2, y=top + h / 2, width=w, height=h)


def _grown(box: Box) -> Box:
    return Box(box.left - 2, box.top - 2, box.right + 2, box.bottom + 2)
