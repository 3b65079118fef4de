"""Vector pictures: SVG in, checked; straight and cubic pieces in between; SVG and pixels out.

`read` understands paths (every command of SVG 2 section 9.3, arcs turned into cubics), basic shapes, groups, transforms and flat
paint; `sanitise` lets a foreign file through only when it cannot run, fetch or swell; `rasterise` draws what sanitise lets through.
"""
from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from models.errors import BadInput
from models.vector.pathdata import Path, moved, parse_path, path_data

MAX_SVG_CHARS = 4_000_000
MAX_ELEMENTS = 20_000
MAX_SIDE_PX, MAX_AREA_PX = 16_384, 150_000_000
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
ET.register_namespace("", SVG)                       # written without a prefix
_SHAPES = ("path", "rect", "circle", "ellipse", "line", "polyline", "polygon")
_KEPT = {"svg", "g", "defs", "symbol", "use", "linearGradient", "radialGradient", "stop", "clipPath", "mask", *_SHAPES}
_DROPPED = {"title", "desc", "metadata", "filter", "style", "switch", "view", "marker", "pattern", "font", "cursor"}
_REFUSED = {"script": "runs a script", "foreignObject": "embeds another page", "image": "embeds a picture", "a": "links to elsewhere",
            "animate": "is animated", "animateTransform": "is animated", "animateMotion": "is animated", "set": "is animated",
            "text": "holds text, which needs a font", "textPath": "holds text, which needs a font", "iframe": "embeds another page"}
_CURES = {"holds text, which needs a font": "Turn the text into paths first.",
          "embeds a picture": "Save the picture by itself and place it as a layer of its own."}
_PAINT = ("fill", "stroke", "stroke-width", "fill-rule", "opacity", "fill-opacity", "stroke-opacity", "stroke-linecap", "stroke-linejoin",
          "color", "display", "visibility")
_ATTRIBUTES = {*_PAINT, "id", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "fr", "width", "height", "points",
               "transform", "viewBox", "offset", "stop-color", "stop-opacity", "gradientUnits", "gradientTransform", "spreadMethod",
               "clip-path", "clip-rule", "clipPathUnits", "mask", "maskUnits", "maskContentUnits", "mask-type", "stroke-dasharray",
               "stroke-dashoffset", "stroke-miterlimit", "preserveAspectRatio", "paint-order", "href", "style", "mix-blend-mode"}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^)]*)\)")
_REFERENCE = re.compile(r"url\(\s*['\"]?\s*(?!#)|@import|expression\s*\(|javascript:|data:", re.IGNORECASE)
_COLOUR = re.compile(r"[#\w(),.%\s/-]{1,60}")
_NOT_SVG = "Use an SVG file, as drawing programs export it."


@dataclass(frozen=True)
class Shape:
    """Paths painted together. fill, stroke: "#rrggbb", another CSS colour, or "none"; width: of the stroke, in the drawing's units;
    round: its ends and corners."""
    paths: tuple[Path, ...]
    fill: str = "#000000"
    stroke: str = "none"
    width: float = 0.0
    rule: str = "nonzero"
    opacity: float = 1.0
    round: bool = False


@dataclass(frozen=True)
class Drawing:
    """Shapes bottom to top on a sheet of `width` x `height` units whose corner is 0, 0."""
    width: float
    height: float
    shapes: tuple[Shape, ...] = field(repr=False)


# Reading

def read(svg: str) -> Drawing:
    """The paths of an SVG with flat paint; gradients count as black, what is not shown is left out. Raises BadInput."""
    root = _tree(svg)
    x, y, width, height = view_box(root)
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    shapes = tuple(_shapes(root, {"color": "#000000"}, np.array([[1, 0, -x], [0, 1, -y]], float), ids, 0))
    return Drawing(width, height, shapes)


def view_box(root: ET.Element) -> tuple[float, float, float, float]:
    """(x, y, width, height) in user units; without a viewBox that of width and height. Raises BadInput when there is no area."""
    numbers = [float(n) for n in _NUMBER.findall(root.get("viewBox", ""))]
    if len(numbers) != 4:
        numbers = [0.0, 0.0, _length(root.get("width", "300")), _length(root.get("height", "150"))]
    if not all(map(math.isfinite, numbers)) or min(numbers[2:]) <= 0 or max(map(abs, numbers)) > 1e7:
        raise BadInput("This SVG has no size that can be drawn.", "Give it a viewBox such as 0 0 24 24.")
    return tuple(numbers)


