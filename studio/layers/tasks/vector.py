"""A vector layer whose paths were edited in the page: checked, and drawn anew."""
from __future__ import annotations

from models.errors import BadInput
from models.layers.stack import MAX_SVG_CHARS
from models.vector.vectors import read, sanitise, write
from studio.layers.task import Call, Outcome, Task
from studio.layers.tasks import _making as making
from studio.layers.tasks._drawn import made, new_place, svg_of


def run(call: Call) -> Outcome:
    """asked: layer, svg (its new drawing, "" = as it is); plain: reduced to paths of M, L, C and Z with flat paint, as the page edits
    them. Without `layer`, a new layer of `svg` named `name`."""
    given, layer = call.text("svg", most=MAX_SVG_CHARS), call.layer() if call.text("layer") else None
    if not (given or layer):
        raise BadInput("There is no drawing.", "Draw a path first.")
    svg = sanitise(given or svg_of(layer))
    drawing = read(svg)
    svg = write(drawing) if call.flag("plain") else svg
    if layer is None:
        return Outcome((made(making.named(call.text("name", "Drawing", 200)), svg, new_place(call, drawing.width / drawing.height), {"task": "vector"}),))
    svg_of(layer)
    return Outcome((made(layer.name, svg, layer.place, layer.source, layer),), (layer.id,))


TASK = Task("vector", "Edit paths", run)
