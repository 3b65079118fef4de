"""What the vector tasks have in common: layers that are drawn from SVG."""
from __future__ import annotations

from models.errors import BadInput
from models.job import Picture
from models.layers.stack import Layer, Placement
from models.vector.vectors import rasterise
from studio.layers.task import Call, Made
from studio.layers.tasks import _making as making

MOST_PX = 2048                                       # of a layer's picture; exports draw the SVG anew at their own scale


def svg_of(layer: Layer) -> str:
    """The drawing of a vector layer. Raises BadInput for another."""
    if not layer.svg:
        raise BadInput(f'"{layer.name}" is not a drawing of paths.', "Trace it first.")
    return layer.svg


def picture_of(svg: str, place: Placement) -> Picture:
    """The drawing at the size it has on the canvas, or smaller where that is very large."""
    scale = min(1.0, MOST_PX / max(place.width, place.height))
    return Picture.from_array(rasterise(svg, *(max(1, round(side * scale)) for side in (place.width, place.height))))


def new_place(call: Call, ratio: float = 1.0) -> Placement:
    """Where a new drawing of a shape (width / height) lies: in the middle, as large as other new things."""
    side = making.OF_CANVAS * min(call.stack.extent.width, call.stack.extent.height)
    width, height = (side, side / ratio) if ratio >= 1 else (side * ratio, side)
    return Placement(call.stack.extent.width / 2, call.stack.extent.height / 2, width, height)


def made(name: str, svg: str, place: Placement, source: dict, old: Layer | None = None) -> Made:
    """A vector layer; what is not its drawing is taken over from an old one."""
    if old is None:
        return Made(name, picture_of(svg, place), place, source, svg=svg)
    return Made(old.name, picture_of(svg, place), place, source, old.blend, old.opacity, svg=svg)
