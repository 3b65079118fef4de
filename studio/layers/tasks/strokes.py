"""A drawing of strokes from words, in the manner of a layer: it can be watched, and is one path a stroke."""
from __future__ import annotations

from models.flows.stroke_drawing import Sketch, Wish, draw
from studio.layers.task import Call, Outcome, Task
from studio.layers.tasks import _making as making
from studio.layers.tasks._drawn import made, new_place

KEPT = ("words", "strokes", "iterations", "style_weight", "avoid", "start", "seed")
EVERY = 5                                            # iterations between two looks


def run(call: Call) -> Outcome:
    """asked: words, avoid (words with commas), strokes, iterations, style_weight, start, seed; style: id of the layer whose manner it takes,
    "" = none; layer: one that is drawn anew in its place."""
    old = call.layer("layer") if call.text("layer") else None
    last: Sketch | None = None
    for last in draw(call.engine, wish_of(call), call.progress, call.cancelled, EVERY):
        call.part({"svg": last.svg, "done": last.iteration, "of": last.iterations})
    source = {"task": "strokes", "asked": {name: call.asked[name] for name in KEPT if name in call.asked}}
    return Outcome((made(making.named(call.words()), last.svg, old.place if old else new_place(call), source, old),), (old.id,) if old else ())


def wish_of(call: Call) -> Wish:
    style = call.picture(call.layer("style")) if call.text("style") else None
    return Wish(call.words(), style, call.number("style_weight", 1.0, 0, 4), call.whole("strokes", 96, 8, 256), call.whole("iterations", 200, 10, 600),
                seed=call.whole("seed", 0), avoid=tuple(word.strip() for word in call.text("avoid").split(",") if word.strip()),
                start=call.choice("start", "picture", ("picture", "random")), base=call.base)


TASK = Task("strokes", "Draw with strokes", run)
