"""A prompt with several things as layers: a background and one layer a thing, each of which can be painted again alone."""
from __future__ import annotations

from models.flows._planner import Plan, plan, reads_as
from models.flows.behind import suited as suited_behind
from models.flows.layered_scene import LayeredScene, Painted, layered_scene
from models.layers.stack import Stack
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making
from studio.layers.tasks.asset import wanted_of


def run(call: Call) -> Outcome:
    """asked: words, seed, style, steps; group: put all into one group; clear: take what is on the canvas away."""
    words = call.words()
    found, able = plan(words), making.able_of(call)
    working = making.working_extent(able.spec, call.stack.extent)
    place = making.job_of(call, able.spec, found.background, working)
    scene = LayeredScene(found, wanted_of(call, words), place, suited_behind(able)["empty"])
    layers, notes = painted(call, scene, found)
    replaces = all_of(call.stack) if call.flag("clear") else ()
    return Outcome(tuple(layers), replaces, making.named(words) if call.flag("group") else "", tuple(notes))


def painted(call: Call, scene: LayeredScene, found: Plan) -> tuple[list[Made], list[str]]:
    """The layers, bottom to top, and what the user should know."""
    total, layers, notes = 1 + len(found.things), [], []
    call.progress(0, total, "painting the place")
    for number, part in enumerate(layered_scene(call.render, scene), 1):
        call.check()
        layers.append(_layer(call, scene, part))
        notes += [f"{part.words}: {note}" for note in part.result.notes]
        call.progress(number, total, f"painting {found.things[number - 1].words}" if number < total else "done")
    if not found.background:
        notes.append('No place was named, so the background is white paper; say "on a beach", for example.')
    return layers, notes


def _layer(call: Call, scene: LayeredScene, part: Painted) -> Made:
    canvas, working = call.stack.extent, scene.place.extent
    picture = making.rgba(part.picture.array)
    if part.thing is None:
        said = making.source("behind", call, words=part.words, seed=part.seed, alone=True) if part.words else {"task": "paper"}
        return Made("Background", picture, making.full(canvas), said, job=part.result.job if part.words else None)
    said = making.source("asset", call, words=part.words, seed=part.seed)
    return Made(reads_as(part.thing), picture, making.on_canvas(part.box, working, canvas), said, job=part.result.job)


def all_of(stack: Stack) -> tuple[str, ...]:
    """Ids of all that lies on the stack, but what is locked."""
    return tuple(layer.id for layer in stack.leaves() if not layer.locked)


TASK = Task("scene", "Scene from a sentence", run)
