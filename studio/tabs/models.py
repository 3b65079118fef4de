"""The models tab: what there is, what is in memory and what it takes, and new ones. The page asks and tells through /api/models."""
from __future__ import annotations

import threading
from pathlib import Path

import gradio as gr
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from models.errors import StudioError
from models.metadata import KINDS
from studio.api.models import Desk
from studio.tab import Tab, TabContext

PAGE_DIR = Path(__file__).parents[1] / "models_page"
STYLE_LINK = '<link rel="stylesheet" href="studio/models/page/models.css">'
LOAD_JS = """
import(new URL('studio/models/page/models.js', document.baseURI)).then(({ start }) => start(element.querySelector('.os-models')));
"""
NAMES = {"base": "Bases", "lora": "LoRAs", "controlnet": "ControlNets", "t2i": "T2I adapters", "ip_adapter": "Image prompts", "upscaler": "Upscalers",
         "embedding": "Embeddings", "vae": "VAEs", "layerdiffuse": "Transparency"}


def build(ctx: TabContext) -> None:
    """One element that the page's own script fills, and the routes it talks to."""
    settings = ctx.settings
    desk = Desk(ctx.engine, reachable=settings.share or settings.listen)
    ctx.routes.extend([*desk.routes(), Mount("/studio/models/page", StaticFiles(directory=PAGE_DIR))])
    gr.HTML(html_template=page_html(), js_on_load=LOAD_JS, head=STYLE_LINK, apply_default_css=False, elem_id="os-models")
    if ctx.engine.catalog.shelf:
        threading.Thread(target=_look, args=(ctx,), name="shelf", daemon=True).start()


def page_html() -> str:
    chips = "".join(f'<button type="button" class="om-chip" data-kind="{kind}" aria-pressed="false">{NAMES[kind]}</button>' for kind in KINDS)
    return (PAGE_DIR / "page.html").read_text(encoding="utf-8").replace("<!--kinds-->", chips)


def _look(ctx: TabContext) -> None:
    """Read what is new in the user's folders while the studio opens; what goes wrong is said when models are asked for."""
    try:
        ctx.engine.catalog.shelf.refresh()
    except StudioError as error:
        print(error, flush=True)


TAB = Tab("models", "Models", 90, build)
