"""The picture seen from farther away, at its own size or larger; again and again if one likes."""
from __future__ import annotations

from typing import Any

from models.flows.zoom import LEAST_TIMES, MOST_TIMES, zoom_out
from studio.outpaint.tasks import _painting as painting
from studio.workbench.task import Call, Task


def run(call: Call) -> dict[str, Any]:
    """asked: times, same_size (shrink it to the size it had), words, feather, and how to paint."""
    picture, times, same = call.source(), call.number("times", 1.5, LEAST_TIMES, MOST_TIMES), call.flag("same_size", True)
    job = painting.job_of(call)
    results = zoom_out(call.render, picture, job, painting.hand_of(call), times, same, call.progress, call.cancelled)
    pictures, notes = painting.painted(call, results, len(job.seeds))
    width, height = pictures[0]["width"], pictures[0]["height"]
    inner = (picture.width / times, picture.height / times) if same else (picture.width, picture.height)
    return {"pictures": pictures, "before": [(width - inner[0]) / 2, (height - inner[1]) / 2, *inner], "notes": notes}


TASK = Task("zoom", "Zoom out", run)
