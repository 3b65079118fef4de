"""The web app: finds the tabs, lays them out, serves them."""
from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr  # noqa: E402  (the variable above must be set first)
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from models.errors import BadInput, StudioError
from studio.api.jobs import Jobs
from studio.api.mcp import Mcp
from studio.api.sdapi import SdApi
from studio.guard import HostGuard, KeyGuard, SiteGuard
from studio.library.store import Library
from studio.settings import Settings
from studio.tab import Tab, TabContext, discover_tabs
from studio.theme import CSS_FILE, studio_theme

TITLE = "Onestroke"
PORTS_TRIED = 100
HOUSE_S = 30.0                                       # between two looks for models that nobody uses
MAX_UPLOAD = "64mb"
TEMP_AGE_S = (3600, 86400)
STYLE_LINK = '<link rel="stylesheet" href="studio/studio.css">'
MASTHEAD = '<div class="os-masthead"><span class="os-seal" aria-hidden="true"></span><h1>Onestroke</h1></div>'


@dataclass(frozen=True)
class Served:
    """A running studio. `close()` stops the server and everything behind it."""
    url: str
    blocks: gr.Blocks
    ctx: TabContext

    def close(self) -> None:
        self.blocks.close(verbose=False)
        for closer in self.ctx.closers:
            closer()
        self.ctx.engine.close()
        self.ctx.library.close()


def build_app(ctx: TabContext) -> gr.Blocks:
    """Every discovered tab in one page. A tab whose needs no base meets says so instead."""
    with gr.Blocks(title=TITLE, fill_width=True, delete_cache=TEMP_AGE_S, analytics_enabled=False) as blocks:
        gr.HTML(MASTHEAD, js_on_load=None, apply_default_css=False, elem_id="os-top")
        with gr.Tabs(elem_id="os-tabs") as ctx.handoff.tabs:
            for tab in discover_tabs():
                with gr.Tab(tab.title, id=tab.id, elem_id=f"os-tab-{tab.id}") as page:
                    _build_tab(tab, ctx)
                page.select(partial(_opened, tab, ctx), None, None, queue=False, show_progress="hidden", api_visibility="private")
        ctx.handoff.complete()
    base = ctx.engine.catalog.resolve_base(ctx.settings.base).id
    jobs = Jobs(ctx.engine, ctx.library, base)
    ctx.routes.extend([*SdApi(ctx.engine, ctx.library, base).routes(), *jobs.routes(), *Mcp(ctx.engine, ctx.library, base).routes()])
    ctx.closers.append(jobs.close)
    ctx.routes.extend([Route("/studio/library/{name}.png", _picture_route(ctx.library)),
                       Route("/studio/studio.css", lambda request: FileResponse(CSS_FILE))])
    return blocks


def _build_tab(tab: Tab, ctx: TabContext) -> None:
    if missing := tab.missing(ctx.engine.catalog.bases):
        abilities = ", ".join(missing).replace("_", " ")
        gr.Markdown(f"**{tab.title}** needs a model that can do this: {abilities}. None of the installed ones can.")
    else:
        tab.build(ctx)


def _opened(tab: Tab, ctx: TabContext) -> None:
    prefetch(tab, ctx)


def prefetch(tab: Tab, ctx: TabContext) -> threading.Thread:
    """Load what a tab is about to need, in a thread that gives way to every picture."""
    def load() -> None:
        for kind, id in tab.warms(ctx):
            ctx.engine.prefetch(kind, id)
    thread = threading.Thread(target=load, name=f"prefetch-{tab.id}", daemon=True)
    thread.start()
    return thread


def _picture_route(library: Library) -> Any:
    """Kept pictures by their unguessable id."""
    def picture(request: Request) -> Response:
        try:
            item = library.item(request.path_params["name"])
        except BadInput as error:
            return PlainTextResponse(str(error), 404)
        return FileResponse(item.path, media_type="image/png", filename=f"onestroke-{item.id}.png")
    return picture


def free_port(host: str, wished: int) -> int:
    """`wished` or the next port that nobody listens on."""
    for port in range(wished, wished + PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if os.name == "posix":                                           # elsewhere it would let a taken port pass
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
    raise StudioError(f"No free port in {wished}..{wished + PORTS_TRIED - 1}.", "Choose another with --port.")


def start(ctx: TabContext) -> Served:
    """Build and serve in background threads; returns when the page answers."""
    settings = ctx.settings
    blocks = build_app(ctx)
    machine = socket.gethostname()
    names = (machine, f"{machine}.local", *(("*.gradio.live",) if settings.share else ()))
    guards = [Middleware(HostGuard, names=names), Middleware(SiteGuard), Middleware(KeyGuard, key=settings.password)]
    _, local_url, share_url = blocks.queue(max_size=64).launch(
        server_name=settings.host, server_port=free_port(settings.host, settings.port), share=settings.share,
        prevent_thread_lock=True, quiet=True, ssr_mode=False, run_history=False, footer_links=[], enable_monitoring=False,
        max_file_size=MAX_UPLOAD, show_error=True,
        theme=studio_theme(), head=STYLE_LINK, inbrowser=settings.open_browser,
        app_kwargs={"routes": ctx.routes, "middleware": guards, "docs_url": None, "redoc_url": None, "openapi_url": None})
    return Served(share_url or local_url, blocks, ctx)


def open_context(settings: Settings, library_folder: Path | None = None) -> TabContext:
    """The engine and library that these settings ask for; kept pictures lie beside the weights unless a folder is given."""
    from models.engine import open_engine  # torch comes in here, not when this file is imported

    engine = open_engine(budget_bytes=settings.budget_bytes, cache_dir=settings.cache_dir, models_dir=settings.own_models)
    engine.catalog.resolve_base(settings.base)       # a wrong --base is said before a server starts
    return TabContext(engine, settings, Library(library_folder or settings.cache_dir.expanduser() / "library"))


def serve(settings: Settings) -> None:
    """Open the studio, print its address, and stay until interrupted."""
    ctx = open_context(settings)
    served = start(ctx)
    print(f"{TITLE} is open at {served.url}{f'?key={quote(settings.password)}' if settings.password else ''}", flush=True)
    threading.Thread(target=_warm, args=(ctx,), name="warm", daemon=True).start()
    threading.Thread(target=_keep_house, args=(ctx.engine, ctx.settings.keep_alive_min), name="house", daemon=True).start()
    try:
        served.blocks.block_thread()
    finally:
        served.close()


def _warm(ctx: TabContext) -> None:
    """Load the first base before the first stroke asks for it, then what the first tab needs; a failure shows when a picture is
    asked for."""
    try:
        ctx.engine.warm(ctx.engine.catalog.resolve_base(ctx.settings.base).id)
        prefetch(discover_tabs()[0], ctx)
    except StudioError as error:
        print(error, flush=True)


def _keep_house(engine: Any, keep_alive_min: float | None) -> None:
    """Give memory back that nobody used for a while, where the user asked for that."""
    while keep_alive_min is not None:
        time.sleep(min(HOUSE_S, keep_alive_min * 60))
        engine.sweep(keep_alive_min * 60)
