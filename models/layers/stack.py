"""The frozen values of a stack of layers: what lies where, how it is blended, and what made it.

A stack holds no pixels: a layer names its picture by `Picture.digest`, and whoever draws the stack brings the pictures. Lengths
are canvas pixels; pixel i covers [i, i + 1). Layers are listed bottom to top, and one picture may serve several of them.
"""
from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from models.errors import BadInput, UnknownId
from models.job import Extent

MAX_LAYERS, MAX_DEPTH = 500, 8                       # layers and groups together; groups within groups
MAX_NAME_CHARS, MAX_WORDS_CHARS, MAX_SVG_CHARS, MAX_SOURCE_CHARS = 200, 5_000, 2_000_000, 1_000_000
MAX_PLACE_PX = 1_000_000.0
SEPARABLE = ("normal", "multiply", "screen", "overlay", "darken", "lighten", "color-dodge", "color-burn", "hard-light", "soft-light",
             "difference", "exclusion")
BLENDS = (*SEPARABLE, "hue", "saturation", "color", "luminosity", "plus-lighter")
ALIGNS = ("left", "center", "right")
_ID, _SHA256, _COLOUR = re.compile(r"[\w-]{1,64}", re.ASCII), re.compile(r"[0-9a-f]{64}"), re.compile(r"#[0-9a-fA-F]{6}")
T = TypeVar("T")


