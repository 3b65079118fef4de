"""The Layers tab: transparent pictures on a stack that can be edited, exported and opened again. The page does the work; the routes of
studio/layers keep what it makes."""
from __future__ import annotations

import json
import threading
import time
from typing import Any

import gradio as gr

from models.errors import StudioError
from models.flows.cutout import methods
from models.job import Picture, Result
from models.words.lettering import fonts
from models.layers.stack import BLENDS
from studio.events import Receiver
from studio.layers.calls import Calls
from studio.layers.documents import Documents
from studio.layers.exchange import Exchange
from studio.layers.live import NAME, offers, surface
from studio.layers.routes import PAGE_DIR, Routes, limits
from studio.layers.task import discover_tasks
from studio.tab import Tab, TabContext
from studio.tabs.live import QUIET, minting, open_hub, refined
from studio.workbench.routes import page_mount

STYLE_LINK = '<link rel="stylesheet" href="studio/layers/page/layers.css">'
LOAD_JS = """
import(new URL('studio/layers/page/layers.js', document.baseURI)).then(({ start }) => start({
  element: element.querySelector('.os-layers'), server,
}));
"""
RECEIVE_JS = """(sent) => {
  (window.onestroke ??= {}).toLayers = [...(window.onestroke.toLayers ?? []), sent];
  window.onestroke.layers?.collect();
}"""


def build(ctx: TabContext) -> None:
    """One element that the page fills, the routes it talks to, its live socket, and the place where other tabs' pictures arrive."""
    catalog = ctx.engine.catalog
    base = catalog.resolve_base(ctx.settings.base).id
    documents = Documents(ctx.library.folder / NAME)
    hub = open_hub(ctx, surface(catalog, base, refined), PAGE_DIR)
    calls = Calls(ctx.engine, ctx.library, documents.pictures, base)
    exchange = Exchange(documents.pictures)
    tasks = discover_tasks()
    ctx.routes.extend(Routes(documents, calls, tasks, exchange, hub, lambda: config(catalog, base, tasks, exchange)).routes())
    ctx.routes.append(page_mount())
    ctx.closers.append(calls.close)
    gr.HTML(html_template=(PAGE_DIR / "page.html").read_text(encoding="utf-8"), js_on_load=LOAD_JS, head=STYLE_LINK,
            server_functions=[minting(hub)], apply_default_css=False, elem_id="os-layers")
    inbox = gr.Textbox(visible="hidden", label="Sent to Layers", elem_id="os-layers-inbox")
    inbox.change(None, inbox, None, js=RECEIVE_JS, **QUIET)
    ctx.handoff.offer(Receiver(NAME, "Layers", inbox, lambda result: sent(result, documents)))
    threading.Thread(target=_sweep, args=(documents,), name="layers-sweep", daemon=True).start()


def config(catalog: Any, base: str, tasks: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """What the page asks first."""
    panels = sorted(path.name for path in (PAGE_DIR / "panels").glob("*.js"))
    return {"base": base, "bases": offers(catalog), "blends": list(BLENDS), "fonts": [{"id": f.id, "title": f.title, "kind": f.kind} for f in fonts().values()],
            "limits": limits(), "panels": panels, "cutters": methods(catalog),
            "tasks": [{"id": task.id, "title": task.title} for task in tasks.values()],
            "formats": [{"id": kind.id, "title": kind.title, "suffix": kind.suffix} for kind in exchange.formats.values()]}


def sent(result: Result, documents: Documents) -> str:
    """A picture from another tab, kept, as what the page reads: {"picture", "width", "height", "name", "source", "at"}."""
    picture, job = Picture.from_array(result.pixels[0].copy()), result.job
    source = {"words": job.prompt, "seed": job.seeds[0], "base": job.base, "style": job.style, "steps": job.steps}
    return json.dumps({"picture": documents.pictures.put(picture, job if len(job.seeds) == 1 else None), "width": picture.width,
                       "height": picture.height, "name": job.prompt[:60] or "Picture", "source": source, "at": time.time()})


def warms(ctx: TabContext) -> list[tuple[str, str]]:
    """The base, and the adapter that gives it alpha."""
    able = ctx.engine.catalog.able(ctx.engine.catalog.resolve_base(ctx.settings.base).id)
    granted = able.granted.get("rgba", "")
    return [("base", able.spec.id), *((("adapter", granted),) if granted else ())]


def _sweep(documents: Documents) -> None:
    """Let go of what nobody needs while the studio opens; a document that cannot be read stops it."""
    try:
        documents.sweep()
    except (StudioError, OSError) as error:
        print(error, flush=True)


TAB = Tab(NAME, "Layers", 2, build, warms=warms)
