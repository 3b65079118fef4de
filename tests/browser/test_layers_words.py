"""The Text and Ad panels through a real browser: one page; what is typed is what the layers say."""
from __future__ import annotations

from tests.browser.layering import bring, disc, names, png, show_layers, stack
from tests.browser.page import FRAME_TIMEOUT_MS

COUNT_JS = "(n) => onestroke.layers.desk.stack.layers.length === n"


def test_words_are_added_changed_while_typing_and_laid_out_with_a_product(open_page):
    page = open_page()
    show_layers(page, 320, 320)
    page.click('[data-panel="text"]')
    text = "#ol-panel-text"
    page.fill(f"{text} textarea", "Good morning")
    page.select_option(f"{text} select", "anton")
    page.click(f"{text} .is-first")
    page.wait_for_function(COUNT_JS, arg=1, timeout=FRAME_TIMEOUT_MS)
    first, = stack(page)["layers"]
    assert first["text"]["words"] == "Good morning" and first["text"]["font"] == "anton" and first["place"]["x"] == 160

    page.wait_for_selector(f"{text} .is-first", state="hidden")                 # the new layer is chosen: fields change it now
    page.fill(f"{text} textarea", "Good evening")
    page.wait_for_function("(was) => onestroke.layers.desk.stack.layers[0].picture !== was", arg=first["picture"], timeout=FRAME_TIMEOUT_MS)
    changed, = stack(page)["layers"]
    assert changed["id"] == first["id"] and changed["text"]["words"] == changed["name"] == "Good evening"
    page.keyboard.press("Escape")
    page.evaluate("() => onestroke.layers.desk.undo?.()")

    page.evaluate("() => onestroke.layers.desk.select([])")
    bring(page, ("ball.png", png(disc(90, (200, 60, 60)))))
    page.click('[data-panel="advert"]')
    advert = "#ol-panel-advert"
    page.select_option(f"{advert} select[aria-label=Product]", label="ball")
    page.fill(f"{advert} textarea", "Roll on\nThe ball that comes back")
    page.evaluate("() => { document.querySelector('#ol-panel-advert input[aria-label=Proposals]').value = '2'; }")
    page.click(f"{advert} .is-first")
    page.wait_for_selector(f"{advert} .ol-shot:nth-child(2) canvas", timeout=2 * FRAME_TIMEOUT_MS)
    page.click(f"{advert} .ol-shot")
    page.wait_for_function("() => onestroke.layers.desk.stack.layers.some((l) => l.layers && l.name.startsWith('Ad'))", timeout=FRAME_TIMEOUT_MS)
    ad = next(node for node in stack(page)["layers"] if node.get("layers"))
    assert [node["text"]["words"] for node in ad["layers"] if node.get("text")] == ["Roll on", "The ball that comes back"]
    assert ad["layers"][0]["name"] == "Background" and "ball" in names(page)
