"""The steps of a plan, one after another; the page gets each as soon as it is done."""
from __future__ import annotations

from typing import Any

from models.flows import edit
from models.flows.plan_edit import Plan, running
from models.job import Extent
from studio.edit import plans
from studio.workbench.task import Call, Task, plain


def run(call: Call) -> dict[str, Any]:
    """picture (id), steps, how -> a part a step: {id, before, after, mask, score, notes, others, seconds, width, height}. What words name
    and the picture does not show ends it: {"missing": {id of the step, words, guess (a mask) or null}}."""
    how, steps = plans.how_in(call.asked.get("how", {}), call.spec), plans.steps_in(call.asked.get("steps"), call.pictures)
    running(Plan(steps))                             # refuses what cannot run before anything is painted
    picture, keep = plain(call.picture("picture")), plans.keeping(call)
    for number, step in enumerate(steps):
        own = plans.fitted(step, Extent(picture.width, picture.height))
        if not own.on:
            continue
        try:
            done = edit.run_step(call.engine, picture, own, how, call.progress, call.cancelled, number)
        except edit.NotThere as error:
            return {"missing": {"id": step.id, "words": str(error), "guess": None if error.best is None else keep(error.best)}}
        call.part(plans.edited_out(done, keep))
        picture = done.after
    return {}


TASK = Task("run", "Edit", run)
