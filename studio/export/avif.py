"""AVIF at its best quality: alpha comes back exactly, colours within 2 of 255 (they are stored as luma and chroma in 8 bits)."""
from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image

from models.job import Picture
from models.layers.stack import Stack
from studio.export import About, Format, _meta, _parts

MAX_PX = 36_000_000                                  # the encoder takes about forty times that in memory
OPTIONS = {"quality": 100, "subsampling": "4:4:4", "speed": 7}


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """The flattened stack."""
    _parts.size(stack, scale, MAX_PX, "AVIF")
    out = io.BytesIO()
    Image.fromarray(_parts.whole(stack, pictures, scale, about)).save(
        out, "AVIF", **OPTIONS, exif=_meta.exif(stack, about), xmp=_meta.xmp(stack, about))
    return out.getvalue()


FORMAT = Format("avif", "AVIF", "avif", "image/avif", write, 3)
