"""Bytes on the live socket; protocol.md describes them for people."""
from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.errors import BadInput
from models.job import Picture

CANVAS_PX = 512
MAX_TEXT_CHARS = 100_000
JPEG_QUALITY = 90
_PATCH = struct.Struct("<I4H")
REFERENCE = 0xFFFFFFFF


@dataclass(frozen=True)
class Patch:
    """A changed rectangle of the canvas; `pixels`: uint8 [h, w, 3]."""
    seq: int
    x: int
    y: int
    pixels: np.ndarray


def read_patch(data: bytes) -> Patch:
    """[u32 seq][u16 x, y, w, h][RGBA bytes], little endian. Anything else is BadInput."""
    if len(data) < _PATCH.size:
        raise BadInput("A canvas patch is shorter than its header.")
    seq, x, y, w, h = _PATCH.unpack_from(data)
    if not (w and h and x + w <= CANVAS_PX and y + h <= CANVAS_PX and len(data) == _PATCH.size + 4 * w * h):
        raise BadInput("A canvas patch does not fit the canvas.")
    rgba = np.frombuffer(data, np.uint8, offset=_PATCH.size).reshape(h, w, 4)
    return Patch(seq, x, y, rgba[..., :3])


def is_reference(data: bytes) -> bool:
    """Whether a binary message carries a reference picture; no patch is ever numbered so high."""
    return len(data) >= _PATCH.size and _PATCH.unpack_from(data)[0] == REFERENCE


def read_reference(data: bytes) -> Picture | None:
    """[u32 REFERENCE][u16 0, 0, w, h][RGBA bytes] -> the picture, straight RGBA; None when w = h = 0 takes it away."""
    _, slot, _, w, h = _PATCH.unpack_from(data)
    if slot or len(data) != _PATCH.size + 4 * w * h or max(w, h) > CANVAS_PX or (w == 0) != (h == 0):
        raise BadInput("A reference picture is malformed.")
    return Picture(w, h, 4, data[_PATCH.size:]) if w else None


def read_message(text: str) -> dict:
    """A JSON object with a "t" naming its kind, or BadInput."""
    if len(text) > MAX_TEXT_CHARS:
        raise BadInput(f"That is {len(text):,} characters; the live tab takes {MAX_TEXT_CHARS:,} at most.", "Shorten the prompt.")
    try:
        message = json.loads(text)
    except json.JSONDecodeError:
        raise BadInput("The live socket received something that is not JSON.") from None
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise BadInput("The live socket received a message without a kind.")
    return message


def whole(value: object) -> int:
    """A sequence or frame number, or BadInput."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadInput(f"{str(value)[:40]!r} is not a number of a frame or message.")
    return value


def encode_picture(pixels: np.ndarray) -> tuple[str, bytes]:
    """uint8 [H, W, 3 or 4] -> (media type, bytes): JPEG, or WebP when there is transparency, whose alpha is exact."""
    out = io.BytesIO()
    if pixels.shape[2] == 4:
        Image.fromarray(pixels).save(out, "WEBP", quality=JPEG_QUALITY, method=0, alpha_quality=100)
        return "image/webp", out.getvalue()
    Image.fromarray(pixels).save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "image/jpeg", out.getvalue()


def encode_canvas(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] -> PNG bytes, lossless."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    return out.getvalue()


def pack(header: dict, body: bytes) -> bytes:
    """[u32 header length][header JSON][body]."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<I", len(head)) + head + body
