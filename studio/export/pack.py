"""An asset pack: a PNG of every layer, the whole in every other format, and a manifest that says what is what and how it was made."""
from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from models.errors import BadInput
from models.job import Picture
from models.layers.stack import BLENDS, Stack
from studio.export import About, Format, _parts, formats

MAX_PX = 36_000_000
UNPACKED = ("sprites",)                              # zips whose files lie in a folder of the pack instead


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """What one format cannot hold is left out, and the manifest says why."""
    _parts.size(stack, scale, MAX_PX, "an asset pack")
    layers = _layers(stack, pictures, scale, about)
    files = {row["file"]: data for row, data in layers}
    left_out: dict[str, str] = {}
    for format in formats().values():
        if format.id != FORMAT.id:
            try:
                files |= _named(format, format.write(stack, pictures, scale, about), about)
            except BadInput as error:
                left_out[format.id] = str(error)
    manifest = _manifest(stack, scale, about, files) | {"layers": [row for row, _ in layers], "left_out": left_out}
    text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    return _parts.zipped([("manifest.json", text), *files.items()])


def _layers(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> list[tuple[dict[str, Any], bytes]]:
    """(row of the manifest, PNG) of every layer, hidden ones too, bottom to top."""
    taken: set[str] = set()
    out = []
    shown = {layer.id for layer in _parts.seen(stack.layers)}
    for number, layer in enumerate(stack.leaves(), 1):
        piece = _parts.piece(layer, stack, pictures, scale)
        h, w = piece.pixels.shape[:2]
        data = _parts.png_bytes(piece.pixels)
        row = {"file": f"layers/{_parts.file_name(f'{number:02d}-{layer.name}', taken)}.png", "id": layer.id, "width": w, "height": h,
               "left": piece.left, "top": piece.top, "opacity": layer.opacity, "blend": layer.blend, "visible": layer.id in shown,
               "picture": layer.picture, "sha256": _parts.sha256(data)} | _parts.credit(layer, about)
        out.append((row, data))
    return out


def _named(format: Format, data: bytes, about: About) -> dict[str, bytes]:
    name = _parts.file_name(str(about.get("name") or ""), set(), "layers")
    if format.id not in UNPACKED:
        return {f"{name}.{format.suffix}": data}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {f"{format.id}/{inner}": archive.read(inner) for inner in archive.namelist()}


def _manifest(stack: Stack, scale: float, about: About, files: Mapping[str, bytes]) -> dict[str, Any]:
    width, height = _parts.out_size(stack.extent, scale)
    listed = [{"file": name, "bytes": len(data), "sha256": _parts.sha256(data)} for name, data in files.items()]
    return {"software": _parts.SOFTWARE, "name": about.get("name", ""), "width": width, "height": height, "scale": scale,
            "background": about.get("background", ""), "blend_modes": "W3C Compositing and Blending Level 1: " + ", ".join(BLENDS), "files": listed}


FORMAT = Format("pack", "Asset pack (everything)", "pack.zip", "application/zip", write, 21)
