"""PSD with layers, groups, names, blend modes, opacity and visibility, written through psd-tools; words and drawings become pixels.

The merged picture is ours, not the library's: a reader that knows no layers sees what the studio shows.
"""
from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from models.layers.blending import laid, premultiplied, to_uint8
from models.job import Picture
from models.layers.stack import Layer, Node, Stack
from studio.export import About, Format, _parts

KEYS = {"normal": b"norm", "multiply": b"mul ", "screen": b"scrn", "overlay": b"over", "darken": b"dark", "lighten": b"lite",
        "color-dodge": b"div ", "color-burn": b"idiv", "hard-light": b"hLit", "soft-light": b"sLit", "difference": b"diff",
        "exclusion": b"smud", "hue": b"hue ", "saturation": b"sat ", "color": b"colr", "luminosity": b"lum ", "plus-lighter": b"lddg"}
WHITE = np.full(4, 255, np.uint8)


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """Every layer as it is drawn at that scale, also where it reaches beyond the canvas."""
    from psd_tools import PSDImage
    size = _parts.size(stack, scale, _parts.MAX_LAYERED_PX, "PSD")
    whole = _parts.whole(stack, pictures, scale, about)
    stack, pictures = _parts.with_background(stack, pictures, about)
    document = PSDImage.new("RGBA", size)
    _add(document, stack.layers, stack, pictures, scale)
    _set_merged(document, whole)
    out = io.BytesIO()
    document._record.write(out)                      # .save() would draw the merged picture again, its own way
    return out.getvalue()


def _add(parent: Any, nodes: tuple[Node, ...], stack: Stack, pictures: Mapping[str, Picture], scale: float) -> None:
    from psd_tools.constants import BlendMode, ProtectedFlags, Tag
    for node in nodes:
        looks = {"name": "layer", "opacity": round(node.opacity * 255), "blend_mode": BlendMode(KEYS[node.blend])}
        if isinstance(node, Layer):
            piece = _parts.piece(node, stack, pictures, scale)
            made = parent.create_pixel_layer(Image.fromarray(piece.pixels), top=piece.top, left=piece.left, **looks)
            if node.locked:
                made.tagged_blocks.set_data(Tag.PROTECTED_SETTING, int(ProtectedFlags.COMPLETE))     # .lock() forgets it the first time
        else:
            made = parent.create_group(**looks)
            _add(made, node.layers, stack, pictures, scale)
        made.name, made.visible = node.name, node.visible


def _set_merged(document: Any, whole: np.ndarray) -> None:
    """The merged picture: colours over white, then alpha, which the sign of the layer count declares (Adobe's format description,
    "Layer info")."""
    from psd_tools.constants import Compression
    colours = to_uint8(laid(premultiplied(np.broadcast_to(WHITE, whole.shape)), premultiplied(whole)))
    data = document._record.image_data
    data.compression = Compression.RLE
    data.set_data([np.ascontiguousarray(plane).tobytes() for plane in (*np.moveaxis(colours[..., :3], -1, 0), whole[..., 3])], document._record.header)
    info = document._record._get_layer_info()
    if info is not None:
        info.layer_count = -abs(info.layer_count)


FORMAT = Format("psd", "PSD (Photoshop)", "psd", "image/vnd.adobe.photoshop", write, 10)
