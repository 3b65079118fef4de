"""PSD and PSB through psd-tools: pixel layers, groups, words and smart objects as the pixels that Photoshop stored for them.

Masks and clipping are worked into the pixels. Adjustments and effects have no counterpart here and are named in the notes.
"""
from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.decoding import CMYK_NOTE, DEEP_NOTE, PROFILE_NOTE
from models.errors import BadInput
from models.layers.stack import MAX_LAYERS, Group, Layer, Node, Stack, new_id
from studio.export.psd import KEYS
from studio.opening import Opened, Opener
from studio.opening._room import Room, canvas, named

MODES = {1: "grey", 3: "RGB", 4: "CMYK", 9: "Lab", 2: "indexed"}
MAX_ALLOC_BYTES = 4 * 2 ** 30
SIZE_BYTES = 26                                      # of the header
BLENDS = {key: blend for blend, key in KEYS.items()}
EMPTY = np.zeros((1, 1, 4), np.uint8)


def open_psd(data: bytes, name: str) -> Opened:
    from psd_tools import PSDImage
    from psd_tools.compression import PSDDecompressionWarning
    from psd_tools.psd.parse_limits import ParseLimits
    extent, room = canvas(*_header(data)), Room()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PSDDecompressionWarning)      # psd-tools would go on with black
        document = PSDImage.open(io.BytesIO(data), max_alloc_bytes=MAX_ALLOC_BYTES, parse_limits=ParseLimits(max_objects=2_000_000))
        if sum(1 for _ in document.descendants()) > MAX_LAYERS:
            raise BadInput(f"The file has more than {MAX_LAYERS} layers.", "Merge some of them first.")
        reader = _Reader(document, room)
        layers = reader.nodes(document) if len(document) else (reader.merged(),)
    return Opened(name, Stack(extent, layers), room.pictures, tuple(room.notes))


def _header(data: bytes) -> tuple[int, int]:
    """(width, height). Raises BadInput for colour modes that are not understood."""
    if len(data) < SIZE_BYTES:
        raise BadInput("This PSD is cut short.", "Save it anew from the program that made it.")
    mode = int.from_bytes(data[24:26], "big")
    if mode not in MODES:
        raise BadInput("This PSD is in a colour mode that is not read here (bitmap, duotone or multichannel).", "Turn it into RGB first.")
    return int.from_bytes(data[18:22], "big"), int.from_bytes(data[14:18], "big")


@dataclass(frozen=True)
class _Pixels:
    """uint8 RGBA of a layer and its left upper corner."""
    rgba: np.ndarray
    left: int
    top: int


