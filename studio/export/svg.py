"""The stack as SVG: pictures inside as PNG, words as text in their font, drawings as their own paths, blend modes as CSS.

Text has its font with it (a data address), and its lines stand where the studio sets them; an editor without that font shows another.
"""
from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from models.vector import vectors
from models.words import lettering
from models.layers.compose import rgba
from models.errors import StudioError
from models.job import Picture
from models.layers.stack import Layer, Node, Placement, Stack, Text
from studio.export import About, Format, _parts
from studio.export.ora import xml_text

INKSCAPE = "http://www.inkscape.org/namespaces/inkscape"
ET.register_namespace("", vectors.SVG)
ET.register_namespace("inkscape", INKSCAPE)
GENERIC = {"serif": "serif", "slab": "serif", "mono": "monospace", "handwriting": "cursive", "marker": "cursive"}
_WEIGHT = re.compile(r" (extra)?(bold|black)$")
_LINK = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")


def write(stack: Stack, pictures: Mapping[str, Picture], scale: float, about: About) -> bytes:
    """The stack in its own units, `scale` times as large. Pictures keep their own pixels."""
    width, height = _parts.size(stack, scale, _parts.MAX_LAYERED_PX, "SVG")
    stack, pictures = _parts.with_background(stack, pictures, about)
    root = _element("svg", width=width, height=height, viewBox=f"0 0 {stack.extent.width} {stack.extent.height}")
    if name := xml_text(str(about.get("name", ""))):
        ET.SubElement(root, f"{{{vectors.SVG}}}title").text = name
    page = _Page(pictures)
    page.add(root, stack.layers)
    if page.fonts:
        style = _element("style")
        style.text = "".join(page.fonts.values())
        root.insert(0, style)
    return ET.tostring(root, encoding="UTF-8", xml_declaration=True)


@dataclass
class _Page:
    """One file while it is written. fonts: CSS by font id."""
    pictures: Mapping[str, Picture]
    fonts: dict[str, str] = field(default_factory=dict)

    def add(self, parent: ET.Element, nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            inner = self._layer(node) if isinstance(node, Layer) else _element("g")
            if not isinstance(node, Layer):
                self.add(inner, node.layers)
                inner.set(f"{{{INKSCAPE}}}groupmode", "layer")
            inner.set("id", f"l-{node.id}")
            inner.set(f"{{{INKSCAPE}}}label", xml_text(node.name))
            if looks := ";".join(_looks(node)):
                inner.set("style", looks)
            if not node.visible:
                inner.set("display", "none")
            parent.append(inner)

    def _layer(self, layer: Layer) -> ET.Element:
        """A <g> whose inside is drawn from (0, 0) to the size of the place."""
        out = _element("g", transform=_transform(layer.place))
        out.append(self._inside(layer))
        return out

    def _inside(self, layer: Layer) -> ET.Element:
        try:
            if layer.text:
                return self._words(layer, layer.text)
            if layer.svg:
                return _drawing(layer)
        except StudioError:                          # a font or a drawing that is not understood here: its picture serves
            pass
        data = base64.b64encode(_parts.png_bytes(rgba(layer, self.pictures))).decode()
        return _element("image", width=_n(layer.place.width), height=_n(layer.place.height), preserveAspectRatio="none",
                        href=f"data:image/png;base64,{data}")

    def _words(self, layer: Layer, text: Text) -> ET.Element:
        lettering.check(text)
        font, block = lettering.font_of(text.font), lettering.measure(text)
        family, picture = _WEIGHT.sub("", font.title), rgba(layer, self.pictures)
        if font.id not in self.fonts:
            data = base64.b64encode((lettering.FOLDER / f"{font.id}.ttf").read_bytes()).decode()
            self.fonts[font.id] = (f'@font-face{{font-family:"{family}";font-weight:{font.weight};'
                                   f'src:url(data:font/ttf;base64,{data})}}')
        out = _element("text", fill=text.colour)
        out.set("transform", f"scale({_n(layer.place.width / picture.shape[1])} {_n(layer.place.height / picture.shape[0])})")
        out.set("font-family", f"'{family}', {GENERIC.get(font.kind, 'sans-serif')}")
        out.attrib |= {"font-size": _n(text.size_px), "font-weight": str(font.weight), "letter-spacing": _n(text.letter_spacing),
                       "style": "white-space:pre;font-variant-ligatures:none"}
        for number, line in enumerate(block.lines):
            if line.words.strip():
                span = ET.SubElement(out, f"{{{vectors.SVG}}}tspan", x=_n(line.starts[0]), y=_n(lettering.baseline(text, number, block.margin)))
                span.text = xml_text(line.words)
        return out


def _drawing(layer: Layer) -> ET.Element:
    """The layer's own SVG, cleaned, with names that no other layer has."""
    root = ET.fromstring(vectors.sanitise(layer.svg))
    box = " ".join(_n(n) for n in vectors.view_box(root))
    root.attrib |= {"viewBox": box, "width": _n(layer.place.width), "height": _n(layer.place.height), "preserveAspectRatio": "none"}
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{layer.id}-{value}")
            elif name.endswith("href") and value.startswith("#"):
                element.set(name, f"#{layer.id}-{value[1:]}")
            elif "url(" in value:
                element.set(name, _LINK.sub(rf"url(#{layer.id}-\1)", value))
    return root


def _transform(place: Placement) -> str:
    """From the unturned drawn picture, whose corner is (0, 0), to the canvas."""
    turn = f" rotate({_n(place.angle_deg)})" if place.angle_deg % 360 else ""
    flip = f" scale({-1 if place.flip_x else 1} {-1 if place.flip_y else 1})" if place.flip_x or place.flip_y else ""
    return f"translate({_n(place.x)} {_n(place.y)}){turn}{flip} translate({_n(-place.width / 2)} {_n(-place.height / 2)})"


def _looks(node: Node) -> Iterator[str]:
    if node.opacity < 1:
        yield f"opacity:{_n(node.opacity)}"
    if node.blend != "normal":
        yield f"mix-blend-mode:{node.blend}"
    if not isinstance(node, Layer):
        yield "isolation:isolate"


def _element(tag: str, **attributes: object) -> ET.Element:
    return ET.Element(f"{{{vectors.SVG}}}{tag}", {name: str(value) for name, value in attributes.items()})


def _n(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


FORMAT = Format("svg", "SVG", "svg", "image/svg+xml", write, 12)
