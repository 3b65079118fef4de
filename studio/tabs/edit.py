"""The Edit tab: say what should change, and only that changes. Words become a plan of steps; panels do what needs more than words."""
from __future__ import annotations

import os
from typing import Any

from starlette.requests import Request

import studio.edit.tasks
from models.errors import BadInput
from models.flows import stylise, tuned_edit
from models.flows._edit_chat import chat_from
from studio.edit import plans
from studio.edit.tasks.tune import key_out
from studio.tab import Tab, TabContext
from studio.workbench.bench import Part, open_bench

MAX_WORDS = 2000


def build(ctx: TabContext) -> None:
    engine, chat = ctx.engine, chat_from(os.environ)

    def route(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """words -> the plan they would become. Paints nothing; a chat, where one is set up, is asked only when the plan is made ("final")."""
        return plans.routed(words_in(asked), chat if asked.get("final") is True else None)

    def keys(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        return {"keys": [key_out(key) for key in tuned_edit.keys(engine)]}

    def forget(request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        tuned_edit.forget(engine, str(asked.get("key", "")))
        return {}

    open_bench(ctx, Part("edit", "Edit", studio.edit.tasks, "Drop a picture here, paste one, or press Open,<br>then say above what should change",
                         own={"route": route, "keys": keys, "forget": forget}, more=told(ctx, chat is not None)))


def told(ctx: TabContext, chat: bool) -> dict[str, Any]:
    """What the page is told besides: tools, ways to tune, what is not here and why."""
    base = ctx.engine.catalog.resolve_base(ctx.settings.base).id
    methods = [{"id": method.id, "title": method.title, "about": method.about, "steps": list(method.steps)} for method in tuned_edit.METHODS.values()]
    return {"tools": plans.tools(), "methods": methods, "takes": tuned_edit.TAKES, "stylish": stylise.available(ctx.engine, base), "chat": chat}


def words_in(asked: dict[str, Any]) -> str:
    words = asked.get("words")
    if not isinstance(words, str) or len(words) > MAX_WORDS:
        raise BadInput(f"Say it in at most {MAX_WORDS:,} characters.")
    return words


def warms(ctx: TabContext) -> list[tuple[str, str]]:
    """The base; what finds things comes with the first edit."""
    return [("base", ctx.engine.catalog.resolve_base(ctx.settings.base).id)]


TAB = Tab("edit", "Edit", 4, build, warms=warms)
