"""Check, mend, check again (GraPE): a step that does not help is taken back, and it ends when everything holds."""
from __future__ import annotations

from typing import Any

from models.flows.check_fix import Fixed, check_fix
from studio.edit import plans
from studio.edit.tasks.check import facts_out
from studio.workbench.task import Call, Task, plain


def run(call: Call) -> dict[str, Any]:
    """picture, words, how -> parts {stage, picture, facts, share, step, kept, notes}; the outcome is the last."""
    how, keep, last = plans.how_in(call.asked.get("how", {}), call.spec), plans.keeping(call), {}
    for fixed in check_fix(call.engine, plain(call.picture("picture")), call.words(), how, call.progress, call.cancelled):
        last = stage_out(fixed, keep)
        call.part(last)
    return last


def stage_out(fixed: Fixed, keep: plans.Keep) -> dict[str, Any]:
    about = facts_out(fixed.checked) if fixed.checked is not None else {}
    step = plans.step_out(fixed.step) if fixed.step is not None else None
    return about | {"stage": fixed.stage, "picture": keep(fixed.picture), "width": fixed.picture.width, "height": fixed.picture.height,
                    "step": step, "kept": fixed.kept, "notes": list(fixed.notes)}


TASK = Task("fix", "Check and fix", run)
