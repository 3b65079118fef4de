"""Words -> a mask of what they name in the picture."""
from __future__ import annotations

from typing import Any

from models.flows import edit
from studio.edit import plans
from studio.workbench.task import Call, Task, plain


def run(call: Call) -> dict[str, Any]:
    """picture (id), words, how -> {"mask": id, "score", "there", "how"}."""
    found = edit.find(call.engine, plain(call.picture("picture")), call.words(), plans.how_in(call.asked.get("how", {}), call.spec), call.cancelled)
    return {"mask": call.keep_mask(found.mask), "score": round(float(found.score), 3), "there": found.there, "how": found.how, "notes": list(found.notes)}


TASK = Task("find", "Find by words", run)
