"""The sketch tab: lines become a picture while they are drawn; broad strokes, detail strokes, scenes of objects, line art in colour."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from models.job import Picture
from models.spec import AdapterSpec, BaseSpec
from studio import widgets
from studio.live.hub import Hub
from studio.live.surface import Surface
from studio.sketch import inks
from studio.sketch.controls import REACH_PX, SketchControls
from studio.sketch.finding import make_find, make_found
from studio.sketch.importing import annotators, make_lines, strokes_from, told
from studio.sketch.pairs import make_invent, pair_of
from studio.sketch.task import CONTROLS, EDGES, LAYERED, Painter, SketchTask, control_for, task_from
from studio.tab import Tab, TabContext
from studio.tabs.live import LOAD_JS, PAGE_ONLY, can_avoid, connect, meter_html, minting, open_hub, refine_steps, wire_sends, with_picture

PAGE_DIR = Path(__file__).parents[1] / "sketch" / "page"
PAGE_MADE = ("mode", "objects")                      # settings that the page's own parts set
MODE_TITLES = (("sketch", "Sketch"), ("colour", "Colour line art"), ("scene", "Scene"))
FOLLOWING = ("control", "pair", "instruct")          # kinds of adapters that may be given lines
METER = "os-sketch-meter"
STYLE_LINK = ('<link rel="stylesheet" href="studio/live/page/canvas.css">'
              '<link rel="stylesheet" href="studio/sketch/page/sketch.css">')
SCRIPT = "studio/sketch/page/sketch.js"


def build(ctx: TabContext) -> None:
    """Lay the tab out and tie its controls to its own live socket."""
    catalog = ctx.engine.catalog
    spec = catalog.resolve_base(ctx.settings.base)
    hub = make_hub(ctx)
    with gr.Row(elem_id="os-sketch", elem_classes="os-desk", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_classes="os-main"):
            prompt = gr.Textbox("a house", label="Prompt", show_label=False, placeholder="Say what the lines are", lines=1, max_lines=3,
                                elem_id="os-sketch-prompt", elem_classes="os-prompt")
            stage = gr.HTML(html_template=stage_html(), js_on_load=LOAD_JS.format(script=SCRIPT), head=STYLE_LINK,
                            server_functions=[minting(hub), *helpers(ctx)], apply_default_css=False, elem_id="os-sketch-stage")
        with gr.Column(scale=0, min_width=264, elem_classes="os-side"):
            controls = {"prompt": prompt} | side_controls(catalog.bases, spec, catalog.adapters.values())
            gr.HTML(html_template=meter_html(METER), js_on_load=None, apply_default_css=False)
    stage.props["config"] = config(ctx, controls, spec)
    connect(stage, controls, catalog, limits, ("style", "control", "loose", "steps", "negative", "look"), "sketch")
    ctx.handoff.when_complete(lambda: wire_sends(stage, hub, ctx.handoff))


def stage_html() -> str:
    return with_picture(PAGE_DIR, "Draw on the left.<br>The picture follows.", "Trace it", "Turn this picture into lines and draw on")


def side_controls(bases: dict[str, BaseSpec], spec: BaseSpec, adapters: Iterable[AdapterSpec]) -> dict[str, Any]:
    """Every control beside the prompt, by the name it has in SketchControls."""
    start = SketchControls()
    base = widgets.base_picker(bases, spec.id)
    style = widgets.style_picker(spec)
    control = gr.Dropdown(follows(adapters, spec), value="", label="Lines are read by", elem_id="os-control", visible=len(follows(adapters, spec)) > 2)
    obey = gr.Slider(0.0, 1.5, start.obey, step=0.05, label="Obey", info="0 invents, 1 follows your lines", elem_id="os-obey", buttons=[])
    loose = gr.Slider(0.0, 1.0, start.loose, step=0.05, label="Loose", info="With UniCon: from exact lines to lines that are only a hint", elem_id="os-loose",
                      visible=has_pairs(adapters, spec), buttons=[])
    reference_strength = gr.Slider(0.0, 1.5, start.reference_strength, step=0.05, label="Reference", info="How much of its look comes along",
                                   elem_id="os-reference-strength", buttons=[])
    look, look_strength = widgets.look_row(widgets.looks(adapters, spec))
    seed, lock = widgets.seed_row("sketch")
    steps = gr.Slider(spec.min_steps, spec.max_steps, preview_steps(spec), step=1, label="Steps", elem_id="os-sketch-steps", buttons=[])
    refine = gr.Checkbox(True, label="Refine when the hand rests", elem_id="os-sketch-refine")
    second_pass = gr.Checkbox(True, label="Second pass near block strokes", elem_id="os-second-pass")
    reach = gr.Slider(*REACH_PX, start.reach, step=1, label="Reach", info="How far from block strokes it may change", elem_id="os-reach", buttons=[])
    negative = widgets.negative_box(spec, can_avoid(spec, adapters), "os-sketch-negative")
    return {"base": base, "style": style, "control": control, "obey": obey, "loose": loose, "reference_strength": reference_strength, "look": look,
            "look_strength": look_strength, "seed": seed, "lock": lock, "steps": steps, "refine": refine, "second_pass": second_pass, "reach": reach,
            "negative": negative}


def config(ctx: TabContext, controls: dict[str, Any], spec: BaseSpec) -> dict[str, Any]:
    """What the page has to know."""
    names = [*controls]
    start = SketchControls()
    return {"names": names, "bases": [*ctx.engine.catalog.bases], "sent": [*(n for n in names if n not in PAGE_ONLY), *PAGE_MADE],
            "defaults": {name: part.value for name, part in controls.items()} | {"mode": start.mode, "objects": []},
            "modes": [{"id": id, "title": title} for id, title in MODE_TITLES],
            "inks": {"detail": inks.DETAIL, "block": inks.BLOCK, "objects": [*inks.OBJECTS]},
            "annotators": [{"id": id, "title": title} for id, title in annotators(ctx.engine)],
            "pairs": {id: pair.id for id in ctx.engine.catalog.bases if (pair := pair_of(ctx.engine, id))},
            "references": [id for id in ctx.engine.catalog.bases if ctx.engine.catalog.able(id).can("reference_images")],
            "socket": "studio/sketch/socket"}


def follows(adapters: Iterable[AdapterSpec], spec: BaseSpec) -> list[tuple[str, str]]:
    """(title, id) of what can follow lines on a base, the best first."""
    fit = [a for a in adapters if a.kind in FOLLOWING and a.fits(spec.arch) and a.control in (*CONTROLS, *EDGES, LAYERED)]
    return [("The best there is", ""), *((a.title, a.id) for a in fit)]


def has_pairs(adapters: Iterable[AdapterSpec], spec: BaseSpec) -> bool:
    """Whether lines may be followed loosely: a pair (UniCon) is here for the base."""
    return any(a.kind == "pair" and a.fits(spec.arch) for a in adapters)


def preview_steps(spec: BaseSpec) -> int:
    """A second step makes crisp what a control, which was trained to be right on average, leaves soft."""
    return min(max(2, spec.default_steps), spec.max_steps)


def limits(spec: BaseSpec, adapters: Iterable[AdapterSpec]) -> list[Any]:
    """New style, lines, steps, negative and look controls for another base."""
    able = can_avoid(spec, adapters)
    return [gr.update(choices=widgets.style_choices(spec), value=spec.styles[0].id if spec.styles else "", visible=bool(spec.styles)),
            gr.update(choices=follows(adapters, spec), value="", visible=len(follows(adapters, spec)) > 2),
            gr.update(visible=has_pairs(adapters, spec)),
            gr.update(minimum=spec.min_steps, maximum=spec.max_steps, value=preview_steps(spec)),
            gr.update(interactive=able, placeholder=widgets.negative_hint(spec, able)),
            gr.update(choices=widgets.looks(adapters, spec), value="")]


def make_hub(ctx: TabContext) -> Hub:
    catalog, painter = ctx.engine.catalog, Painter()

    def make_task(controls: SketchControls, canvas: np.ndarray, reference: Picture | None) -> SketchTask:
        return task_from(controls, canvas, reference, catalog.able(controls.base))

    surface = Surface("sketch", make_task, lambda task: task.better(refine_steps(catalog.base(task.job.base).spec)), painter.paint,
                      lambda task: task.mode, SketchControls())
    return open_hub(ctx, surface, PAGE_DIR)


def helpers(ctx: TabContext) -> list[Callable[..., Any]]:
    """What the page asks for besides pictures, as plain functions named as the page calls them."""
    ask = {"lines": make_lines(ctx.engine), "find": make_find(ctx.engine, ctx.library), "found": make_found(ctx.engine, ctx.library),
           "invent": make_invent(ctx.engine, lambda image: told(strokes_from(ctx.engine, image)))}

    def lines(asked: object = None) -> dict:
        return ask["lines"](asked)

    def find(asked: object = None) -> dict:
        return ask["find"](asked)

    def found(asked: object = None) -> dict:
        return ask["found"](asked)

    def invent(asked: object = None) -> dict:
        return ask["invent"](asked)
    return [lines, find, found, invent]


def warms(ctx: TabContext) -> list[tuple[str, str]]:
    """The base, and the adapter that follows lines on it."""
    spec = ctx.engine.catalog.resolve_base(ctx.settings.base)
    control = control_for("", ctx.engine.catalog.able(spec.id))
    return [("base", spec.id), *((("adapter", control),) if control else ())]


TAB = Tab("sketch", "Sketch", 1, build, warms=warms)
