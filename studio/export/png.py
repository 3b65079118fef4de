"""PNG with everything needed to make the picture again.

Two records: `parameters`, the text that other tools read (the A1111 infotext), and our private chunk `osJb`, the exact Job with
the pixels of its input pictures, so that replaying it gives the same picture bit for bit.
"""
from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from PIL import Image, PngImagePlugin

from models.errors import BadInput
from models.job import Job, Picture
from models.layers.stack import Stack
from studio.export import About, Format

JOB_CHUNK = b"osJb"
LAYERS_KEY = "onestroke-layers"                      # iTXt: what made the layers of a flattened stack, as JSON
MAX_JOB_BYTES = 256 * 2 ** 20
MAX_PIXELS = 100_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def encode(pixels: np.ndarray, job: Job) -> bytes:
    """uint8 [H, W, 3 or 4] and its Job -> PNG bytes."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", infotext(job))
    info.add(JOB_CHUNK, zlib.compress(json.dumps(job.to_dict()).encode(), 6))
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def decode(data: bytes) -> tuple[np.ndarray, Job | None]:
    """PNG bytes -> (pixels uint8 [H, W, 3 or 4], its Job or None when the file carries none)."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(f"That picture has {image.width} x {image.height} pixels; {MAX_PIXELS:,} is the limit.")
            pixels = np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))
    except (OSError, SyntaxError, ValueError):
        raise BadInput("That file is not a whole PNG picture.") from None
    return pixels, job_in(data)


def job_in(data: bytes) -> Job | None:
    """The Job a PNG carries, without decoding its pixels."""
    packed = _chunk(data, JOB_CHUNK)
    if packed is None:
        return None
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, MAX_JOB_BYTES)
        if unpacker.unconsumed_tail:
            raise BadInput("The job in that picture is larger than any this studio writes.")
        return Job.from_dict(json.loads(text))
    except (zlib.error, ValueError, KeyError, TypeError):
        raise BadInput("The job in that picture is damaged.") from None


def encode_rows(parts: Iterable[np.ndarray], width: int, height: int, texts: Mapping[str, str], job: Job | None = None) -> Iterator[bytes]:
    """A PNG in pieces, from strips uint8 [rows, W, 4] that together are the picture; no more than a strip is held. Every row is stored as
    its difference to the one above (filter 2 of the PNG specification, section 9.2), which suits soft and empty pictures."""
    yield SIGNATURE + _made_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    for key, text in texts.items():
        yield _made_chunk(b"iTXt", key.encode("latin-1") + b"\0\1\0\0\0" + zlib.compress(text.encode()))
    if job is not None:
        yield _made_chunk(JOB_CHUNK, zlib.compress(json.dumps(job.to_dict()).encode(), 6))
    packer, above = zlib.compressobj(6, strategy=zlib.Z_FILTERED), np.zeros(width * 4, np.uint8)
    for part in parts:
        rows = part.reshape(len(part), -1)
        filtered = np.full((len(rows), width * 4 + 1), 2, np.uint8)
        filtered[:, 1:] = rows - np.concatenate([above[None], rows[:-1]])
        above = rows[-1]
        if packed := packer.compress(filtered):
            yield _made_chunk(b"IDAT", packed)
    yield _made_chunk(b"IDAT", packer.flush()) + _made_chunk(b"IEND", b"")


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """The flattened stack; the infotext of its lowest painted layer, what made every layer, and the Job where one made all of it."""
    from studio.export import _parts
    width, height = _parts.out_size(stack.extent, scale)
    main = _parts.main_job(stack, about)
    texts = ({"parameters": infotext(main)} if main else {}) | {LAYERS_KEY: json.dumps(_parts.record(stack, about), ensure_ascii=False)}
    rows = _parts.whole_rows(stack, pictures, scale, about)
    return b"".join(encode_rows(rows, width, height, texts, _parts.only_job(stack, about, scale)))


def infotext(job: Job) -> str:
    """The three-part text of A1111: prompt, negative prompt, one line of `Key: value` pairs."""
    pairs: dict[str, object] = {"Steps": job.steps, "Sampler": "Onestroke"}
    if job.guidance is not None:
        pairs["CFG scale"] = job.guidance
    pairs |= {"Seed": job.seeds[0], "Size": str(job.extent), "Model": job.base}
    if job.image is not None:
        pairs |= {"Denoising strength": job.strength, "Init image hash": job.image.digest[:16]}
    if job.style:
        pairs["Style"] = job.style
    pairs |= {"Version": "Onestroke"}
    lines = [job.prompt, *([f"Negative prompt: {job.negative}"] if job.negative else [])]
    return "\n".join([*lines, ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items())])


def read_infotext(text: str) -> dict[str, str]:
    """Infotext of any tool -> {"Prompt", "Negative prompt", "Steps", ...}; sizes are split into Size-1 and Size-2."""
    *lines, last = text.strip().split("\n")
    if len(_PAIR.findall(last)) < 3:
        lines, last = [*lines, last], ""
    body = "\n".join(lines)
    prompt, _, negative = body.partition("Negative prompt:")
    out = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    for key, value in _PAIR.findall(last):
        value = json.loads(value) if value.startswith('"') else value.strip()
        if size := re.fullmatch(r"(\d+)x(\d+)", value):
            out[f"{key}-1"], out[f"{key}-2"] = size.groups()
        else:
            out[key] = value
    return out


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text


def _made_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunk(data: bytes, kind: bytes) -> bytes | None:
    """The body of the first chunk of a kind. A file that is cut short simply has no more chunks."""
    at = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        if data[at + 4:at + 8] == kind:
            return data[at + 8:at + 8 + length]
        at += length + 12
    return None


FORMAT = Format("png", "PNG", "png", "image/png", write, 1)
