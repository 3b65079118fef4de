"""WebP without loss: every byte of colour and alpha comes back, also under what cannot be seen."""
from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image

from models.errors import BadInput
from models.job import Picture
from models.layers.stack import Stack
from studio.export import About, Format, _meta, _parts

MAX_SIDE_PX, MAX_PX = 16_383, 64_000_000             # the side is the format's own limit


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """The flattened stack."""
    width, height = _parts.size(stack, scale, MAX_PX, "WebP")
    if max(width, height) > MAX_SIDE_PX:
        raise BadInput(f"{width}x{height} px is more than a WebP can hold ({MAX_SIDE_PX:,} px a side).", "Choose a smaller scale, or PNG.")
    out = io.BytesIO()
    Image.fromarray(_parts.whole(stack, pictures, scale, about)).save(
        out, "WEBP", lossless=True, exact=True, quality=60, method=4, exif=_meta.exif(stack, about), xmp=_meta.xmp(stack, about))
    return out.getvalue()


FORMAT = Format("webp", "WebP", "webp", "image/webp", write, 2)
