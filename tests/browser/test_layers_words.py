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
    page.click(f"{advert} .ol-chips button[data-id=banner]")
    page.click(f"{advert} .is-first")
    page.wait_for_selector(f"{advert} .ol-shot:nth-child(2) canvas", timeout=2 * FRAME_TIMEOUT_MS)
    page.click(f"{advert} .ol-shot")
    page.wait_for_function("() => onestroke.layers.desk.stack.layers.some((l) => l.layers && l.name.startsWith('Ad'))", timeout=FRAME_TIMEOUT_MS)
    ad = next(node for node in stack(page)["layers"] if node.get("layers"))
    assert [node["text"]["words"] for node in ad["layers"] if node.get("text")] == ["Roll on", "The ball that comes back"]
    assert ad["layers"][0]["name"] == "Background" and "ball" in names(page)
    ball = next(node for node in stack(page)["layers"] if node["name"] == "ball")
    assert stack(page)["extent"] == {"width": 1200, "height": 628} and not ball["visible"]

    page.evaluate("() => onestroke.layers.desk.undo()")                         # size, layers and the hidden product are one step
    before = stack(page)
    assert before["extent"] == {"width": 320, "height": 320}
    assert not any(node.get("layers") for node in before["layers"]) and all(node["visible"] for node in before["layers"])


RED_JS = """() => { const { over } = onestroke.layers.desk.view, { data } = over.getImageData(0, 0, over.canvas.width, over.canvas.height); let n = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] > 180 && data[i + 1] < 90 && data[i + 2] < 90 && data[i + 3] > 120) n += 1; return n; }"""


def test_misread_words_are_outlined_in_red_until_the_document_changes(open_page):
    page = open_page()
    show_layers(page, 320, 320)
    page.click('[data-panel="text"]')
    text = "#ol-panel-text"
    page.fill(f"{text} textarea", "Open today")
    page.click(f"{text} .is-first")
    page.wait_for_function(COUNT_JS, arg=1, timeout=FRAME_TIMEOUT_MS)
    page.evaluate("() => onestroke.layers.desk.select([])")
    assert page.is_enabled(f"{text} button:has-text('Proofread the canvas')")
    page.evaluate("""() => { const { desk } = onestroke.layers, layer = desk.stack.layers[0].id;
      desk.mark([{ words: 'today', said: 'tocay', box: [150, 140, 250, 180], layer }]); }""")
    page.wait_for_function(f"() => ({RED_JS})() > 100", timeout=FRAME_TIMEOUT_MS)
    row = page.locator(f"{text} .ol-misread li")
    assert row.inner_text().replace("\n", " ") == "today read as “tocay”"
    row.locator("button").click()
    assert page.evaluate("() => onestroke.layers.desk.selection.length") == 1
    page.evaluate("""() => { const { desk } = onestroke.layers;
      desk.change('Hide', (stack) => ({ ...stack, layers: stack.layers.map((l) => ({ ...l, visible: false })) })); desk.select([]); }""")
    page.wait_for_function(f"() => ({RED_JS})() === 0", timeout=FRAME_TIMEOUT_MS)
    assert not page.is_visible(f"{text} .ol-misread")


def test_both_lands_where_the_selection_is(open_page):
    page = open_page()
    show_layers(page, 320, 320)
    bring(page, ("ball.png", png(disc(60, (200, 60, 60)))))
    page.evaluate("""() => { const { desk } = onestroke.layers;
      desk.change('Move', (stack) => ({ ...stack, layers: stack.layers.map((l) => ({ ...l, place: { ...l.place, x: 270, y: 60 } })) }));
      desk.select([desk.stack.layers[0].id]); }""")
    page.click('[data-panel="make"]')
    make = "#ol-panel-make"
    page.click(f"{make} .ol-chips button[data-id=both]")
    page.fill(f"{make} textarea", "a red apple")
    page.fill(f"{make} input[aria-label=Place]", "on a beach")
    page.click(f"{make} .is-first")
    page.wait_for_function(COUNT_JS, arg=3, timeout=2 * FRAME_TIMEOUT_MS)
    thing = next(node for node in stack(page)["layers"] if node["name"] == "A red apple")
    assert thing["place"]["x"] > 200 and thing["place"]["y"] < 130, "in the corner where the ball lies, not in the middle"
