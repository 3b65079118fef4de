"""The picture goes on beyond its sides, any of them by any amount; a side that is moved inwards is cut."""
from __future__ import annotations

from typing import Any

import numpy as np

from models.errors import BadInput
from models.flows.outpaint import Margins, outpaint
from models.job import MAX_SIDE_PX, Picture
from studio.outpaint.tasks import _painting as painting
from studio.workbench.task import Call, Task

SIDES = ("top", "right", "bottom", "left")


def margins_of(call: Call) -> dict[str, int]:
    """asked: top, right, bottom, left, px; below 0 = cut."""
    return {side: call.whole(side, 0, -MAX_SIDE_PX, MAX_SIDE_PX) for side in SIDES}


def cut(picture: Picture, sides: dict[str, int]) -> Picture:
    """Without what lies outside of the sides that were moved inwards. Raises BadInput when nothing would be left."""
    top, right, bottom, left = (max(0, -sides[side]) for side in SIDES)
    width, height = picture.width - left - right, picture.height - top - bottom
    if width < 1 or height < 1:
        raise BadInput("Nothing of the picture would be left.", "Drag a side outwards again.")
    return Picture.from_array(np.ascontiguousarray(picture.array[top:top + height, left:left + width]))


def run(call: Call) -> dict[str, Any]:
    """asked: the four sides, words (may be empty), feather, and how to paint."""
    sides = margins_of(call)
    picture, margins = cut(call.source(), sides), Margins(**{side: max(0, px) for side, px in sides.items()})
    before = [sides["left"], sides["top"], call.step.width, call.step.height]
    if margins == Margins() and any(sides.values()):
        return {"pictures": [call.keep(picture) | {"title": "Cut"}], "before": before}
    job = painting.job_of(call)
    results = outpaint(call.render, picture, margins, job, painting.hand_of(call), call.progress, call.cancelled)
    pictures, notes = painting.painted(call, results, len(job.seeds))
    width, height = margins.size(picture)
    unknown = np.ones((height, width), bool)
    unknown[margins.top:margins.top + picture.height, margins.left:margins.left + picture.width] = False
    return {"pictures": pictures, "before": before, "notes": notes, "more": painting.parted(call, unknown, len(pictures))}


TASK = Task("extend", "Extend", run)
