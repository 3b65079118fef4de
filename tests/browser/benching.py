"""What browser tests do to a workbench tab and ask of it."""
from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from tests.browser.page import FRAME_TIMEOUT_MS

LONG_MS = 4 * FRAME_TIMEOUT_MS


def show(page: Any, name: str = "outpaint", title: str = "Outpaint") -> None:
    """The tab, with a new empty document."""
    page.get_by_role("tab", name=title, exact=True).click()
    page.wait_for_selector(f'.os-work[aria-label="{title}"][data-state="ready"]', timeout=LONG_MS)
    page.evaluate("(name) => onestroke[name].documents.begin({ steps: [], now: '' })", name)
    page.wait_for_function("(name) => !onestroke[name].bench.step", arg=name)


def gradient(width: int = 64, height: int = 64, alpha: bool = False) -> np.ndarray:
    """uint8 [H, W, 3 or 4]; with alpha a disc."""
    y, x = np.mgrid[:height, :width]
    rgb = np.dstack([x * 3, y * 3, 255 - x * 2]).astype(np.uint8)
    disc = (np.hypot(x - width / 2, y - height / 2) < min(width, height) / 3) * 255
    return np.dstack([rgb, disc.astype(np.uint8)]) if alpha else rgb


def png(pixels: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def bring(page: Any, pixels: np.ndarray | bytes, file: str = "start.png", name: str = "outpaint") -> None:
    """A picture as if chosen in the dialog, and wait until it is there."""
    data = pixels if isinstance(pixels, bytes) else png(pixels)
    page.set_input_files(f"#os-{name} .ow-file", [{"name": file, "mimeType": "image/png", "buffer": data}])
    page.wait_for_function("([name, title]) => onestroke[name].bench.step?.title === title", arg=[name, file.rpartition(".")[0]], timeout=LONG_MS)


def step(page: Any, name: str = "outpaint") -> dict[str, Any]:
    return page.evaluate("(name) => onestroke[name].bench.step", name)


def steps(page: Any, count: int, name: str = "outpaint") -> None:
    """Wait until the history has so many steps."""
    page.wait_for_function("([name, n]) => onestroke[name].bench.history.steps.length === n", arg=[name, count], timeout=LONG_MS)


def pixels(page: Any, name: str = "outpaint") -> np.ndarray:
    """The picture that is shown, uint8 RGBA."""
    data = page.evaluate("""async (name) => { const { bench } = onestroke[name], answer = await fetch(bench.pictureURL(bench.step.picture));
      const bytes = new Uint8Array(await answer.arrayBuffer());
      let text = ''; for (const b of bytes) text += String.fromCharCode(b); return btoa(text); }""", name)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def at(page: Any, x: float, y: float, name: str = "outpaint") -> tuple[float, float]:
    """Pixels of the picture -> the page's."""
    return tuple(page.evaluate("""([name, x, y]) => { const { stage } = onestroke[name].bench, box = stage.frame.getBoundingClientRect();
      return [box.left + stage.x + x * stage.zoom, box.top + stage.y + y * stage.zoom]; }""", [name, x, y]))


def drag(page: Any, start: tuple[float, float], end: tuple[float, float], *keys: str, name: str = "outpaint") -> None:
    """From pixels of the picture to pixels of the picture, keys held."""
    for key in keys:
        page.keyboard.down(key)
    first, last = at(page, *start, name), at(page, *end, name)
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move((first[0] + last[0]) / 2, (first[1] + last[1]) / 2)
    page.mouse.move(*last)
    page.mouse.up()
    for key in keys:
        page.keyboard.up(key)


def saved(page: Any, name: str = "outpaint") -> None:
    page.wait_for_selector(f'#os-{name} .os-work[data-saved="saved"]', timeout=FRAME_TIMEOUT_MS)


def said(page: Any, name: str = "outpaint") -> str:
    """The notice that is shown."""
    return page.locator(f"#os-{name} .ow-notice .ol-notice-text").inner_text()
