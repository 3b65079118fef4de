"""One-step image-to-image from what the picture shows to what it should show; at strength 0 it is the picture bit for bit."""
from __future__ import annotations

from typing import Any

from models.flows import edit
from models.job import Extent
from studio.edit import plans
from studio.workbench.task import Call, Task, plain


def run(call: Call) -> dict[str, Any]:
    """picture, source, target (words), strength, mask (id, may be left out), how -> {"picture": id, "width", "height"}."""
    how = plans.how_in(call.asked.get("how", {}), call.spec)
    picture = plain(call.picture("picture"))
    mask = plans.mask_in(call.asked["mask"], call.pictures, extent=Extent(picture.width, picture.height)) if call.asked.get("mask") else None
    done = edit.instant(call.engine, picture, call.text("source"), call.words("target"), how, call.number("strength", 0.5, 0, 1), mask, call.cancelled)
    return call.keep(done)


TASK = Task("instant", "Instant edit", run)
