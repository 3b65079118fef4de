"""Places inside the picture painted anew; the rest of it stays as it is, bit for bit."""
from __future__ import annotations

from typing import Any

from models.errors import BadInput
from models.flows.outpaint import MARKED, inpaint
from studio.outpaint.tasks import _painting as painting
from studio.workbench.task import Call, Task


def run(call: Call) -> dict[str, Any]:
    """asked: mask (id), words (empty = what fits), change (0.1 to 1, left out = as the model does best), feather, and how to paint."""
    picture, mask = call.source(), call.mask()
    if mask is None:
        raise BadInput("Nothing is marked.", "Paint over what shall become something else.")
    change = call.number("change", 1, 0.05, 1) if call.asked.get("change") is not None else None
    job = painting.job_of(call)
    results = inpaint(call.render, picture, mask, job, painting.hand_of(call), call.progress, call.cancelled, change=change)
    pictures, notes = painting.painted(call, results, len(job.seeds))
    return {"pictures": pictures, "notes": notes, "more": painting.parted(call, mask.array[..., 0] >= MARKED, len(pictures))}


TASK = Task("fill", "Fill in", run)
