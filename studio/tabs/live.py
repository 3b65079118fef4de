"""The live tab: the picture follows the words as they are typed and the hand as it draws."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from models.job import Job, Picture
from models.spec import AdapterSpec, BaseSpec
from studio import widgets
from studio.events import Handoff
from studio.live.controls import Controls, job_of_words
from studio.live.hub import Hub
from studio.live.session import PAPER
from studio.live.surface import Surface
from studio.tab import Tab, TabContext

PAGE_DIR = Path(__file__).parents[1] / "live" / "page"
PAGE_ONLY = ("lock",)
REFINE_STEPS = 4
LOOKS_WARMED = 8
QUIET = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
INKS = ("#1d1b1a", "#6b655d", "#b9b2a7", "#ffffff", "#d24a31", "#f08a3c", "#f7c948", "#6fae4e", "#2c8a7d", "#4aa3df",
        "#3557b7", "#7b4fb3", "#e58fb1", "#f3cfb3", "#a4683f", "#5d3a25")
METER_ROWS = (("capture", "Capture"), ("wire", "Wire"), ("queue", "Queue"), ("model", "Model"), ("encode", "Encode"),
              ("paint", "Paint"))
STYLE_LINK = '<link rel="stylesheet" href="studio/live/page/canvas.css">'
SHOW_JS = "() => window.onestroke.{page}.values()"
CHANGE_JS = "(...values) => {{ window.onestroke?.{page}?.change(values); }}"
LOAD_JS = """
import(new URL('{script}', document.baseURI)).then(({{ start }}) => start({{
  element: element.querySelector('.os-stage'), server, config: props.config,
  changed: () => trigger('restored'), send: (what) => trigger('sent', what),
}}));
"""
SCRIPT = "studio/live/page/canvas.js"


def job_from(controls: Controls, canvas: np.ndarray | None, spec: BaseSpec, keep_out: str = "") -> Job:
    """What the controls and the drawing ask for. `canvas`: uint8 [H, W, 3], None or blank = paint from the words alone. `keep_out`:
    the adapter that lets a base without guidance avoid words, "" = none."""
    job = job_of_words(controls, spec, keep_out)
    if canvas is None or not spec.image_to_image or canvas.min() == PAPER:
        return job
    drawing = Image.fromarray(canvas).resize((job.extent.width, job.extent.height), Image.Resampling.BOX)
    return job.but(image=Picture.from_array(np.asarray(drawing)), strength=float(controls.strength))


def build(ctx: TabContext) -> None:
    """Lay the tab out and tie its controls to the live socket."""
    catalog = ctx.engine.catalog
    spec = catalog.resolve_base(ctx.settings.base)
    hub = make_hub(ctx)
    with gr.Row(elem_id="os-live", elem_classes="os-desk", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="os-main", elem_classes="os-main"):
            prompt = gr.Textbox(example_words(spec), label="Prompt", show_label=False, placeholder="Say what to paint",
                                lines=1, max_lines=3, elem_id="os-prompt", elem_classes="os-prompt", autofocus=True)
            stage = gr.HTML(html_template=stage_html(), js_on_load=LOAD_JS.format(script=SCRIPT), head=STYLE_LINK, server_functions=[minting(hub)],
                            apply_default_css=False, elem_id="os-stage")
        with gr.Column(scale=0, min_width=264, elem_id="os-side", elem_classes="os-side"):
            controls = {"prompt": prompt} | side_controls(catalog.bases, spec, catalog.adapters.values())
            gr.HTML(html_template=meter_html(), js_on_load=None, apply_default_css=False)
    names = [*controls]
    stage.props["config"] = {"names": names, "bases": [*catalog.bases], "sent": [n for n in names if n not in PAGE_ONLY],
                             "defaults": {name: part.value for name, part in controls.items()}}
    connect(stage, controls, catalog, limits, ("style", "strength", "steps", "negative", "look"))
    ctx.handoff.when_complete(lambda: wire_sends(stage, hub, ctx.handoff))


def side_controls(bases: dict[str, BaseSpec], spec: BaseSpec, adapters: Iterable[AdapterSpec]) -> dict[str, Any]:
    """Every control beside the prompt, by the name it has in Controls."""
    base = widgets.base_picker(bases, spec.id)
    style = widgets.style_picker(spec)
    look, look_strength = widgets.look_row(widgets.looks(adapters, spec))
    strength = gr.Slider(0.0, 1.0, Controls().strength, step=0.01, label="Freedom", info="0 stays with your drawing",
                         elem_id="os-strength", buttons=[], interactive=spec.image_to_image)
    seed, lock = widgets.seed_row()
    steps = gr.Slider(spec.min_steps, spec.max_steps, spec.default_steps, step=1, label="Steps", elem_id="os-steps", buttons=[])
    refine = gr.Checkbox(True, label="Refine when the hand rests", elem_id="os-refine")
    negative = widgets.negative_box(spec, can_avoid(spec, adapters))
    return {"base": base, "style": style, "strength": strength, "seed": seed, "lock": lock, "steps": steps, "refine": refine,
            "negative": negative, "look": look, "look_strength": look_strength}


def connect(stage: gr.HTML, controls: dict[str, Any], catalog: Any, limits: Callable[..., list[Any]], limited: Sequence[str],
            page: str = "live") -> None:
    """Controls -> socket without a round trip through the server, and back when a frame is restored. The models on offer are those
    known when a page opens; `limits(spec, adapters)` gives the controls called `limited` anew for another one."""
    parts = [*controls.values()]
    moments = [part.change for part in parts] + [part.input for part in parts if isinstance(part, gr.Textbox | gr.Slider)]
    gr.on(moments, None, parts, None, js=CHANGE_JS.format(page=page), **QUIET)
    stage.restored(None, None, parts, js=SHOW_JS.format(page=page), **QUIET)
    gr.on(None, lambda: widgets.base_choices(catalog.bases), None, controls["base"], **QUIET)
    controls["base"].input(lambda base: limits(catalog.bases[base], catalog.adapters.values()), controls["base"],
                           [controls[name] for name in limited], **QUIET)


def can_avoid(spec: BaseSpec, adapters: Iterable[AdapterSpec]) -> bool:
    """Whether words can be kept out of what a base paints, by itself or with an adapter."""
    return spec.negative_prompt or bool(widgets.granting("negative_prompt", adapters, spec))


def limits(spec: BaseSpec, adapters: Iterable[AdapterSpec]) -> list[Any]:
    """New style, strength, steps, negative and look controls for another base."""
    able = can_avoid(spec, adapters)
    first = spec.styles[0].id if spec.styles else ""
    return [gr.update(choices=widgets.style_choices(spec), value=first, visible=bool(spec.styles)),
            gr.update(interactive=spec.image_to_image),
            gr.update(minimum=spec.min_steps, maximum=spec.max_steps, value=spec.default_steps),
            gr.update(interactive=able, placeholder=widgets.negative_hint(spec, able)),
            gr.update(choices=widgets.looks(adapters, spec), value="")]


def wire_sends(stage: gr.HTML, hub: Hub, handoff: Handoff) -> None:
    """A button for every tab that takes pictures; none when there is no such tab."""
    receivers = handoff.receivers
    stage.props["config"]["receivers"] = [{"id": r.tab_id, "title": r.title} for r in receivers]
    if not receivers:
        return

    def send(event: gr.EventData) -> list[Any]:
        result = hub.frame(event.client, event.frame).result
        return [r.update(result) if r.tab_id == event.to else gr.skip() for r in receivers] + [gr.Tabs(selected=event.to)]

    stage.sent(send, None, [*(r.component for r in receivers), handoff.tabs], **QUIET)


def make_hub(ctx: TabContext) -> Hub:
    catalog = ctx.engine.catalog

    def make_job(controls: Controls, canvas: np.ndarray, reference: Picture | None = None) -> Job:
        spec = catalog.base(controls.base).spec
        return job_from(controls, canvas, spec, widgets.granting("negative_prompt", catalog.adapters.values(), spec))

    return open_hub(ctx, Surface("live", make_job, lambda job: refined(job, catalog.base(job.base).spec)), PAGE_DIR)


def open_hub(ctx: TabContext, surface: Surface, page: Path) -> Hub:
    """The hub of a tab's canvases, its socket and its page's files on the server."""
    hub = Hub(ctx.engine, ctx.library, surface)
    ctx.routes.extend([hub.route(), Mount(f"/studio/{surface.name}/page", StaticFiles(directory=page))])
    ctx.closers.append(hub.close)
    return hub


def refined(job: Job, spec: BaseSpec) -> Job | None:
    """The job at the steps of a picture that replaces the preview; None when it has them."""
    steps = refine_steps(spec)
    return job.but(steps=steps) if job.steps < steps else None


def minting(hub: Hub) -> Callable[..., str]:
    """hub.mint as the plain function that Gradio wants; the page calls it `server.mint()`."""
    def mint(_: object = None) -> str:
        return hub.mint()
    return mint


def refine_steps(spec: BaseSpec) -> int:
    """Steps of the picture that replaces the preview when the hand rests."""
    return max(spec.default_steps, min(REFINE_STEPS, spec.max_steps))


def example_words(spec: BaseSpec) -> str:
    return "a smiling red fox" if spec.id == "embedded" else "a lighthouse at dusk"


def with_picture(page: Path, hint: str, take: str, take_title: str) -> str:
    """The stage of a page with the pane that shows the picture, which all pages share; the arguments are what it says."""
    pane = (PAGE_DIR / "picture.html").read_text(encoding="utf-8")
    for place, words in (("hint", hint), ("take-title", take_title), ("take", take)):
        pane = pane.replace(f"<!--{place}-->", words)
    return (page / "stage.html").read_text(encoding="utf-8").replace("  <!--picture-->\n", pane)


def stage_html() -> str:
    stage = with_picture(PAGE_DIR, "Type above, or draw on the left.<br>The picture follows.", "Draw on it", "Put the picture on the canvas and draw on")
    return stage.replace("<!--inks-->", "".join(
        f'<button type="button" class="os-ink" data-ink="{ink}" style="--ink:{ink}" aria-label="Colour {ink}" '
        f'aria-pressed="false"></button>' for ink in INKS))


def meter_html(id: str = "os-meter") -> str:
    rows = "".join(_meter_row(key, f'<i class="os-dot os-{key}"></i>{escape(title)}') for key, title in METER_ROWS)
    bars = "".join(f'<i class="os-{key}" data-bar="{key}" title="{escape(title)}"></i>' for key, title in METER_ROWS)
    head = '<tr><th scope="col">ms</th><th scope="col">p50</th><th scope="col">p95</th></tr>'
    return (f'<section id="{id}" class="os-meter" aria-label="Latency">'
            f'<header><h3>Hand to picture</h3><span data-meter="fps">idle</span></header>'
            f'<div class="os-bars" aria-hidden="true">{bars}</div><table><thead>{head}</thead><tbody>{rows}</tbody>'
            f'<tfoot>{_meter_row("total", "Total")}</tfoot></table></section>')


def _meter_row(key: str, title: str) -> str:
    return (f'<tr><th scope="row">{title}</th><td data-meter="{key}-50">–</td><td data-meter="{key}-95">–</td></tr>')


def warms(ctx: TabContext) -> list[tuple[str, str]]:
    """The base it opens with and the looks that fit it, so that the first switch does not wait either."""
    spec = ctx.engine.catalog.resolve_base(ctx.settings.base)
    return [("base", spec.id), *(("adapter", id) for id in ctx.engine.catalog.able(spec.id).looks[:LOOKS_WARMED])]


TAB = Tab("live", "Live", 0, build, warms=warms)
