"""The look: ink, paper and one seal red. System fonts, so that no page asks the network for anything."""
from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS_FILE = Path(__file__).with_name("studio.css")

SEAL = gr.themes.Color("#fdf3f0", "#fbe3dd", "#f6c4b8", "#ee9b89", "#e26f58", "#d24a31", "#bb3a23", "#982e1c", "#7a281a",
                       "#642519", "#380f08", name="seal")
INK = gr.themes.Color("#faf9f7", "#f3f1ed", "#e6e3dd", "#d2cdc4", "#a39d93", "#77716a", "#57524c", "#403c37", "#292623",
                      "#1c1a18", "#121110", name="ink")
SANS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Helvetica Neue", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def studio_theme() -> gr.themes.Base:
    """Light and dark in one; the browser's preference decides."""
    theme = gr.themes.Base(primary_hue=SEAL, secondary_hue=SEAL, neutral_hue=INK, font=SANS, font_mono=MONO,
                           radius_size="md", spacing_size="sm", text_size="sm")
    return theme.set(
        body_background_fill="#f6f4f0", body_background_fill_dark="#141312",
        background_fill_primary="#ffffff", background_fill_primary_dark="#1c1a18",
        background_fill_secondary="#faf9f7", background_fill_secondary_dark="#181615",
        body_text_color="#1d1b1a", body_text_color_dark="#ece8e1",
        body_text_color_subdued="#6b655d", body_text_color_subdued_dark="#a39d93",
        border_color_primary="#e2ded7", border_color_primary_dark="#332f2b",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_shadow="none", block_padding="0px",
        block_label_background_fill="transparent", block_label_background_fill_dark="transparent",
        block_title_text_weight="500", block_title_text_size="12px",
        block_title_text_color="#57524c", block_title_text_color_dark="#a39d93",
        block_info_text_size="12px",
        input_border_width="1px", input_border_width_dark="1px",
        input_background_fill="#ffffff", input_background_fill_dark="#211f1d",
        input_border_color="#d9d4cb", input_border_color_dark="#3a3531",
        input_border_color_focus="#d24a31", input_border_color_focus_dark="#e26f58",
        input_shadow_focus="0 0 0 3px rgba(210,74,49,.18)",
        slider_color="#d24a31", slider_color_dark="#e26f58",
        button_primary_background_fill="#d24a31", button_primary_background_fill_dark="#d24a31",
        button_secondary_background_fill="#ffffff", button_secondary_background_fill_dark="#26231f",
    )