@dataclass(frozen=True)
class Placement:
    """Where a picture is drawn: its centre, its drawn size before turning, the clockwise angle. Flips come before the turn."""
    x: float
    y: float
    width: float
    height: float
    angle_deg: float = 0.0
    flip_x: bool = False
    flip_y: bool = False

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            _number(self, name, -MAX_PLACE_PX, MAX_PLACE_PX)
        for name in ("width", "height"):
            _number(self, name, 1e-3, MAX_PLACE_PX)
        _number(self, "angle_deg", -1e6, 1e6)
        _kinds(self, bool, "flip_x", "flip_y")

    @classmethod
    def at(cls, left: float, top: float, width: float, height: float) -> Placement:
        """An upright box by its left upper corner."""
        return cls(left + width / 2, top + height / 2, width, height)

    @property
    def corner(self) -> tuple[float, float]:
        """The left upper corner of the box before turning."""
        return self.x - self.width / 2, self.y - self.height / 2

    def bounds(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the upright box around the turned one."""
        c, s = abs(math.cos(math.radians(self.angle_deg))), abs(math.sin(math.radians(self.angle_deg)))
        w, h = (self.width * c + self.height * s) / 2, (self.width * s + self.height * c) / 2
        return self.x - w, self.y - h, self.x + w, self.y + h

    def scaled(self, factor: float) -> Placement:
        """The same place on a canvas `factor` times as large."""
        return replace(self, x=self.x * factor, y=self.y * factor, width=self.width * factor, height=self.height * factor)


@dataclass(frozen=True)
class Text:
    """Words that stay words. `width_px` 0 = lines break only where the words do; `line_height` in units of `size_px`;
    `letter_spacing` in pixels; `font` names a face of the studio."""
    words: str
    font: str
    size_px: float
    colour: str = "#000000"
    align: str = "left"
    width_px: float = 0.0
    line_height: float = 1.2
    letter_spacing: float = 0.0

    def __post_init__(self) -> None:
        _kinds(self, str, "words", "font", "colour", "align")
        _require(len(self.words) <= MAX_WORDS_CHARS, f"A text layer may have {MAX_WORDS_CHARS:,} characters at most.")
        _require(len(self.font) <= MAX_NAME_CHARS, "That name of a font is too long.")
        _require(bool(_COLOUR.fullmatch(self.colour)), f'"{self.colour[:20]}" is not a colour.', "Write it as #rrggbb.")
        _require(self.align in ALIGNS, f'"{self.align[:20]}" is not an alignment.', f"Known: {', '.join(ALIGNS)}.")
        for name, low, high in (("size_px", 1, 8192), ("width_px", 0, 65_536), ("line_height", 0.1, 10), ("letter_spacing", -1000, 1000)):
            _number(self, name, low, high)


@dataclass(frozen=True)
class Layer:
    """One picture on the stack.

    picture: `Picture.digest` of its RGBA pixels. source: JSON with enough to make the layer again (task, words, seed ...).
    text, svg: what the picture was drawn from, if it was; an export draws it anew at its own scale.
    """
    id: str
    name: str
    picture: str
    place: Placement
    opacity: float = 1.0
    blend: str = "normal"
    visible: bool = True
    locked: bool = False
    source: dict = field(default_factory=dict, hash=False)
    text: Text | None = None
    svg: str = ""

    def __post_init__(self) -> None:
        _check_node(self)
        _kinds(self, str, "picture", "svg")
        _kinds(self, bool, "locked")
        _kinds(self, dict, "source")
        _require(bool(_SHA256.fullmatch(self.picture)), f'Layer "{self.name}" names no picture.', "A picture is named by its sha256, 64 hex digits.")
        _require(isinstance(self.place, Placement) and isinstance(self.text, Text | None), f'Layer "{self.name}" has no place.')
        _require(len(self.svg) <= MAX_SVG_CHARS, f'The drawing of layer "{self.name}" is too long.', "Simplify its paths.")
        _require(_json_chars(self.source) <= MAX_SOURCE_CHARS, f'What layer "{self.name}" remembers of its making is not JSON or too long.')


@dataclass(frozen=True)
class Group:
    """Layers drawn by themselves on nothing and then laid on what is below as if they were one (an isolated group)."""
    id: str
    name: str
    layers: tuple[Layer | Group, ...] = ()
    opacity: float = 1.0
    blend: str = "normal"
    visible: bool = True

    def __post_init__(self) -> None:
        _check_node(self)
        _kinds(self, tuple, "layers")


Node = Layer | Group


@dataclass(frozen=True)
class Stack:
    """A canvas and what lies on it, bottom to top. Every method returns a new stack; an id that is not there is UnknownId."""
    extent: Extent
    layers: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        nodes, depth = list(self.walk()), _depth(self.layers)
        _require(len(nodes) <= MAX_LAYERS, f"{len(nodes)} layers are more than {MAX_LAYERS}.", "Merge some of them first.")
        _require(depth <= MAX_DEPTH, f"Groups lie {depth} deep; {MAX_DEPTH} is the most.", "Take some groups apart.")
        ids = [node.id for node in nodes]
        _require(len(set(ids)) == len(ids), "Two layers have the same id.", "Give each layer its own.")

    def walk(self) -> Iterator[Node]:
        """Every layer and group, bottom to top, a group before what is in it."""
        return _walk(self.layers)

    def leaves(self) -> Iterator[Layer]:
        """Every layer, bottom to top."""
        return (node for node in self.walk() if isinstance(node, Layer))

    def pictures(self) -> frozenset[str]:
        """The digests of all pictures that are needed to draw it."""
        return frozenset(layer.picture for layer in self.leaves())

    def find(self, id: str) -> Node:
        """The layer or group of that id."""
        for node in self.walk():
            if node.id == id:
                return node
        raise UnknownId(f'There is no layer "{id}" on this stack.')

    def where(self, id: str) -> tuple[str, int]:
        """(id of the group it lies in, "" = the stack itself; its index there)."""
        for group in (self, *(node for node in self.walk() if isinstance(node, Group))):
            for index, node in enumerate(group.layers):
                if node.id == id:
                    return getattr(group, "id", ""), index
        raise UnknownId(f'There is no layer "{id}" on this stack.')

    def replace(self, id: str, *new: Node) -> Stack:
        """`new` (none = delete) in the place of one layer or group."""
        self.find(id)
        return replace(self, layers=_mapped(self.layers, lambda node: new if node.id == id else None))

    def remove(self, *ids: str) -> Stack:
        """Without some layers or groups; those that went with their group already are no error."""
        for id in ids:
            self.find(id)
        return replace(self, layers=_mapped(self.layers, lambda node: () if node.id in ids else None))

    def edit(self, id: str, **changes: Any) -> Stack:
        """One layer or group with some fields changed."""
        return self.replace(id, replace(self.find(id), **changes))

    def insert(self, *new: Node, into: str = "", at: int | None = None) -> Stack:
        """`new` in a group ("" = the stack itself) so that the first gets index `at`; None = on top."""
        inside = self.find(into).layers if into else self.layers
        _require(not into or isinstance(inside, tuple), "That layer is not a group.")
        index = len(inside) if at is None else max(0, min(at, len(inside)))
        layers = (*inside[:index], *new, *inside[index:])
        return self.edit(into, layers=layers) if into else replace(self, layers=layers)

    def move(self, id: str, into: str = "", at: int | None = None) -> Stack:
        """One layer or group to another place; `at` counts without it."""
        node = self.find(id)
        _require(into not in {inner.id for inner in _walk((node,))}, "A group cannot be moved into itself.")
        return self.remove(id).insert(node, into=into, at=at)

    def to_dict(self) -> dict:
        """JSON-ready: {"extent": {"width", "height"}, "layers": [...]}; a group is told from a layer by its key "layers"."""
        return {"extent": {"width": self.extent.width, "height": self.extent.height}, "layers": list(map(_node_out, self.layers))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Stack:
        """The inverse of to_dict. Unknown keys, wrong types and values out of bounds are BadInput by name."""
        _known(cls, values)
        extent = values.get("extent")
        _known(Extent, extent)
        _require(all(type(extent.get(name)) is int for name in ("width", "height")), "The canvas has no size.")
        return cls(Extent(extent["width"], extent["height"]), _nodes_in(values.get("layers", ()), 0))


def new_id() -> str:
    """An id that no other layer has."""
    return secrets.token_hex(6)


# --- trees -------------------------------------------------------------------------------------------------------------

def _walk(layers: tuple[Node, ...]) -> Iterator[Node]:
    for node in layers:
        yield node
        if isinstance(node, Group):
            yield from _walk(node.layers)


def _depth(layers: tuple[Node, ...]) -> int:
    return max((1 + _depth(node.layers) for node in layers if isinstance(node, Group)), default=0)


def _mapped(layers: tuple[Node, ...], change: Callable[[Node], tuple[Node, ...] | None]) -> tuple[Node, ...]:
    """Every node that `change` answers for replaced by that answer; groups that nothing changed in stay the same objects."""
    out: list[Node] = []
    for node in layers:
        new = change(node)
        if new is None and isinstance(node, Group):
            inner = _mapped(node.layers, change)
            new = (node,) if inner == node.layers else (replace(node, layers=inner),)
        out += (node,) if new is None else new
    return tuple(out)


# --- JSON --------------------------------------------------------------------------------------------------------------

def _node_out(node: Node) -> dict:
    out = {f.name: getattr(node, f.name) for f in fields(node)}
    if isinstance(node, Group):
        return out | {"layers": list(map(_node_out, node.layers))}
    return out | {"place": dict(vars(node.place)), "text": dict(vars(node.text)) if node.text else None}


def _nodes_in(values: Any, depth: int) -> tuple[Node, ...]:
    _require(isinstance(values, list | tuple), "Layers come as a list.")
    _require(len(values) <= MAX_LAYERS, f"{len(values)} layers are more than {MAX_LAYERS}.", "Merge some of them first.")
    _require(depth <= MAX_DEPTH, f"Groups lie more than {MAX_DEPTH} deep.", "Take some groups apart.")
    return tuple(_node_in(value, depth) for value in values)


def _node_in(value: Any, depth: int) -> Node:
    if isinstance(value, Mapping) and "layers" in value:
        return _made(Group, {**value, "layers": _nodes_in(value["layers"], depth + 1)})
    _known(Layer, value)
    text = value.get("text")
    return _made(Layer, {**value, "place": _made(Placement, value.get("place")), "text": None if text is None else _made(Text, text)})


def _made(kind: type[T], values: Any) -> T:
    _known(kind, values)
    try:
        return kind(**values)
    except TypeError:
        missing = [f.name for f in fields(kind) if f.name not in values]
        raise BadInput(f"A {kind.__name__.lower()} lacks one of: {', '.join(missing)}.") from None


def _known(kind: type, values: Any) -> None:
    _require(isinstance(values, Mapping), f"A {kind.__name__.lower()} must be a JSON object.")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(map(str, set(values) - known)):
        raise BadInput(f"Unknown {kind.__name__.lower()} field {', '.join(unknown)}.", f"Known fields: {', '.join(sorted(known))}.")


# --- checks ------------------------------------------------------------------------------------------------------------

def _check_node(node: Node) -> None:
    _kinds(node, str, "id", "name", "blend")
    _kinds(node, bool, "visible")
    _require(bool(_ID.fullmatch(node.id)), f'"{node.id[:80]}" cannot be the id of a layer.', "Use 1 to 64 letters, digits, - and _.")
    _require(len(node.name) <= MAX_NAME_CHARS, f"A layer's name may have {MAX_NAME_CHARS} characters at most.")
    _require(node.blend in BLENDS, f'There is no blend mode "{node.blend[:40]}".', f"Known: {', '.join(BLENDS)}.")
    _number(node, "opacity", 0, 1)


def _number(value: object, name: str, low: float, high: float) -> None:
    number = getattr(value, name)
    good = isinstance(number, int | float) and not isinstance(number, bool) and low <= number <= high
    _require(good, f"{name} must be a number from {low:g} to {high:g}, not {str(number)[:40]}.")


def _kinds(value: object, kind: type, *names: str) -> None:
    for name in names:
        _require(isinstance(getattr(value, name), kind), f"{name} of a {type(value).__name__.lower()} must be {kind.__name__}.")


def _json_chars(value: dict) -> float:
    try:
        return len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return math.inf


def _require(ok: bool, message: str, cure: str = "") -> None:
    if not ok:
        raise BadInput(message, cure)
