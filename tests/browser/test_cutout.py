"""Cutting out in a real browser: a photograph comes, is marked on the stage, is cut out, and Undo brings it back whole."""
from __future__ import annotations

import cv2
import numpy as np

from tests.browser.layering import at, bring, png, show_layers, stack
from tests.browser.page import FRAME_TIMEOUT_MS


def two_things() -> np.ndarray:
    """A red and a blue disc on a soft green ground, opaque RGB, 360 x 240."""
    y, x = np.mgrid[:240, :360]
    rgb = np.dstack([90 + x // 6, 150 + y // 6, np.full_like(x, 110)]).astype(np.uint8)
    for cx, colour in ((100, (210, 60, 40)), (260, (40, 70, 200))):
        cv2.circle(rgb, (cx, 120), 60, colour, -1, cv2.LINE_AA)
    return rgb


def alpha_at(page, x: int, y: int) -> int:
    """Of what the stage shows now, a preview too."""
    return page.evaluate("""async ([x, y]) => { const { desk } = onestroke.layers, leaf = desk.shown.layers[0], image = await desk.bitmap(leaf.picture);
      const canvas = new OffscreenCanvas(image.width, image.height), ink = canvas.getContext('2d'); ink.drawImage(image, 0, 0);
      const left = leaf.place.x - leaf.place.width / 2, top = leaf.place.y - leaf.place.height / 2, k = image.width / leaf.place.width;
      return ink.getImageData(Math.floor((x - left) * k), Math.floor((y - top) * k), 1, 1).data[3]; }""", [x, y])


def test_marks_on_the_stage_choose_what_is_kept(open_page):
    page = open_page()
    show_layers(page, 400, 300)
    bring(page, ("things.png", png(two_things())))
    whole = stack(page)["layers"][0]
    left, top = whole["place"]["x"] - 180, whole["place"]["y"] - 120
    red, blue = (left + 100, top + 120), (left + 260, top + 120)
    page.evaluate("() => onestroke.layers.panels.show('cutout')")
    panel = page.locator(".ol-panel:visible")
    assert panel.locator("details", has_text="not on this machine").count()
    page.mouse.click(*at(page, *red))
    panel.get_by_role("button", name="Drop").click()
    page.mouse.click(*at(page, *blue))
    page.wait_for_function("() => onestroke.layers.desk.shown !== onestroke.layers.desk.stack", timeout=FRAME_TIMEOUT_MS)
    page.wait_for_function("() => /Shown in/.test(document.querySelector('.os-layers').innerText)", timeout=FRAME_TIMEOUT_MS)
    assert alpha_at(page, *red) > 200 > 60 > alpha_at(page, *blue) and stack(page)["layers"][0]["picture"] == whole["picture"], "only a preview so far"
    panel.get_by_role("button", name="Cut out", exact=True).click()
    page.wait_for_function("() => onestroke.layers.desk.stack.layers[0].source?.task === 'cutout'", timeout=FRAME_TIMEOUT_MS)
    cut = stack(page)["layers"][0]
    assert cut["id"] == whole["id"] and cut["place"] == whole["place"] and len(cut["source"]["strokes"]) == 2
    assert alpha_at(page, *red) > 200 > 60 > alpha_at(page, *blue) and alpha_at(page, left + 8, top + 8) < 60
    page.evaluate("() => onestroke.layers.desk.undo()")
    assert stack(page)["layers"][0]["picture"] == whole["picture"] and page.evaluate("() => onestroke.layers.desk.shown === onestroke.layers.desk.stack")
