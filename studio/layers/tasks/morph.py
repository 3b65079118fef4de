"""Drawings between two vector layers."""
from __future__ import annotations

from models.errors import BadInput
from models.vector.morph import between
from models.layers.stack import Placement
from models.vector.vectors import read, write
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks._drawn import made, svg_of

MOST_STEPS = 24


def run(call: Call) -> Outcome:
    """asked: layers (two), t in 0..1 for one drawing; or steps: so many drawings between, as a group."""
    layers = call.layers()
    if len(layers) != 2:
        raise BadInput("Two drawings are needed.", "Choose two vector layers.")
    way = between(*(read(svg_of(layer)) for layer in layers))
    steps = call.whole("steps", 0, 0, MOST_STEPS)
    shares = [(i + 1) / (steps + 1) for i in range(steps)] or [call.number("t", 0.5, 0, 1)]
    names = " to ".join(layer.name[:60] for layer in layers)

    def at(t: float) -> Made:
        place = _between(layers[0].place, layers[1].place, t)
        return made(f"{names}, {t:.0%}", write(way.at(t)), place, {"task": "morph", "asked": {"t": t}})
    return Outcome(tuple(at(t) for t in shares), group=names if steps > 1 else "")


def _between(one: Placement, other: Placement, t: float) -> Placement:
    mix = lambda name: getattr(one, name) + (getattr(other, name) - getattr(one, name)) * t
    near = one if t < 0.5 else other
    return Placement(mix("x"), mix("y"), mix("width"), mix("height"), mix("angle_deg"), near.flip_x, near.flip_y)


TASK = Task("morph", "Between two drawings", run)
