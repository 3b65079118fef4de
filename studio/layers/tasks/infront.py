"""A thing for the background that is on the canvas: painted into it and taken out again with its own alpha."""
from __future__ import annotations

from models.flows.asset import trimmed
from models.flows.infront import InFront, infront, suited
from models.layers.stack import Layer, Placement
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making
from studio.layers.tasks.asset import wanted_of


def run(call: Call) -> Outcome:
    """asked: words, seed, style, steps, fit; layer: a thing to replace, in whose box the new one goes; box: {x, y, width, height} on the
    canvas, else a third of it on the ground."""
    words, able, canvas = call.words(), making.able_of(call), call.stack.extent
    working = making.working_extent(able.spec, canvas)
    old = call.layer("layer") if call.text("layer") else None
    under = beneath(call, old)
    settings = suited(able)
    settings["fit"] = call.number("fit", settings["fit"], 0, 1)
    place = next((making.words_of(layer) for layer in under if layer.source.get("task") == "behind"), "")
    wanted = InFront(wanted_of(call, words), making.backdrop(call, under, working), making.box_on(box_of(call, old), working, canvas), place,
                     ground=not making.flies(words), **settings)
    call.progress(0, 2, "painting it there")
    for number, result in enumerate(infront(call.render, wanted), 1):
        call.check()
        call.progress(number, 2, "taking it out")
    cut, box = trimmed(result.pixels[0])
    made = Made(making.named(words), making.rgba(cut), making.on_canvas(box, working, canvas),
                making.source("infront", call, words=words, seed=wanted.scene.seeds[0], fit=settings["fit"]), job=result.job)
    return Outcome((made,), (old.id,) if old else (), notes=result.notes)


def beneath(call: Call, old: Layer | None) -> tuple[Layer, ...]:
    """The visible layers under the one that is replaced; all of them without one."""
    out = []
    for layer in call.stack.leaves():
        if old and layer.id == old.id:
            break
        if layer.visible:
            out.append(layer)
    return tuple(out)


def box_of(call: Call, old: Layer | None) -> Placement:
    """Where the thing is to be."""
    if old:
        return old.place
    canvas, given = call.stack.extent, call.asked.get("box")
    if isinstance(given, dict):
        x, y, width, height = (Call(call.engine, call.library, call.base, call.stack, call.pictures, given).number(name, -1, 0, 1e6)
                               for name in ("x", "y", "width", "height"))
        return Placement.at(x, y, max(1.0, width), max(1.0, height))
    side = min(canvas.width, canvas.height) / 2
    return Placement.at((canvas.width - side) / 2, canvas.height * 0.9 - side, side, side)


TASK = Task("infront", "Thing for this background", run)
