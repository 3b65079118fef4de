"""OpenRaster, as Krita, GIMP, MyPaint and this studio write it."""
from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from models.errors import BadInput
from models.decoding import measured, read_rgba
from models.layers.stack import MAX_DEPTH, MAX_LAYERS, Group, Layer, Node, Stack, new_id
from studio.export.ora import OPERATORS
from studio.opening import Opened, Opener
from studio.opening._room import Room, canvas, named
from studio.opening._zip import Archive, holds

MAX_XML_BYTES = 10 * 2 ** 20
BLENDS = {operator: blend for blend, operator in OPERATORS.items()}


def claims(data: bytes) -> bool:
    return holds(data, "stack.xml")


def open_ora(data: bytes, name: str) -> Opened:
    archive, room = Archive(data), Room()
    image = _tree(archive.read("stack.xml", MAX_XML_BYTES))
    stack = image.find("stack")
    if image.tag != "image" or stack is None:
        raise BadInput("stack.xml holds no layers.", "Save it anew from the program that made it.")
    extent = canvas(*(_whole(image, side, 0) for side in "wh"))
    if sum(1 for _ in stack.iter()) > MAX_LAYERS + 1:
        raise BadInput(f"The file has more than {MAX_LAYERS} layers.", "Merge some of them first.")
    layers = _nodes(stack, archive, room, 0)
    return Opened(name, Stack(extent, layers), room.pictures, tuple(room.notes))


class _Plain(ET.TreeBuilder):
    """Refuses document types, where entities that swell are declared."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise BadInput("stack.xml declares a document type, which no program needs.", "Do not trust this file.")


def _tree(xml: bytes) -> ET.Element:
    try:
        return ET.fromstring(xml, ET.XMLParser(target=_Plain()))
    except ET.ParseError:
        raise BadInput("stack.xml in the file is damaged.", "Save it anew from the program that made it.") from None


def _nodes(stack: ET.Element, archive: Archive, room: Room, depth: int) -> tuple[Node, ...]:
    """Bottom to top; OpenRaster lists the topmost first."""
    if depth > MAX_DEPTH:
        raise BadInput(f"Groups lie more than {MAX_DEPTH} deep.", "Take some groups apart.")
    out: list[Node] = []
    for element in reversed(stack):
        if element.tag == "stack":
            layers = _nodes(element, archive, room, depth + 1)
            if element.get("isolation", "auto") != "isolate" and any(node.blend != "normal" for node in layers):
                room.note(f'Layers of group "{named(element.get("name", ""))}" were blended with what lies below the group; now they are not.')
            out.append(Group(new_id(), named(element.get("name", ""), "Group"), layers, **_looks(element, room)))
        elif element.tag == "layer" and element.get("src"):
            out.append(_layer(element, archive, room))
        elif isinstance(element.tag, str):
            room.note(f'"{element.get("name", element.tag)[:40]}" holds no pixels and was left out.')
    return tuple(out)


def _layer(element: ET.Element, archive: Archive, room: Room) -> Layer:
    data = archive.read(element.get("src", ""))
    room.make_room(*measured(data))
    picture, _ = read_rgba(data)
    place = _whole(element, "x", 0), _whole(element, "y", 0)
    locked = element.get("edit-locked", "false") == "true"
    return room.layer(picture.array, *place, element.get("name", ""), locked=locked, **_looks(element, room))


def _looks(element: ET.Element, room: Room) -> dict[str, object]:
    operator = element.get("composite-op", "svg:src-over")
    if operator not in BLENDS:
        room.note(f'The blend mode "{operator[:40]}" is not known here; normal was taken instead.')
    return {"opacity": min(1.0, max(0.0, _number(element, "opacity", 1.0))), "visible": element.get("visibility", "visible") != "hidden",
            "blend": BLENDS.get(operator, "normal")}


def _whole(element: ET.Element, name: str, default: float) -> int:
    return round(_number(element, name, default))


def _number(element: ET.Element, name: str, default: float) -> float:
    try:
        value = float(element.get(name, default))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f'"{element.get(name, "")[:40]}" is no number for {name}.', "Save it anew from the program that made it.")
    return value


OPENER = Opener("ora", "OpenRaster file", 20, claims, open_ora)
