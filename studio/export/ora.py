"""OpenRaster (draft 0.0.5 of freedesktop.org): opens in Krita, GIMP and MyPaint with its layers, groups, names and blend modes."""
from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from models.layers.blending import premultiplied, to_uint8
from models.job import Picture
from models.layers.placing import box_of, drawn
from models.layers.stack import BLENDS, Layer, Node, Placement, Stack
from studio.export import About, Format, _parts

MIMETYPE = b"image/openraster"
THUMBNAIL_PX = 256
OPERATORS = {blend: f"svg:{blend}" for blend in BLENDS} | {"normal": "svg:src-over", "plus-lighter": "svg:plus"}


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """Every layer as it is drawn at that scale, and the whole as mergedimage.png."""
    width, height = _parts.size(stack, scale, _parts.MAX_LAYERED_PX, "ORA")
    whole = _parts.whole(stack, pictures, scale, about)
    stack, pictures = _parts.with_background(stack, pictures, about)
    sheet = _Sheet(stack, pictures, scale)
    image = ET.Element("image", version="0.0.3", w=str(width), h=str(height), xres="72", yres="72")
    sheet.add(ET.SubElement(image, "stack"), stack.layers)
    xml = ET.tostring(image, encoding="UTF-8", xml_declaration=True)
    return _parts.zipped(_entries(xml, sheet.files, whole), stored=("mimetype",))


def _entries(xml: bytes, files: dict[str, bytes], whole: np.ndarray) -> Iterator[tuple[str, bytes]]:
    yield "mimetype", MIMETYPE                       # first and stored, so that the first bytes of the file tell what it is
    yield "stack.xml", xml
    yield from files.items()
    yield "mergedimage.png", _parts.png_bytes(whole)
    yield "Thumbnails/thumbnail.png", _parts.png_bytes(thumbnail(whole, THUMBNAIL_PX))


def thumbnail(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Shrunk by true areas so that no side is longer; never grown."""
    height, width = pixels.shape[:2]
    shrink = min(1.0, side_px / max(width, height))
    place = Placement.at(0, 0, max(1, round(width * shrink)), max(1, round(height * shrink)))
    return to_uint8(drawn(pixels, place, box_of(place))) if shrink < 1 else to_uint8(premultiplied(pixels))


@dataclass
class _Sheet:
    stack: Stack
    pictures: Mapping[str, Picture]
    scale: float
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, parent: ET.Element, nodes: tuple[Node, ...]) -> None:
        """Elements of `nodes` in `parent`; OpenRaster lists the topmost first."""
        for node in reversed(nodes):
            shared = {"name": xml_text(node.name), "opacity": f"{node.opacity:.6g}", "visibility": "visible" if node.visible else "hidden",
                      "composite-op": OPERATORS[node.blend]}
            if isinstance(node, Layer):
                ET.SubElement(parent, "layer", shared | self._layer(node))
            else:
                self.add(ET.SubElement(parent, "stack", shared | {"isolation": "isolate"}), node.layers)

    def _layer(self, layer: Layer) -> dict[str, str]:
        piece, name = _parts.piece(layer, self.stack, self.pictures, self.scale), f"data/{len(self.files):03d}.png"
        self.files[name] = _parts.png_bytes(piece.pixels)
        return {"src": name, "x": str(piece.left), "y": str(piece.top)} | ({"edit-locked": "true"} if layer.locked else {})


def xml_text(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return "".join(c for c in text if c in "\t\n\r" or 0x20 <= ord(c) < 0xD800 or 0xE000 <= ord(c) < 0xFFFE or ord(c) > 0xFFFF)


FORMAT = Format("ora", "OpenRaster (Krita, GIMP)", "ora", MIMETYPE.decode(), write, 11)
