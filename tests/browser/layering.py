"""What browser tests do to the Layers tab and ask of it."""
from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from tests.browser.page import FRAME_TIMEOUT_MS

STACK_JS = "() => onestroke.layers.desk.stack"


def show_layers(page: Any, width: int = 400, height: int = 300) -> None:
    """The tab, with a new document."""
    page.get_by_role("tab", name="Layers").click()
    page.wait_for_selector('.os-layers[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    page.evaluate("([w, h]) => onestroke.layers.documents.make(w, h)", [width, height])
    page.wait_for_function("([w, h]) => onestroke.layers.desk.stack.extent.width === w && !onestroke.layers.desk.stack.layers.length", arg=[width, height])


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def disc(side: int, colour: tuple[int, int, int]) -> np.ndarray:
    """uint8 RGBA with soft edges."""
    y, x = np.mgrid[:side, :side] + 0.5
    alpha = (side / 2 - 2 - np.hypot(x - side / 2, y - side / 2)) * 80
    return np.dstack([np.broadcast_to(np.uint8(colour), (side, side, 3)), alpha.clip(0, 255).astype(np.uint8)])


def bring(page: Any, *pictures: tuple[str, bytes]) -> None:
    """Files by (name, bytes), as if chosen in the dialog, and wait until they lie on the canvas."""
    before = page.evaluate("() => onestroke.layers.desk.stack.layers.length")
    page.set_input_files(".ol-file", [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in pictures])
    page.wait_for_function("(n) => onestroke.layers.desk.stack.layers.length === n", arg=before + len(pictures), timeout=FRAME_TIMEOUT_MS)


def stack(page: Any) -> dict[str, Any]:
    return page.evaluate(STACK_JS)


def names(page: Any) -> list[str]:
    """Of the layers on the canvas itself, bottom to top."""
    return [node["name"] for node in stack(page)["layers"]]


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """Canvas pixels -> the page's."""
    return tuple(page.evaluate("""([x, y]) => { const { view } = onestroke.layers.desk, box = view.frame.getBoundingClientRect();
      return [box.left + view.x + x * view.zoom, box.top + view.y + y * view.zoom]; }""", [x, y]))


def drag(page: Any, start: tuple[float, float], end: tuple[float, float], *keys: str, drop: bool = True) -> None:
    """From canvas pixels to canvas pixels, keys held."""
    for key in keys:
        page.keyboard.down(key)
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    page.mouse.move(*at(page, *end))
    if drop:
        page.mouse.up()
        for key in keys:
            page.keyboard.up(key)


def saved(page: Any) -> None:
    page.wait_for_selector('.os-layers[data-saved="saved"]', timeout=FRAME_TIMEOUT_MS)


def composite(page: Any) -> np.ndarray:
    """The document as the page's canvas composes it, uint8 RGBA."""
    data = page.evaluate("""async () => { const canvas = await onestroke.layers.desk.flattened(), blob = await canvas.convertToBlob();
      const bytes = new Uint8Array(await blob.arrayBuffer()); let text = ''; for (const b of bytes) text += String.fromCharCode(b); return btoa(text); }""")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))