class _Reader:
    """One document while it is read."""

    def __init__(self, document: Any, room: Room) -> None:
        self.document, self.room = document, room
        mode, profile = MODES[int(document.color_mode)], _profile(document)
        self.as_stored = mode in ("RGB", "grey") and "srgb" in (profile or "srgb")
        self.linear = document.depth == 32
        for there, note in ((mode == "CMYK", CMYK_NOTE), (document.depth == 16, DEEP_NOTE), (mode == "RGB" and not self.as_stored, PROFILE_NOTE)):
            if there:
                room.note(note)

    def nodes(self, parent: Any) -> tuple[Node, ...]:
        """Bottom to top. A clipped layer is seen where the layer that it is clipped to is."""
        out: list[Node] = []
        base: _Pixels | None = None
        for layer in parent:
            if layer.is_group():
                out.append(self._group(layer))
                base = None
                continue
            pixels = self._pixels(layer)
            if pixels is None:
                continue
            if layer.clipping and base is not None:
                pixels = _clipped(pixels, base)
            elif not layer.clipping:
                base = pixels
            out.append(self._layer(layer, pixels))
        return tuple(out)

    def merged(self) -> Layer:
        """A file without layers: the merged picture."""
        width, height = self.document.size
        self.room.make_room(width, height)
        image = self.document.topil()
        return self.room.layer(np.asarray(image.convert("RGBA")), 0, 0, "Background")

    def _group(self, group: Any) -> Group:
        layers = self.nodes(group)
        looks = self._looks(group)
        if group.blend_mode.value == b"pass" and any(node.blend != "normal" for node in layers):
            self.room.note(f'Layers of group "{named(group.name)}" were blended with what lies below the group; now they are not.')
        if group.has_mask() and not group.mask.disabled:
            self.room.note(f'The mask of group "{named(group.name)}" was left out.')
        return Group(new_id(), named(group.name, "Group"), layers, **looks)

    def _layer(self, layer: Any, pixels: _Pixels) -> Layer:
        if layer.has_effects():
            self.room.note(f'Effects of layer "{named(layer.name)}" (shadow, glow, outline ...) were left out.')
        locks = layer.locks
        return self.room.layer(pixels.rgba, pixels.left, pixels.top, layer.name, locked=bool(locks and (locks.complete or locks.position)),
                               **self._looks(layer))

    def _looks(self, layer: Any) -> dict[str, object]:
        key = layer.blend_mode.value
        if key not in BLENDS and key != b"pass":
            self.room.note(f'The blend mode "{layer.blend_mode.name.lower().replace("_", " ")}" is not known here; normal was taken instead.')
        return {"opacity": layer.opacity * layer.fill_opacity / 255 ** 2, "blend": BLENDS.get(key, "normal"), "visible": bool(layer.visible)}

    def _pixels(self, layer: Any) -> _Pixels | None:
        """None for layers that hold no picture."""
        draw = self._stored if layer.has_pixels() else self._filled if layer.kind in FILLS else None
        if draw is None and layer.kind != "pixel":
            self.room.note(f'Layer "{named(layer.name)}" ({layer.kind}) holds no pixels and was left out.')
            return None
        return _Pixels(EMPTY, 0, 0) if draw is None or not layer.width or not layer.height else self._masked(layer, draw)

    def _masked(self, layer: Any, draw: Callable[[Any], np.ndarray]) -> _Pixels:
        self.room.make_room(layer.width, layer.height)
        rgba = draw(layer)
        if draw == self._stored and layer.has_mask() and not layer.mask.disabled:
            mask = np.asarray(layer.mask.topil(layer_sized=True).convert("L"), np.uint16)
            rgba[..., 3] = (rgba[..., 3] * mask + 127) // 255
        return _Pixels(rgba, layer.left, layer.top)

    def _stored(self, layer: Any) -> np.ndarray:
        """The layer's own pixels, exactly where they are 8-bit screen colours."""
        shape = layer.numpy("shape")
        if self.as_stored:
            colour = layer.numpy("color")
            if self.linear:
                colour = np.where(colour <= 0.0031308, colour * 12.92, 1.055 * np.maximum(colour, 0.0031308) ** (1 / 2.4) - 0.055)
            colour = _to_uint8(colour[..., :3] if colour.shape[2] >= 3 else np.repeat(colour[..., :1], 3, 2))
        else:
            colour = np.asarray(layer.topil().convert("RGB"))
        alpha = np.full((*colour.shape[:2], 1), 255, np.uint8) if shape is None else _to_uint8(shape)
        return np.concatenate([colour, alpha], 2)

    def _filled(self, layer: Any) -> np.ndarray:
        """A fill or a shape that is stored as a recipe, drawn by psd-tools."""
        image = layer.composite(force=True)
        return np.array(image.convert("RGBA"))


FILLS = ("shape", "solidcolorfill", "gradientfill", "patternfill")


def _clipped(pixels: _Pixels, base: _Pixels) -> _Pixels:
    """`pixels` with its alpha times that of `base` at the same place."""
    h, w = pixels.rgba.shape[:2]
    alpha = np.zeros((h, w), np.uint16)
    y, x = base.top - pixels.top, base.left - pixels.left
    rows, columns = slice(max(0, y), max(0, y + base.rgba.shape[0])), slice(max(0, x), max(0, x + base.rgba.shape[1]))
    there = alpha[rows, columns]
    there[...] = base.rgba[max(0, -y):, max(0, -x):, 3][:there.shape[0], :there.shape[1]]
    rgba = pixels.rgba.copy()
    rgba[..., 3] = (rgba[..., 3] * alpha + 127) // 255
    return _Pixels(rgba, pixels.left, pixels.top)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return (values.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _profile(document: Any) -> str | None:
    """The lower-case name of the colour profile; None where there is none or it is damaged."""
    from PIL import ImageCms
    from psd_tools.constants import Resource
    data = document.image_resources.get_data(Resource.ICC_PROFILE)
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data))).lower() if data else None
    except (ImageCms.PyCMSError, OSError):
        return None


OPENER = Opener("psd", "PSD", 30, lambda data: data[:4] == b"8BPS", open_psd)
