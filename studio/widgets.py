"""Controls that several tabs share."""
from __future__ import annotations

import gradio as gr

from models.spec import BaseSpec

ROLL_JS = "() => Math.floor(Math.random() * 2 ** 31)"


def style_choices(spec: BaseSpec) -> list[tuple[str, str]]:
    """(title, id) of every look a base knows, and none."""
    return [("Any", ""), *((style.title, style.id) for style in spec.styles)]


def style_picker(spec: BaseSpec) -> gr.Radio:
    return gr.Radio(style_choices(spec), value=spec.styles[0].id if spec.styles else "", label="Style", elem_classes="os-chips",
                    visible=bool(spec.styles))


def seed_row() -> tuple[gr.Number, gr.Checkbox]:
    """(seed, lock): the die gives a new seed; unlocked, every stroke does."""
    with gr.Row(elem_classes="os-seed", equal_height=True):
        seed = gr.Number(7, label="Seed", precision=0, minimum=0, maximum=2 ** 31, scale=3, min_width=90)
        dice = gr.Button("Roll", scale=1, min_width=56, elem_id="os-roll", size="sm")
        lock = gr.Checkbox(True, label="Lock", scale=1, min_width=64, info=None, elem_id="os-lock")
    dice.click(None, None, seed, js=ROLL_JS, api_visibility="private")
    return seed, lock


def base_picker(specs: dict[str, BaseSpec], default: str) -> gr.Dropdown:
    """Shown only when there is a choice."""
    return gr.Dropdown([(spec.title, spec.id) for spec in specs.values()], value=default, label="Model", visible=len(specs) > 1)


def negative_box(spec: BaseSpec) -> gr.Textbox:
    """Off, with the reason, for a base that has no use for it."""
    return gr.Textbox(label="Avoid", lines=1, max_lines=3, interactive=spec.negative_prompt, placeholder=negative_hint(spec),
                      elem_id="os-negative")


def negative_hint(spec: BaseSpec) -> str:
    if spec.negative_prompt:
        return "What should not be in the picture"
    return f"Off: {spec.title} paints without guidance, so it cannot steer away from words"
