"""One thing with a transparent background from words; or a layer painted again in its place."""
from __future__ import annotations

from dataclasses import replace

from models.flows.asset import Wanted, asset, suited, trimmed
from models.job import MAX_SEED, Result
from models.layers.stack import Layer
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making


def wanted_of(call: Call, words: str) -> Wanted:
    """How things are painted alone on the chosen model. `cut` asks for the slower way round: opaque, then cut out along attention maps."""
    able = making.able_of(call)
    settings = suited(able)
    if call.choice("alpha", "native", ("native", "cut")) == "cut":
        settings |= {"transparent": ""}
    settings["softness"] = call.number("softness", settings["softness"], 0, 20)
    settings["border"] = call.number("border", settings["border"], 0.02, 0.3)
    return Wanted(making.job_of(call, able.spec, words), whole=call.flag("whole", True), **settings)


def run(call: Call) -> Outcome:
    """asked: words, seed, style, steps, whole, alpha, softness, border; variants: how many to choose from; layer: id of one to replace."""
    words, count = call.words(), call.whole("variants", 1, 1, making.MOST_VARIANTS)
    wanted = wanted_of(call, words)
    old = call.layer("layer") if call.text("layer") else None
    seed, made, notes = wanted.job.seeds[0], [], []
    for number in range(count):
        call.check()
        call.progress(number, count, "painting")
        one = replace(wanted, job=wanted.job.but(seeds=((seed + number) % MAX_SEED,)))
        for result in asset(call.render, one):
            made.append(layer_of(call, words, result, old))
            notes += [note for note in result.notes if note not in notes]
    replaces = (old.id,) if old else ()
    outcomes = tuple(Outcome((one,), replaces) for one in made)
    return Outcome((made[0],), replaces, notes=tuple(notes)) if count == 1 else Outcome(notes=tuple(notes), proposals=outcomes)


def layer_of(call: Call, words: str, result: Result, old: Layer | None) -> Made:
    """What can be seen of a painted thing, as a layer; in the place of an old one, with its name, if there is one."""
    cut, _ = trimmed(result.pixels[0])
    picture = making.rgba(cut)
    said = making.source("asset", call, words=words, seed=result.job.seeds[0])
    place = making.placed_like(old and old.place, picture, call.stack.extent, not making.flies(words))
    same = old is not None and making.words_of(old) == words
    return Made(old.name if same else making.named(words), picture, place, said, "normal", old.opacity if old else 1.0, job=result.job)


TASK = Task("asset", "Make a transparent thing", run)
