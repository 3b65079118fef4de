"""The Outpaint tab: the picture goes on past its frame, holes in it are filled, it becomes a loop, stands elsewhere, or is enlarged."""
from __future__ import annotations

from typing import Any

from starlette.requests import Request

import studio.outpaint.tasks
from models.errors import BadInput
from models.flows._unknown import GRANTS
from models.flows.foreground import places_for
from models.flows.upscale import estimate, upscalers
from studio.outpaint.costs import PER_PX, working_bytes
from studio.outpaint.tasks.place import is_cut_out
from studio.tab import Tab, TabContext
from studio.workbench.bench import Part, open_bench, works_of
from studio.workbench.task import plain

NAME = "outpaint"


def build(ctx: TabContext) -> None:
    """The workbench with this tab's tasks, panels and questions."""
    own = {"estimate": lambda request, asked: estimated(ctx, asked), "cost": cost, "places": lambda request, asked: places(ctx, asked)}
    open_bench(ctx, Part(NAME, "Outpaint", studio.outpaint.tasks, own=own, more=lambda: {"upscalers": upscalers(ctx.engine.catalog)}))


def estimated(ctx: TabContext, asked: dict[str, Any]) -> dict[str, Any]:
    """picture (id) -> how blurred and noisy it is, each 0..1."""
    pictures = works_of(ctx).pictures
    if asked.get("picture") not in pictures:
        raise BadInput("That picture is not here any more.", "Load it again.")
    blur, noise = estimate(ctx.engine, plain(pictures[asked["picture"]]), session=NAME)
    return {"blur": round(blur, 3), "noise": round(noise, 3)}


def places(ctx: TabContext, asked: dict[str, Any]) -> dict[str, Any]:
    """picture (id), words, base, count -> places that suit the thing, each with a reason, and whether it is cut out."""
    pictures, words, count = works_of(ctx).pictures, asked.get("words", ""), asked.get("count", 4)
    if asked.get("picture") not in pictures:
        raise BadInput("That picture is not here any more.", "Load it again.")
    if not isinstance(words, str) or len(words) > 2000 or not isinstance(count, int) or not 1 <= count <= 8:
        raise BadInput("Ask with words and a count from 1 to 8.")
    spec = ctx.engine.catalog.base(asked.get("base") or ctx.engine.catalog.resolve_base(ctx.settings.base).id).spec
    picture = pictures[asked["picture"]]
    found = places_for(words, picture.array, spec, count)
    return {"cut": is_cut_out(picture), "places": [{"words": place, "reason": reason} for place, reason in found]}


def cost(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
    """width, height of the result, task ("paint" or "upscale") -> {"bytes"}."""
    width, height, task = asked.get("width"), asked.get("height"), asked.get("task")
    if not all(isinstance(side, int) and 0 < side < 2 ** 20 for side in (width, height)) or task not in PER_PX:
        raise BadInput("Ask with width, height and a task.")
    return {"bytes": working_bytes(width, height, task)}


def warms(ctx: TabContext) -> list[tuple[str, str]]:
    """The base, and the adapter that makes it see what is known around."""
    able = ctx.engine.catalog.able(ctx.engine.catalog.resolve_base(ctx.settings.base).id)
    granted = able.granted.get(GRANTS, "")
    return [("base", able.spec.id), *((("adapter", granted),) if granted else ())]


TAB = Tab(NAME, "Outpaint", 3, build, warms=warms)
