"""The picture, and others of the same thing, in the manner of a reference picture: the same for all of them."""
from __future__ import annotations

from typing import Any

from models.errors import BadInput
from models.flows.stylise import Manner, stylise
from models.job import Picture
from studio.workbench.task import Call, Task, plain

MOST_VIEWS = 32


def views_in(call: Call) -> list[Picture]:
    """The picture first, then its other views."""
    ids = [call.text("picture"), *call.asked.get("views", [])] if isinstance(call.asked.get("views", []), list) else []
    if not 1 <= len(ids) <= MOST_VIEWS:
        raise BadInput(f"Up to {MOST_VIEWS} pictures can be given one style together.")
    if not all(isinstance(id, str) and id in call.pictures for id in ids):
        raise BadInput("One of the pictures is not here any more.", "Load it again.")
    return [plain(call.pictures[id]) for id in ids]


def run(call: Call) -> dict[str, Any]:
    """picture, views [ids], style (id), strength, side -> a part a picture; the outcome is the first."""
    views, style = views_in(call), call.picture("style") if call.text("style") else None
    manner, first = Manner(call.number("strength", 1, 0, 1), call.base, side_px=call.whole("side", 256, 64, 512)), {}
    for made in stylise(call.engine, views, style, manner, call.progress, call.cancelled):
        kept = call.keep(made.after) | {"number": made.number, "notes": list(made.notes)}
        call.part(kept)
        first = first or kept
    return first


TASK = Task("style", "Style of a picture", run)
