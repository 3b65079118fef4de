"""The library tab: every picture that was kept, found by words, board, star or likeness; compared, painted again, sent on, thrown away and got back."""
from __future__ import annotations

from pathlib import Path

import gradio as gr
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from studio.api.library import Shelves
from studio.sketch.finding import Finder
from studio.tab import Tab, TabContext
from studio.tabs.live import QUIET

NAME = "library"
PAGE_DIR = Path(__file__).parents[1] / "library" / "page"
STYLE_LINK = '<link rel="stylesheet" href="studio/library-page/library.css">'
LOAD_JS = """
import(new URL('studio/library-page/library.js', document.baseURI)).then(({ start }) => start(element.querySelector('.os-library'), {
  receivers: props.receivers ?? [], send: (what) => trigger('sent', what) }));
"""


def build(ctx: TabContext) -> None:
    """One element that the page's own script fills, and the routes it talks to."""
    base = ctx.engine.catalog.resolve_base(ctx.settings.base).id
    finder = Finder(ctx.engine, ctx.library)
    ctx.routes.extend([*Shelves(ctx.engine, ctx.library, base, finder.like).routes(), Mount("/studio/library-page", StaticFiles(directory=PAGE_DIR))])
    page = gr.HTML(html_template=(PAGE_DIR / "page.html").read_text(encoding="utf-8"), js_on_load=LOAD_JS, head=STYLE_LINK, apply_default_css=False,
                   elem_id="os-library")
    ctx.handoff.when_complete(lambda: _wire_sends(page, ctx))


def _wire_sends(page: gr.HTML, ctx: TabContext) -> None:
    """A button for every tab that takes results: the picture travels with its job."""
    from models.job import Result, Timings
    receivers = ctx.handoff.receivers
    page.props["receivers"] = [{"id": receiver.tab_id, "title": receiver.title} for receiver in receivers]
    if not receivers:
        return

    def send(event: gr.EventData) -> list[object]:
        pixels, job = ctx.library.open(event.id)
        result = Result(pixels[None], job, Timings())
        return [r.update(result) if r.tab_id == event.to else gr.skip() for r in receivers] + [gr.Tabs(selected=event.to)]

    page.sent(send, None, [*(receiver.component for receiver in receivers), ctx.handoff.tabs], **QUIET)


TAB = Tab(NAME, "Library", 80, build, warms=lambda ctx: [("percept", "likeness")])
