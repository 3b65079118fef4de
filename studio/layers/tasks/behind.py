"""A background for what is on the canvas: painted around it and behind it, without the things growing."""
from __future__ import annotations

from models.flows._canvas import together
from models.flows.behind import Behind, behind, paint_place, suited
from models.job import Picture, Result, Timings
from models.layers.stack import Layer
from studio.layers.task import Call, Outcome, Task
from studio.layers.tasks import _making as making


def run(call: Call) -> Outcome:
    """asked: words of the place, seed, style, steps; layer: the background to replace (else the one there is, if any); layers: what stands
    in front (else every visible one above it); alone: paint the place without looking at them."""
    words, able, canvas = call.words(), making.able_of(call), call.stack.extent
    working = making.working_extent(able.spec, canvas)
    job = making.job_of(call, able.spec, words, working)
    old = call.layer("layer") if call.text("layer") else making.background_of(call)
    front, settings = in_front(call, old), suited(able)
    call.progress(0, 2, "painting the place")
    if call.flag("alone") or not front:
        place = paint_place(call.render, job, settings["empty"])
        result = Result(place[None], job, Timings())
    else:
        things = Picture.from_array(together(making.seen(call, front, working)))
        said = ", ".join(making.words_of(layer) for layer in front)
        for number, result in enumerate(behind(call.render, Behind(job, things, said, **settings)), 1):
            call.check()
            call.progress(number, 2, "painting behind it")
    said = making.source("behind", call, words=words, seed=job.seeds[0], alone=call.flag("alone") or not front)
    made = making.whole_picture(old.name if old else "Background", result, canvas, said)
    return Outcome((made,), (old.id,) if old else (), notes=result.notes, bottom=True)


def in_front(call: Call, old: Layer | None) -> tuple[Layer, ...]:
    """The layers that the background is for."""
    chosen = call.layers() if call.asked.get("front_only") else tuple(call.stack.leaves())
    return tuple(layer for layer in chosen if layer.visible and (old is None or layer.id != old.id) and layer.blend == "normal")


TASK = Task("behind", "Background for this", run)
