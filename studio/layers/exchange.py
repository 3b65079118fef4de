"""Files in and out of the Layers tab: any picture as a layer, files with layers as documents, a document in every export format."""
from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.decoding import read_rgba
from models.errors import BadInput
from models.job import Extent, Picture
from models.layers.stack import MAX_SVG_CHARS, Group, Layer, Node, Placement, Stack, new_id
from models.vector.vectors import rasterise, sanitise, view_box
from studio.export import format_of, formats
from studio.layers.pictures import Pictures
from studio.opening import open_file

DRAWN_PX, MAX_DRAWN_PX = 1024, 4096                  # the longer side of an SVG that comes in
_FILE_CHARS = re.compile(r"[^\w\-. ]+")


@dataclass(frozen=True)
class Taken:
    """A picture from outside. `notes`: what a person should know of how it was changed. `svg`: the drawing it was drawn from."""
    picture: Picture
    notes: tuple[str, ...] = ()
    svg: str = ""


def is_svg(data: bytes) -> bool:
    head = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"<") and b"<svg" in data[:10_000]


def drawn(data: bytes) -> Taken:
    """An SVG drawn with its longer side at its own size, at least DRAWN_PX and at most MAX_DRAWN_PX. Raises BadInput."""
    svg = sanitise(data.decode("utf-8", "replace"))
    _, _, width, height = view_box(ET.fromstring(svg))
    scale = min(max(DRAWN_PX, max(width, height)), MAX_DRAWN_PX) / max(width, height)
    width, height = (max(1, round(side * scale)) for side in (width, height))
    return Taken(Picture.from_array(rasterise(svg, width, height)), svg=svg if len(svg) <= MAX_SVG_CHARS else "")


class Exchange:
    """Into the library's pictures and out of them."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures, self.formats = pictures, formats()

    def picture(self, data: bytes) -> Taken:
        """A picture file of any kind, or an SVG, as RGBA. Raises BadInput."""
        return drawn(data) if is_svg(data) else Taken(*read_rgba(data))

    def write(self, format: str, asked: Mapping[str, Any]) -> tuple[str, bytes, str]:
        """(file name, bytes, media type). asked: document, name, scale (1), only (ids, all), background ("" = none, else #rrggbb)."""
        kind, stack, scale = format_of(format), Stack.from_dict(asked.get("document")), asked.get("scale", 1)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale <= 64:
            raise BadInput("The scale of an export is a number above 0.", "Choose 1 for the canvas's own size.")
        self.pictures.check(stack)
        stack = only(stack, asked.get("only") or ())
        name = _FILE_CHARS.sub("", str(asked.get("name") or ""))[:80].strip(" .") or "layers"
        about = {"name": name, "background": _colour(asked.get("background", "")), "jobs": self._jobs(stack)}
        return f"{name}.{kind.suffix.lstrip('.')}", kind.write(stack, self.pictures, float(scale), about), kind.media

    def _jobs(self, stack: Stack) -> dict[str, Any]:
        """{picture id: the Job that makes it} of the pictures that have one."""
        return {id: job for id in stack.pictures() if (job := self.pictures.job(id))}

    def read(self, data: bytes, name: str) -> tuple[str, Stack, tuple[str, ...]]:
        """A file with layers, or a picture, as a document: (name, stack, notes), its pictures kept. Raises BadInput."""
        if is_svg(data):
            return self._drawing(drawn(data), name.rpartition(".")[0] or name)
        opened = open_file(data, name)
        for id, picture in opened.pictures.items():
            if self.pictures.put(picture, opened.jobs.get(id)) != id:
                raise BadInput("A picture in this file is not what the file says.", "Save it anew.")
        return opened.name, opened.stack, tuple(opened.notes)

    def _drawing(self, taken: Taken, name: str) -> tuple[str, Stack, tuple[str, ...]]:
        width, height = taken.picture.width, taken.picture.height
        layer = Layer(new_id(), name[:200] or "Drawing", self.pictures.put(taken.picture), Placement.at(0, 0, width, height), svg=taken.svg)
        return name, Stack(Extent(width, height), (layer,)), ()


def only(stack: Stack, ids: Any) -> Stack:
    """The stack with nothing but these layers and groups; all of it for no ids."""
    if not ids:
        return stack
    if not isinstance(ids, list | tuple) or not all(isinstance(id, str) for id in ids):
        raise BadInput('"only" is a list of ids of layers.')
    for id in ids:
        stack.find(id)
    return Stack(stack.extent, _kept(stack.layers, set(ids)))


def _kept(nodes: tuple[Node, ...], ids: set[str]) -> tuple[Node, ...]:
    out = []
    for node in nodes:
        if node.id in ids:
            out.append(node)
        elif isinstance(node, Group) and (inner := _kept(node.layers, ids)):
            out.append(replace(node, layers=inner))
    return tuple(out)


def _colour(value: object) -> str:
    if value != "" and not (isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value)):
        raise BadInput("The background of an export is a colour like #ffffff, or none.")
    return value
