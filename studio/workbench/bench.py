"""Putting a workbench tab into the app: its element, its routes, its tasks, and the ways pictures take to and from other tabs."""
from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr
import numpy as np
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from models.catalog import Catalog
from models.errors import StudioError
from models.job import Picture, Result, Timings
from studio.events import Receiver
from studio.layers.live import offers
from studio.tab import TabContext
from studio.workbench.documents import Documents
from studio.workbench.routes import PAGE_DIR, Answer, Routes, job_of, limits, page_mount, works_at
from studio.workbench.task import discover_tasks

QUIET = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
STYLES = ('<link rel="stylesheet" href="studio/layers/page/layers.css"><link rel="stylesheet" href="studio/workbench/page/workbench.css">'
          '<link rel="stylesheet" href="studio/{name}/page/{name}.css">')
LOAD_JS = """
import(new URL('studio/{name}/page/{name}.js', document.baseURI)).then(({{ start }}) => start({{
  element: element.querySelector('.os-work'), receivers: props.receivers, send: (what) => trigger('sent', what),
}}));
"""
RECEIVE_JS = """(sent) => {{
  const all = (window.onestroke ??= {{}}).toWork ??= {{}};
  (all.{name} ??= []).push(sent);
  window.onestroke.{name}?.collect();
}}"""


@dataclass(frozen=True)
class Part:
    """What makes a tab: `name` is its id and its folder studio/NAME/ (page/NAME.js, page/NAME.css, page/panels/*.js). lead: what the empty
    stage says. own: POST routes of its own. more: what its page is told besides."""
    name: str
    title: str
    tasks: ModuleType
    lead: str = "Drop a picture here,<br>paste one, or press Open"
    own: Mapping[str, Answer] | None = None
    more: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None


def open_bench(ctx: TabContext, part: Part) -> Routes:
    """Call it in a tab's build."""
    folder = Path(__file__).parents[1] / part.name / "page"
    works = works_of(ctx)
    tasks = discover_tasks(part.tasks)
    routes = Routes(part.name, works, tasks, ctx, lambda: config(ctx.engine.catalog, routes.base, tasks, folder) | told(part.more), part.own)
    ctx.routes.extend([*routes.routes(), page_mount(), Mount(f"/studio/{part.name}/page", StaticFiles(directory=folder))])
    ctx.closers.append(routes.runner.close)
    html = (PAGE_DIR / "page.html").read_text(encoding="utf-8").replace("<!--title-->", part.title).replace("<!--lead-->", part.lead)
    stage = gr.HTML(html_template=html, js_on_load=LOAD_JS.format(name=part.name), head=STYLES.format(name=part.name), server_functions=[],
                    apply_default_css=False, elem_id=f"os-{part.name}")
    inbox = gr.Textbox(visible="hidden", label=f"Sent to {part.title}", elem_id=f"os-{part.name}-inbox")
    inbox.change(None, inbox, None, js=RECEIVE_JS.format(name=part.name), **QUIET)
    ctx.handoff.offer(Receiver(part.name, part.title, inbox, lambda result: received(result, works)))
    ctx.handoff.when_complete(lambda: wire_sends(stage, routes, ctx, part.name))
    threading.Thread(target=_sweep, args=(works,), name=f"{part.name}-sweep", daemon=True).start()
    return routes


def told(more: Any) -> dict[str, Any]:
    """What a page is told besides, as it is now."""
    return dict((more() if callable(more) else more) or {})


def works_of(ctx: TabContext) -> Documents:
    """The documents that all workbench tabs share."""
    return works_at(ctx.library.folder / "workbench")


def config(catalog: Catalog, base: str, tasks: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the page asks first."""
    panels = sorted(path.name for path in (folder / "panels").glob("*.js"))
    return {"base": base, "bases": offers(catalog), "limits": limits(), "panels": panels,
            "tasks": [{"id": task.id, "title": task.title} for task in tasks.values()]}


def received(result: Result, works: Documents) -> str:
    """A picture from another tab, kept, as what the page reads: {"picture", "width", "height", "title", "asked", "at"}."""
    picture, job = Picture.from_array(result.pixels[0].copy()), result.job
    asked = {"words": job.prompt, "seed": job.seeds[0], "base": job.base, "style": job.style, "steps": job.steps}
    own = job if len(job.seeds) == 1 and job.strength > 0 else None
    return json.dumps({"picture": works.pictures.put(picture, own), "width": picture.width, "height": picture.height,
                       "title": job.prompt[:60] or "Picture", "asked": asked, "at": time.time()})


def wire_sends(stage: gr.HTML, routes: Routes, ctx: TabContext, name: str) -> None:
    """The page's "sent" event carries {to, history, step}; every other tab that takes pictures can be named in it."""
    receivers = [r for r in ctx.handoff.receivers if r.tab_id != name]
    stage.props["receivers"] = [{"id": r.tab_id, "title": r.title} for r in receivers]
    if not receivers:
        return

    def send(event: gr.EventData) -> list[Any]:
        path, picture = routes.shown({"history": event.history, "step": event.step})
        result = Result(np.array(picture.array)[None], job_of(path, picture, routes.pictures.job(path[-1].picture), routes.base), Timings())
        return [r.update(result) if r.tab_id == event.to else gr.skip() for r in receivers] + [gr.Tabs(selected=event.to)]

    stage.sent(send, None, [*(r.component for r in receivers), ctx.handoff.tabs], **QUIET)


def _sweep(works: Documents) -> None:
    """Let go of what nobody needs while the studio opens; a document that cannot be read stops it."""
    try:
        works.sweep()
    except (StudioError, OSError) as error:
        print(error, flush=True)
