"""What the formats share: the picture of the whole, the pixels of one layer where it lies, and what a file says of its making."""
from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from models.layers.blending import laid, premultiplied, to_uint8
from models.layers.compose import Renderers, bounds, flatten, out_size, placed, rgba, strips
from models.errors import BadInput
from models.job import Job, Picture
from models.layers.placing import Box
from models.layers.stack import Group, Layer, Node, Placement, Stack, new_id
from studio.export import About

SOFTWARE = "Onestroke"
MAX_LAYERED_PX = 64_000_000                          # of formats that hold every layer in memory
MAX_RECORD_CHARS = 200_000


def renderers() -> Renderers:
    """Who draws words and vector drawings anew at the scale of an export."""
    from models.vector import vectors
    from models.words import lettering
    return Renderers(lettering.letter, vectors.rasterise)


def size(stack: Stack, scale: float, most_px: int, format: str) -> tuple[int, int]:
    """(width, height) of the export. Raises BadInput when it is more than the format can hold."""
    width, height = out_size(stack.extent, scale)
    if width * height > most_px:
        raise BadInput(f"{width}x{height} px is more than is written as {format} ({most_px / 1e6:.0f} megapixels).",
                       "Choose a smaller scale, or PNG, which has the most room.")
    return width, height


# --- pixels ------------------------------------------------------------------------------------------------------------