def _shapes(element: ET.Element, above: Mapping[str, str], matrix: np.ndarray, ids: Mapping[str, ET.Element], depth: int) -> Iterator[Shape]:
    kind, paint = _tag(element), _paint(element, above)
    if depth > 40 or paint.get("display") == "none" or kind in ("defs", "symbol", "clipPath", "mask") and depth:
        return
    matrix = _then(matrix, _transform(element.get("transform", "")))
    if kind == "use":
        target = ids.get(element.get("href", "").lstrip("#"))
        if target is not None and target.find(f".//{{{SVG}}}use") is None:
            shift = np.array([[1, 0, _length(element.get("x", "0"))], [0, 1, _length(element.get("y", "0"))]])
            yield from _shapes(target, paint, _then(matrix, shift), ids, depth + 30)
    elif kind in _SHAPES:
        paths = tuple(moved(path, matrix) for path in parse_path(_outline(element, kind)))
        if paths and paint.get("visibility") != "hidden":
            yield _painted(paths, paint, math.sqrt(abs(float(np.linalg.det(matrix[:, :2])))))
    for child in element:
        yield from _shapes(child, paint, matrix, ids, depth + 1)


def _paint(element: ET.Element, above: Mapping[str, str]) -> dict[str, str]:
    """What is inherited from `above` and said by the element; opacities multiply into "opacity"."""
    style = dict(part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
    own = {name: element.get(name) for name in _PAINT if element.get(name)} | {k.strip(): v.strip() for k, v in style.items()}
    out = {**above, **{name: value for name, value in own.items() if name in _PAINT and value != "inherit"}}
    out["opacity"] = str(_share(above.get("opacity", "1")) * _share(own.get("opacity", "1")))
    return out


def _painted(paths: tuple[Path, ...], paint: Mapping[str, str], scale: float) -> Shape:
    colour = lambda name, default: _colour(paint.get(name, default), paint["color"])
    fill, stroke = colour("fill", "#000000"), colour("stroke", "none")
    width = _length(paint.get("stroke-width", "1")) * scale if stroke != "none" else 0.0
    solid = paint.get("fill-opacity") if fill != "none" else paint.get("stroke-opacity")
    return Shape(paths, fill, stroke, width, "evenodd" if paint.get("fill-rule") == "evenodd" else "nonzero", _share(paint["opacity"]) * _share(solid or "1"),
                 paint.get("stroke-linecap") == "round")


def _colour(value: str, current: str) -> str:
    value = value.strip()
    if value.lower() == "currentcolor":
        return current
    if value.startswith("url("):
        return "#000000"
    return "none" if value == "transparent" else value if _COLOUR.fullmatch(value) else "#000000"


def _outline(element: ET.Element, kind: str) -> str:
    """The path data of a basic shape (SVG 2, section 10)."""
    n = lambda name: _length(element.get(name, "0"))
    if kind == "path":
        return element.get("d", "")
    if kind == "line":
        return f"M{n('x1')} {n('y1')}L{n('x2')} {n('y2')}"
    if kind in ("polyline", "polygon"):
        points = element.get("points", "").strip()
        return f"M{points}{'Z' if kind == 'polygon' else ''}" if points else ""
    if kind in ("circle", "ellipse"):
        rx, ry = (n("r"), n("r")) if kind == "circle" else (n("rx"), n("ry"))
        x, y = n("cx"), n("cy")
        return f"M{x + rx} {y}A{rx} {ry} 0 0 1 {x - rx} {y}A{rx} {ry} 0 0 1 {x + rx} {y}Z" if rx > 0 and ry > 0 else ""
    return _rounded(n("x"), n("y"), n("width"), n("height"), element.get("rx"), element.get("ry"))


def _rounded(x: float, y: float, w: float, h: float, rx: str | None, ry: str | None) -> str:
    rx, ry = _length(rx or ry or "0"), _length(ry or rx or "0")
    rx, ry = min(rx, w / 2), min(ry, h / 2)
    if w <= 0 or h <= 0:
        return ""
    if rx <= 0 or ry <= 0:
        return f"M{x} {y}H{x + w}V{y + h}H{x}Z"
    arc = f"A{rx} {ry} 0 0 1"
    return (f"M{x + rx} {y}H{x + w - rx}{arc} {x + w} {y + ry}V{y + h - ry}{arc} {x + w - rx} {y + h}"
            f"H{x + rx}{arc} {x} {y + h - ry}V{y + ry}{arc} {x + rx} {y}Z")


def _transform(text: str) -> np.ndarray:
    """[2, 3] of a transform list (CSS Transforms 1, section 14)."""
    matrix = np.array([[1, 0, 0], [0, 1, 0]], float)
    for name, inside in _TRANSFORM.findall(text):
        matrix = _then(matrix, _one_transform(name, [float(n) for n in _NUMBER.findall(inside)]))
    return matrix


def _one_transform(name: str, v: list[float]) -> np.ndarray:
    wanted = {"matrix": (6,), "translate": (1, 2), "scale": (1, 2), "rotate": (1, 3), "skewX": (1,), "skewY": (1,)}[name]
    if len(v) not in wanted:
        raise BadInput(f'The transform "{name}" of this SVG has {len(v)} numbers.', _NOT_SVG)
    if name == "matrix":
        return np.array([v[0::2], v[1::2]])
    if name == "translate":
        return np.array([[1, 0, v[0]], [0, 1, v[1] if len(v) > 1 else 0]])
    if name == "scale":
        return np.array([[v[0], 0, 0], [0, v[-1], 0]])
    turn = math.radians(v[0])
    if name == "rotate":
        c, s, x, y = math.cos(turn), math.sin(turn), *(v[1:] or (0.0, 0.0))
        return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])
    return np.array([[1, math.tan(turn), 0], [0, 1, 0]]) if name == "skewX" else np.array([[1, 0, 0], [math.tan(turn), 1, 0]])


