"""A drawing of strokes towards words and the style of a picture (StyleCLIPDraw), watched while it is drawn, in the end an SVG."""
from __future__ import annotations

from typing import Any

from models.flows.stroke_drawing import Sketch, Wish, draw
from studio.workbench.task import Call, Task


def run(call: Call) -> dict[str, Any]:
    """words, style (id or ""), weight, strokes, iterations, seed -> parts {iteration, iterations, picture, told}; the outcome has the SVG."""
    wish = Wish(call.words(), call.picture("style") if call.text("style") else None, call.number("weight", 1, 0, 4), call.whole("strokes", 96, 8, 256),
                call.whole("iterations", 200, 10, 600), seed=call.whole("seed", 0), base=call.base, look=call.text("look"))
    last: Sketch | None = None
    for last in draw(call.engine, wish, call.progress, call.cancelled):
        call.part(sketch_out(call, last))
    return sketch_out(call, last) | {"svg": last.svg} if last else {}


def sketch_out(call: Call, now: Sketch) -> dict[str, Any]:
    return call.keep(now.preview) | {"iteration": now.iteration, "iterations": now.iterations, "told": {k: round(float(v), 3) for k, v in now.told.items()}}


TASK = Task("strokes", "Stroke drawing", run)
