"""The thing in the picture, cut out, so that it can be put into other places."""
from __future__ import annotations

from typing import Any

from models.flows.cutout import cut_out
from models.job import Picture
from studio.workbench.task import Call, Task


def run(call: Call) -> dict[str, Any]:
    """Nothing is asked; what to keep can be corrected in the Layers tab."""
    done = cut_out(call.look, call.source(), progress=call.progress, cancel=call.cancelled)
    return {"pictures": [call.keep(Picture.from_array(done.rgba))], "notes": list(done.notes)}


TASK = Task("cut", "Cut it out", run)