def _then(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The [2, 3] that moves by `inner` first."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


def _length(text: str) -> float:
    """A length in user units; units are read as pixels (96 an inch), percentages as nothing."""
    found = _NUMBER.match(text.strip())
    if not found or text.strip().endswith("%"):
        return 0.0
    unit = text.strip()[found.end():]
    return float(found.group()) * {"mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0, "pt": 96 / 72, "pc": 16.0}.get(unit, 1.0)


def _share(text: str) -> float:
    found = _NUMBER.match(text.strip())
    value = float(found.group()) if found else 1.0
    return min(max(value / 100 if text.strip().endswith("%") else value, 0.0), 1.0)


def _tag(element: ET.Element) -> str:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""


# Checking

def sanitise(svg: str) -> str:
    """The SVG with nothing left but shapes and paint. Raises BadInput, with the cure, for what runs, fetches, needs a font, refers to
    itself, declares entities or is too large."""
    return ET.tostring(_tree(svg), encoding="unicode")


def _tree(svg: str) -> ET.Element:
    if len(svg) > MAX_SVG_CHARS:
        raise BadInput(f"This SVG has {len(svg) / 1e6:.1f} million characters; {MAX_SVG_CHARS // 1_000_000} are the most.", "Simplify its paths.")
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", svg, re.IGNORECASE):
        svg = re.sub(r"<!DOCTYPE\s[^>\[]*>", "", svg, count=1, flags=re.IGNORECASE)       # the harmless one, without declarations
        if re.search(r"<!\s*(DOCTYPE|ENTITY)", svg, re.IGNORECASE):
            raise BadInput("This SVG declares entities, which can swell without end.", "Export it again as plain SVG.")
    try:
        root = ET.fromstring(svg.strip())
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise BadInput(f"This is not an SVG that can be read ({str(error)[:80]}).", _NOT_SVG) from None
    if _tag(root) != "svg":
        raise BadInput(f"The file holds <{_tag(root)}>, not an SVG.", _NOT_SVG)
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        raise BadInput(f"This SVG has more than {MAX_ELEMENTS:,} elements.", "Simplify it, or place it as a picture.")
    view_box(root)
    return _cleaned(root, 0)


def _cleaned(element: ET.Element, depth: int) -> ET.Element:
    """A copy with the elements and attributes that are known to be harmless."""
    if depth > 40:
        raise BadInput("This SVG is nested more than 40 deep.", "Ungroup it.")
    out = ET.Element(f"{{{SVG}}}{_tag(element)}", dict(_attributes(element)))
    for child in element:
        kind = _tag(child)
        if kind in _REFUSED:
            why = _REFUSED[kind]
            raise BadInput(f"This SVG {why}.", _CURES.get(why, "Export it again as plain SVG, without that."))
        if kind in _KEPT:
            out.append(_cleaned(child, depth + 1))
    if _tag(out) == "use" and depth > 20:
        raise BadInput("This SVG copies its parts too deeply.", "Expand its symbols first.")
    if not depth:
        _check_copies(out)
    return out


def _attributes(element: ET.Element) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        name = name.rsplit("}", 1)[-1] if name.startswith((f"{{{XLINK}}}", f"{{{SVG}}}")) else name
        if name.lower().startswith("on"):
            raise BadInput("This SVG runs a script.", "Export it again as plain SVG, without that.")
        if name not in _ATTRIBUTES:
            continue
        if name == "href" and not value.strip().startswith("#") or _REFERENCE.search(value):
            raise BadInput("This SVG refers to another file.", "Export it again with everything inside it.")
        yield name, value.strip() if name == "href" else value


def _check_copies(root: ET.Element) -> None:
    """A copy of what holds copies doubles at every level, so only copies of plain parts pass, and those while they stay few."""
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    copied = 0
    for use in root.iter(f"{{{SVG}}}use"):
        target = ids.get(use.get("href", "")[1:])
        if target is not None and any(_tag(inner) == "use" for inner in target.iter()):
            raise BadInput("This SVG copies parts that hold copies themselves.", "Expand its symbols first.")
        copied += sum(1 for _ in target.iter()) if target is not None else 0
    if copied > MAX_ELEMENTS:
        raise BadInput(f"This SVG copies its parts more than {MAX_ELEMENTS:,} times.", "Expand its symbols, or place it as a picture.")


# Writing and drawing

def write(drawing: Drawing, digits: int = 2) -> str:
    """SVG text of a drawing; coordinates with so many decimals."""
    box = f"0 0 {_number(drawing.width, digits)} {_number(drawing.height, digits)}"
    return f'<svg xmlns="{SVG}" viewBox="{box}">' + "".join(_element(shape, digits) for shape in drawing.shapes) + "</svg>"


def _element(shape: Shape, digits: int) -> str:
    paint = f' fill="{shape.fill}"' + (f' fill-rule="{shape.rule}"' if shape.fill != "none" and shape.rule != "nonzero" else "")
    if shape.stroke != "none":
        paint += f' stroke="{shape.stroke}" stroke-width="{_number(shape.width, digits)}"'
        paint += ' stroke-linecap="round" stroke-linejoin="round"' if shape.round else ""
    if shape.opacity < 1:
        paint += f' opacity="{_number(shape.opacity, 3)}"'
    return f'<path d="{"".join(path_data(path, digits) for path in shape.paths)}"{paint}/>'


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0"


def recoloured(drawing: Drawing, colour: str) -> Drawing:
    """Every paint of the drawing in one colour."""
    swap = lambda paint: paint if paint == "none" else colour
    return replace(drawing, shapes=tuple(replace(s, fill=swap(s.fill), stroke=swap(s.stroke)) for s in drawing.shapes))


def rasterise(svg: str, width: int, height: int) -> np.ndarray:
    """The SVG drawn over the whole of `width` x `height` px, stretched when its shape is another: uint8 straight RGBA
    [height, width, 4]. Raises BadInput for what sanitise refuses and for a size outside 1..MAX_SIDE_PX."""
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX and width * height <= MAX_AREA_PX):
        raise BadInput(f"A drawing of {width}x{height} px is outside 1..{MAX_SIDE_PX:,} px a side.", "Choose a smaller size.")
    root = _tree(svg)
    root.set("viewBox", " ".join(f"{n:g}" for n in view_box(root)))
    root.attrib |= {"width": str(width), "height": str(height), "preserveAspectRatio": "none"}
    return _drawn(ET.tostring(root, encoding="unicode"))


def draw(drawing: Drawing, side_px: int, digits: int = 2) -> np.ndarray:
    """Coverage of a drawing on a square sheet, uint8 [side_px, side_px]; no checks, for many of our own."""
    return np.ascontiguousarray(_drawn(write(drawing, digits).replace("<svg ", f'<svg width="{side_px}" height="{side_px}" ', 1))[..., 3])


def _drawn(svg: str) -> np.ndarray:
    import resvg_py
    try:
        data = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    except ValueError as error:
        raise BadInput(f"This SVG cannot be drawn ({str(error)[:80]}).", _NOT_SVG) from None
    return np.array(Image.open(io.BytesIO(data)).convert("RGBA"))
