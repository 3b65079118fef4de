"""PNG with everything needed to make the picture again.

Two records: `parameters`, the text that other tools read (the A1111 infotext), and our private chunk `osJb`, the exact Job with
the pixels of its input pictures, so that replaying it gives the same picture bit for bit.
"""
from __future__ import annotations

import io
import json
import re
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from models.errors import BadInput
from models.job import Job

JOB_CHUNK = b"osJb"
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


def _chunk(data: bytes, kind: bytes) -> bytes | None:
    """The body of the first chunk of a kind. A file that is cut short simply has no more chunks."""
    at = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        if data[at + 4:at + 8] == kind:
            return data[at + 8:at + 8 + length]
        at += length + 12
    return None
