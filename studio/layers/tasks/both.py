"""A thing and a background around it, made together."""
from __future__ import annotations

from models.flows.asset import trimmed
from models.flows.behind import suited
from models.flows.infront import Both, both
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making
from studio.layers.tasks.asset import wanted_of
from studio.layers.tasks.infront import box_of


def run(call: Call) -> Outcome:
    """asked: words of the thing, place: words of the background, seed, style, steps, box."""
    words, place, able, canvas = call.words(), call.words("place"), making.able_of(call), call.stack.extent
    working = making.working_extent(able.spec, canvas)
    job = making.job_of(call, able.spec, place, working)
    box = making.box_on(box_of(call, None), working, canvas)
    wanted = Both(wanted_of(call, words), job, box, not making.flies(words), able.granted.get("joint_layers", ""), suited(able))
    call.progress(0, 3, "painting both")
    results = []
    for number, result in enumerate(both(call.render, wanted), 1):
        call.check()
        call.progress(number, 3, "painting both")
        results.append(result)
    _, back, thing = results
    cut, seen = trimmed(thing.pixels[0])
    made = (making.whole_picture("Background", back, canvas, making.source("behind", call, words=place, seed=job.seeds[0])),
            Made(making.named(words), making.rgba(cut), making.on_canvas(seen, working, canvas),
                 making.source("asset", call, words=words, seed=job.seeds[0]), job=thing.job))
    return Outcome(made, notes=tuple(note for result in results for note in result.notes))


TASK = Task("both", "Thing with its background", run)
