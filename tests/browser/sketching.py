"""What the sketch tab's browser tests do to a page and ask of it."""
from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from tests.browser.page import draw as draw_on

STAGE = ".os-sketch"
READY = f'{STAGE}[data-state="ready"].has-picture'
PIXELS_JS = "() => { const { paper } = window.onestroke.sketch; paper.refresh(); return paper.canvas.toDataURL(); }"


def show_sketch(page: Any) -> None:
    """Open the tab with the control that fits the tiny base."""
    page.get_by_role("tab", name="Sketch").click()
    page.wait_for_function("() => window.onestroke.sketch", timeout=60_000)
    page.evaluate("""() => {
        const { sketch } = window.onestroke;
        sketch.alter({ control: 'tiny-student-scribble' });
        sketch.shown();
    }""")
    page.wait_for_selector(READY, timeout=60_000)


def draw(page: Any, *points: tuple[float, float]) -> None:
    draw_on(page, list(points), stage=STAGE)


def sketch(page: Any, what: str) -> Any:
    return page.evaluate(f"() => window.onestroke.sketch.{what}")


def count(page: Any) -> int:
    return sketch(page, "paper.strokes.list.length")


def pixels(page: Any) -> np.ndarray:
    """uint8 [512, 512, 3], what is on the canvas."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(page.evaluate(PIXELS_JS).partition(",")[2]))).convert("RGB"))


def inked(area: np.ndarray) -> int:
    return int((area.min(axis=-1) < 128).sum())