def whole(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> np.ndarray:
    """The flat picture over its background: straight RGBA uint8 [H, W, 4]."""
    pixels = flatten(stack, pictures, scale, renderers())
    return _on_colour(pixels, about)


def whole_rows(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> Iterator[np.ndarray]:
    """The same picture in strips, top to bottom."""
    for _, rows in strips(stack, pictures, scale, renderers()):
        yield _on_colour(rows, about)


def _on_colour(pixels: np.ndarray, about: About) -> np.ndarray:
    colour = background(about)
    return pixels if colour is None else to_uint8(laid(premultiplied(np.broadcast_to(colour, pixels.shape)), premultiplied(pixels)))


def background(about: About) -> np.ndarray | None:
    """uint8 [4], opaque, or None."""
    colour = about.get("background") or ""
    return np.array([*bytes.fromhex(colour[1:]), 255], np.uint8) if colour else None


def with_background(stack: Stack, pictures: Mapping[str, Picture], about: About) -> tuple[Stack, Mapping[str, Picture]]:
    """The stack with its background as a layer of its own at the bottom, for formats that keep layers."""
    colour = background(about)
    if colour is None:
        return stack, pictures
    width, height = stack.extent.width, stack.extent.height
    plain = Picture.from_array(np.broadcast_to(colour, (height, width, 4)))
    layer = Layer(new_id(), "Background", plain.digest, Placement.at(0, 0, width, height))
    return stack.insert(layer, at=0), ChainMap({plain.digest: plain}, pictures)


@dataclass(frozen=True)
class Piece:
    """The pixels of one layer on the scaled canvas, straight RGBA uint8 [h, w, 4]; its left upper corner may lie outside."""
    pixels: np.ndarray
    left: int
    top: int


def piece(layer: Layer, stack: Stack, pictures: Mapping[str, Picture], scale: float) -> Piece:
    """A layer as it is drawn at that scale, without opacity and blend mode. Upright at its own size on whole pixels it is its picture bit
    for bit, hidden colours too. What lies more than a canvas away from the canvas is cut off."""
    source, place = rgba(layer, pictures), layer.place.scaled(scale)
    left, top = place.corner
    plain = place.angle_deg == 0 and not place.flip_x and not place.flip_y and (place.width, place.height) == source.shape[1::-1]
    if plain and left == int(left) and top == int(top):
        return Piece(source, int(left), int(top))
    width, height = out_size(stack.extent, scale)
    box = bounds(layer, scale).cut(Box(-width, -height, 2 * width, 2 * height))
    if box.empty:
        return Piece(np.zeros((1, 1, 4), np.uint8), 0, 0)
    grown = Box(box.left - 2, box.top - 2, box.right + 2, box.bottom + 2)
    return trimmed(Piece(placed(layer, pictures, stack.extent, scale, grown, renderers()), grown.left, grown.top))


def trimmed(given: Piece) -> Piece:
    """Without the empty rows and columns around; one empty pixel where nothing is seen at all."""
    rows, columns = (np.flatnonzero(given.pixels[..., 3].any(axis)) for axis in (1, 0))
    if not len(rows):
        return Piece(np.zeros((1, 1, 4), np.uint8), given.left, given.top)
    (y0, y1), (x0, x1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    return Piece(given.pixels[y0:y1, x0:x1], given.left + int(x0), given.top + int(y0))


# --- words -------------------------------------------------------------------------------------------------------------

def jobs(stack: Stack, about: About) -> dict[str, Job]:
    """{layer id: Job} of visible layers whose picture one Job makes, bottom to top."""
    known = about.get("jobs") or {}
    return {layer.id: known[layer.picture] for layer in seen(stack.layers) if layer.picture in known}


def seen(nodes: tuple[Node, ...]) -> Iterator[Layer]:
    """Every layer that is shown, bottom to top."""
    for node in nodes:
        if node.visible:
            yield from seen(node.layers) if isinstance(node, Group) else (node,)


def main_job(stack: Stack, about: About) -> Job | None:
    """The Job that the infotext of a flat file speaks of: that of the lowest layer that has one."""
    return next(iter(jobs(stack, about).values()), None)


def only_job(stack: Stack, about: About, scale: float) -> Job | None:
    """The Job that makes this very picture: the stack is one untouched layer that fills the canvas, and nothing lies under it."""
    layers = list(stack.walk())
    alone = len(layers) == 1 and isinstance(layers[0], Layer) and scale == 1 and background(about) is None
    if not alone:
        return None
    layer, extent = layers[0], stack.extent
    untouched = (layer.visible and layer.opacity == 1 and layer.place.corner == (0, 0) and layer.place.angle_deg == 0
                 and not layer.place.flip_x and not layer.place.flip_y)
    fills = (layer.place.width, layer.place.height) == (extent.width, extent.height)
    return main_job(stack, about) if untouched and fills else None


def record(stack: Stack, about: About) -> dict[str, Any]:
    """What made the layers, for people and tools: JSON with the name, and per layer its words, seed and sources."""
    rows = [credit(layer, about) for layer in stack.leaves()]
    out = {"software": SOFTWARE, "name": about.get("name", ""), "layers": rows}
    if len(json.dumps(out)) > MAX_RECORD_CHARS:
        out["layers"] = [{key: row[key] for key in ("name", "words", "seed") if key in row} for row in rows]
    return out


def credit(layer: Layer, about: About) -> dict[str, Any]:
    """One layer's name, words, seed, model and source, as far as they are known."""
    job = (about.get("jobs") or {}).get(layer.picture)
    words = layer.text.words if layer.text else job.prompt if job else layer.source.get("words", "")
    seed = job.seeds[0] if job else layer.source.get("seed")
    out = {"name": layer.name, "words": words, "seed": seed, "base": job.base if job else None, "source": layer.source or None}
    return {key: value for key, value in out.items() if value not in (None, "")}


def file_name(name: str, taken: set[str], fallback: str = "layer") -> str:
    """A name that every file system takes and that is not taken yet; adds it to `taken`."""
    plain = re.sub(r"[^\w\-. ]+", "-", name).strip(" .-")[:60] or fallback
    out, number = plain, 2
    while out.lower() in taken:
        out, number = f"{plain}-{number}", number + 1
    taken.add(out.lower())
    return out


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- files in files ------------------------------------------------------------------------------------------------------------

def png_bytes(pixels: np.ndarray) -> bytes:
    """uint8 [h, w, 4] as a plain PNG, straight alpha, not interlaced."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=4)
    return out.getvalue()


def zipped(entries: Iterable[tuple[str, bytes]], stored: tuple[str, ...] = ()) -> bytes:
    """A zip in the given order, the same bytes every time. PNGs and the like are stored: they are packed already."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries:
            packed = name in stored or name.rpartition(".")[2] in ("png", "webp", "avif", "ora", "zip")
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)
    return out.getvalue()
