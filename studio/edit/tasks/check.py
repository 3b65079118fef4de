"""Does the picture show what the words say: a list of facts, each held to be true or not, and a plan that would mend it."""
from __future__ import annotations

from typing import Any

from models.flows.check_fix import Checked, check, plan_fix
from studio.edit import plans
from studio.workbench.task import Call, Task, plain


def facts_out(checked: Checked) -> dict[str, Any]:
    """{"facts": [{says, kind, holds (0..1), missing}], "share"}."""
    missing = set(checked.missing)
    return {"facts": [{"says": fact.says(), "kind": fact.kind, "holds": round(float(held), 3), "missing": i in missing}
                      for i, (fact, held) in enumerate(zip(checked.facts, checked.holds, strict=True))], "share": round(float(checked.share), 3)}


def run(call: Call) -> dict[str, Any]:
    """picture, words, how -> the facts and the plan that mends what is missing, null when nothing is."""
    checked = check(call.engine, plain(call.picture("picture")), call.words(), plans.how_in(call.asked.get("how", {}), call.spec), call.cancelled)
    plan = plan_fix(checked)
    return facts_out(checked) | {"plan": plans.plan_out(plan) if plan.steps else None}


TASK = Task("check", "Check against words", run)
