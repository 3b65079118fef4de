"""Controls that several tabs share."""
from __future__ import annotations

from collections.abc import Iterable

import gradio as gr

from models.spec import AdapterSpec, BaseSpec

ROLL_JS = "() => Math.floor(Math.random() * 2 ** 31)"


def style_choices(spec: BaseSpec) -> list[tuple[str, str]]:
    """(title, id) of every look a base knows, and none."""
    return [("Any", ""), *((style.title, style.id) for style in spec.styles)]


def style_picker(spec: BaseSpec) -> gr.Radio:
    return gr.Radio(style_choices(spec), value=spec.styles[0].id if spec.styles else "", label="Style", elem_classes="os-chips",
                    visible=bool(spec.styles))


def seed_row(tab: str = "live") -> tuple[gr.Number, gr.Checkbox]:
    """(seed, lock): the die gives a new seed; unlocked, every stroke does. `tab` sets the ids of two tabs apart."""
    prefix = "os" if tab == "live" else f"os-{tab}"
    with gr.Row(elem_classes="os-seed", equal_height=True):
        seed = gr.Number(7, label="Seed", precision=0, minimum=0, maximum=2 ** 31, scale=3, min_width=90)
        dice = gr.Button("Roll", scale=1, min_width=56, elem_id=f"{prefix}-roll", elem_classes="os-roll", size="sm")
        lock = gr.Checkbox(True, label="Lock", scale=1, min_width=64, info=None, elem_id=f"{prefix}-lock", elem_classes="os-lock")
    dice.click(None, None, seed, js=ROLL_JS, api_visibility="private")
    return seed, lock


def base_picker(specs: dict[str, BaseSpec], default: str) -> gr.Dropdown:
    """Shown only when there is a choice."""
    return gr.Dropdown(_titles(specs), value=default, label="Model", visible=len(specs) > 1)


def base_choices(specs: dict[str, BaseSpec]) -> dict:
    """The picker's update when a page opens: a model may have come since the studio started."""
    return gr.update(choices=_titles(specs), visible=len(specs) > 1)


def _titles(specs: dict[str, BaseSpec]) -> list[tuple[str, str]]:
    return [(spec.title, spec.id) for spec in specs.values()]


def looks(adapters: Iterable[AdapterSpec], spec: BaseSpec) -> list[tuple[str, str]]:
    """(title, id) of the LoRAs that fit a base, and none."""
    return [("None", ""), *((a.title, a.id) for a in adapters if a.kind == "lora" and a.fits(spec.arch))]


def granting(ability: str, adapters: Iterable[AdapterSpec], spec: BaseSpec) -> str:
    """The id of an adapter that gives a base an ability it lacks; "" when it needs none or there is none."""
    if getattr(spec, ability):
        return ""
    return next((a.id for a in adapters if ability in a.grants and a.fits(spec.arch)), "")


def look_row(choices: list[tuple[str, str]]) -> tuple[gr.Dropdown, gr.Slider]:
    """(look, its strength), shown when there is one."""
    with gr.Row(elem_classes="os-look", visible=len(choices) > 1):
        look = gr.Dropdown(choices, value="", label="Look", elem_id="os-look", min_width=110, scale=2)
        strength = gr.Slider(0.0, 1.5, 1.0, step=0.05, label="Amount", elem_id="os-look-strength", buttons=[], min_width=110, scale=3)
    return look, strength


def negative_box(spec: BaseSpec, able: bool, elem_id: str = "os-negative") -> gr.Textbox:
    """Off, with the reason, where nothing can use it."""
    return gr.Textbox(label="Avoid", lines=1, max_lines=3, interactive=able, placeholder=negative_hint(spec, able), elem_id=elem_id)


def negative_hint(spec: BaseSpec, able: bool) -> str:
    if able:
        return "What should not be in the picture"
    return f"Off: {spec.title} paints without guidance, so it cannot steer away from words"
