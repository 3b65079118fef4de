"""A vector layer whose paths were edited in the page: checked, and drawn anew."""
from __future__ import annotations

from models.errors import BadInput
from models.stack import MAX_SVG_CHARS
from models.vectors import sanitise
from studio.layers.task import Call, Outcome, Task
from studio.layers.tasks._drawn import made, new_place, svg_of
from studio.layers.tasks import _making as making
from models.vectors import read


def run(call: Call) -> Outcome:
    """asked: layer, svg (its new drawing). Without `layer`, a new layer of `svg` named `name`."""
    given = call.text("svg", most=MAX_SVG_CHARS)
    if not given:
        raise BadInput("There is no drawing.", "Draw a path first.")
    svg = sanitise(given)
    if not call.text("layer"):
        sheet = read(svg)
        return Outcome((made(making.named(call.text("name", "Drawing", 200)), svg, new_place(call, sheet.width / sheet.height), {"task": "vector"}),))
    layer = call.layer()
    svg_of(layer)
    return Outcome((made(layer.name, svg, layer.place, layer.source, layer),), (layer.id,))


TASK = Task("vector", "Edit paths", run)
