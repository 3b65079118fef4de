"""A whole document in one file: stack.json and the pictures of its layers, which opens again bit for bit, words and drawings editable."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from models.layers.compose import rgba
from models.job import Picture
from models.layers.stack import Stack
from studio.export import About, Format, _parts, png

VERSION = 1
STACK, PICTURES = "stack.json", "pictures"


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """`scale` and background do not matter: a project keeps what is, not how it is shown."""
    return _parts.zipped(_entries(stack, pictures, about))


def _entries(stack: Stack, pictures: Mapping[str, Picture], about: About) -> Iterator[tuple[str, bytes]]:
    head = {"onestroke": VERSION, "name": about.get("name", ""), "stack": stack.to_dict()}
    yield STACK, json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    jobs = about.get("jobs") or {}
    for digest in sorted(stack.pictures()):
        layer = next(layer for layer in stack.leaves() if layer.picture == digest)
        pixels, job = rgba(layer, pictures), jobs.get(digest)
        yield f"{PICTURES}/{digest}.png", png.encode(pixels, job) if job else _parts.png_bytes(pixels)


FORMAT = Format("project", "Onestroke project", "onestroke.zip", "application/zip", write, 30)
