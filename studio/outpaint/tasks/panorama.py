"""The picture becomes a loop: its two outer sides meet without a seam."""
from __future__ import annotations

from typing import Any

from models.flows.panorama import LEAST, MOST, panorama
from studio.outpaint.tasks import _painting as painting
from studio.workbench.task import Call, Task


def run(call: Call) -> dict[str, Any]:
    """asked: wider (added width over the width there is), axis ("x" or "y"), words, feather, and how to paint."""
    picture, axis = call.source(), call.choice("axis", "x", ("x", "y"))
    job = painting.job_of(call)
    results = panorama(call.render, picture, job, painting.hand_of(call), call.number("wider", 1, LEAST, MOST), call.progress, call.cancelled, axis)
    pictures, notes = painting.painted(call, results, len(job.seeds))
    left, top = (pictures[0]["width"] - picture.width) // 2, (pictures[0]["height"] - picture.height) // 2
    return {"pictures": pictures, "before": [left, top, picture.width, picture.height], "notes": notes}


TASK = Task("panorama", "Make a loop", run)
