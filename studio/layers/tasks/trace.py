"""A layer's picture as paths."""
from __future__ import annotations

from models.vector.tracing import MOST_COLOURS, trace
from studio.layers.task import Call, Outcome, Task
from studio.layers.tasks._drawn import made


def run(call: Call) -> Outcome:
    """asked: layer, colours, detail; keep: leave the layer, and put the drawing above it."""
    layer = call.layer()
    colours, detail = call.whole("colours", 8, 1, MOST_COLOURS), call.number("detail", 0.5, 0, 1)
    call.progress(0, 1, "tracing")
    svg = trace(call.picture(layer), colours, detail)
    call.check()
    source = {"task": "trace", "asked": {"colours": colours, "detail": detail}, "of": layer.source}
    one = made(layer.name, svg, layer.place, source, layer)
    count = svg.count("<path")
    return Outcome((one,), () if call.flag("keep") else (layer.id,), notes=(f"Traced as {count} shape{'s' if count > 1 else ''}.",))


TASK = Task("trace", "Trace as paths", run)
