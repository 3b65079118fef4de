"""The Outpaint tab through a real browser: sides dragged outwards, places filled in, history with branches, comparing, saving, sending."""
from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.browser.benching import LONG_MS, at, bring, drag, gradient, pixels, png, said, saved, show, step, steps

SIDES_JS = "() => onestroke.outpaint.bench.draft('sides')?.sides ?? null"


@pytest.fixture(autouse=True)
def without_shipped(studio, monkeypatch):
    """The shipped adapter fits the tiny base by name only."""
    monkeypatch.delitem(studio.ctx.engine.catalog._adapters, "outpaint", raising=False)


@pytest.fixture
def page(open_page):
    """The tab with a picture of 64 x 64 px in a new document, Extend open."""
    page = open_page()
    show(page)
    bring(page, gradient())
    panel(page, "Extend")
    return page


def panel(page, title):
    page.locator("#os-outpaint").get_by_role("tab", name=title, exact=True).click()


def press(page, name, exact=True):
    page.locator("#os-outpaint").get_by_role("button", name=name, exact=exact).locator("visible=true").first.click()


def test_sides_are_dragged_typed_and_set_by_ratio_and_the_picture_goes_on(page):
    drag(page, (64, 32), (96, 32))
    assert page.evaluate(SIDES_JS) == {"top": 0, "right": 32, "bottom": 0, "left": 0}
    drag(page, (0, 32), (-16, 32), "Alt")                                    # both sides
    assert page.evaluate(SIDES_JS) == {"top": 0, "right": 48, "bottom": 0, "left": 16}
    page.get_by_label("Top margin, px").fill("8")
    assert page.evaluate(SIDES_JS)["top"] == 8 and "128 × 72 px, 2.25 times" in page.locator("#os-outpaint .ol-panel:not([hidden])").inner_text()
    press(page, "16:9")
    ratio = page.evaluate(SIDES_JS)
    assert (64 + ratio["left"] + ratio["right"]) / 64 == pytest.approx(16 / 9, abs=0.02) and abs(ratio["left"] - ratio["right"]) <= 1
    press(page, "Reset")
    assert page.evaluate(SIDES_JS) is None
    page.get_by_label("Right margin, px").fill("32")
    page.evaluate("""() => { const seam = document.querySelector('#os-outpaint .ol-panel:not([hidden]) input[aria-label=Seam]');
      seam.value = 0; seam.dispatchEvent(new Event('input')); }""")
    press(page, "Extend")
    steps(page, 2)
    whole = pixels(page)
    assert whole.shape == (64, 96, 4) and np.array_equal(whole[:, :64, :3], gradient())
    assert step(page)["asked"]["task"] == "extend" and step(page)["before"] == [0, 0, 64, 64] and page.get_by_label("Right margin, px").input_value() == "0"


def test_history_goes_back_branches_and_is_there_after_a_reload(page):
    for right in (16, 24):
        page.get_by_label("Right margin, px").fill(str(right))
        press(page, "Extend")
        steps(page, 2 if right == 16 else 3)
    widths = [64, 80, 104]
    page.locator("#os-outpaint .ow-stage").focus()
    page.keyboard.press("Control+z")
    assert step(page)["width"] == widths[1]
    page.keyboard.press("Control+z")
    assert step(page)["width"] == 64
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+z")
    page.get_by_label("Left margin, px").fill("8")
    press(page, "Extend")                                                    # a branch: what was undone stays
    steps(page, 4)
    cards = page.locator("#os-outpaint .ow-step")
    assert cards.count() == 4 and page.locator("#os-outpaint .ow-step.is-off").count() == 2
    cards.nth(2).click()
    assert step(page)["width"] == 104
    page.get_by_label("Top margin, px").fill("16")
    saved(page)
    before = page.evaluate("() => onestroke.outpaint.bench.history")
    page.reload()
    page.wait_for_selector('.os-stage[data-state="ready"]', timeout=LONG_MS)
    page.get_by_role("tab", name="Outpaint", exact=True).click()
    page.wait_for_selector('#os-outpaint .os-work[data-state="ready"]', timeout=LONG_MS)
    assert page.evaluate("() => onestroke.outpaint.bench.history") == before and page.get_by_label("Top margin, px").input_value() == "16"


def test_marks_are_drawn_taken_away_undone_and_filled_in(page):
    panel(page, "Inside")
    share = lambda: page.evaluate("() => onestroke.outpaint.bench.masking.share")
    page.keyboard.press("r")
    drag(page, (8, 8), (40, 40))
    page.wait_for_function("() => onestroke.outpaint.bench.masking.ops.length === 1")
    assert share() == pytest.approx(32 * 32 / 64 ** 2, abs=0.02)
    drag(page, (24, 20), (60, 60), "Alt")
    page.wait_for_function("() => onestroke.outpaint.bench.masking.ops.length === 2")
    assert share() == pytest.approx((32 * 32 - 16 * 20) / 64 ** 2, abs=0.02)
    page.get_by_label("Undo the last mark").click()
    page.get_by_label("Invert the mask").click()
    page.wait_for_function("() => onestroke.outpaint.bench.masking.share > 0.7")
    page.get_by_label("Clear the mask").click()
    page.wait_for_function("() => onestroke.outpaint.bench.masking.share === 0")
    page.keyboard.press("c")
    page.mouse.click(*at(page, 10, 10))
    page.wait_for_function("() => onestroke.outpaint.bench.masking.share > 0", timeout=LONG_MS)
    page.get_by_label("Clear the mask").click()
    page.keyboard.press("l")
    page.mouse.move(*at(page, 10, 10))
    page.mouse.down()
    for point in ((50, 10), (50, 50), (10, 50), (10, 12)):
        page.mouse.move(*at(page, *point))
    page.mouse.up()
    page.wait_for_function("() => onestroke.outpaint.bench.masking.share > 0.3")
    press(page, "Fill in")
    steps(page, 2)
    whole, marked = pixels(page), np.zeros((64, 64), bool)
    marked[8:53, 8:53] = True
    assert np.array_equal(whole[~marked][:, :3], gradient()[~marked]) and not np.array_equal(whole[..., :3], gradient())
    page.wait_for_function("() => onestroke.outpaint.bench.masking.share === 0")


def test_one_of_several_is_picked_and_compared_with_what_was_before(page):
    for side, px in (("Left", 24), ("Right", 24)):
        page.get_by_label(f"{side} margin, px").fill(str(px))
    page.locator("#os-outpaint .ol-panel:not([hidden])").get_by_label("Alternatives").fill("2")
    press(page, "Extend")
    steps(page, 2)
    shots = page.locator("#os-outpaint .op-others .ol-shot")
    assert shots.count() == 2
    first = step(page)["picture"]
    press(page, "Place 2")                                                   # the right side alone from the other one
    shots.nth(1).click()
    page.wait_for_function("(id) => onestroke.outpaint.bench.step.picture !== id", arg=first, timeout=LONG_MS)
    others = [one["picture"] for one in step(page)["more"]["others"]]
    mixed = pixels(page)
    get = lambda id: page.evaluate("(id) => { const { bench } = onestroke.outpaint; bench.amend(bench.step.id, { picture: id }); }", id)
    get(others[0])
    left = pixels(page)
    get(others[1])
    right = pixels(page)
    assert np.array_equal(mixed[:, :88], left[:, :88]) and np.array_equal(mixed[:, 88:], right[:, 88:])
    page.locator("#os-outpaint .ow-stage").focus()
    page.keyboard.press("\\")
    bar = page.locator("#os-outpaint .ow-bar-swipe")
    assert bar.is_visible()
    bar.focus()
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('#os-outpaint .ow-bar-swipe').getAttribute('aria-valuenow') === '100'")
    page.keyboard.press("Escape")
    assert not bar.is_visible()


def test_what_cannot_be_done_is_said(page, tmp_path):
    page.get_by_label("Right margin, px").fill("8190")
    press(page, "Extend")
    page.wait_for_selector("#os-outpaint .ow-notice.is-error:not([hidden])", timeout=LONG_MS)
    assert "larger than" in said(page) and page.evaluate("() => onestroke.outpaint.bench.history.steps.length") == 1
    bring(page, np.zeros((1, 1, 3), np.uint8), "dot.png")
    page.get_by_label("Right margin, px").fill("8")
    press(page, "Extend")
    page.wait_for_function("() => document.querySelector('#os-outpaint .ol-notice-text').textContent.includes('1x1')", timeout=LONG_MS)
    page.set_input_files("#os-outpaint .ow-file", [{"name": "no.png", "mimeType": "image/png", "buffer": b"not a picture"}])
    page.wait_for_function("() => document.querySelector('#os-outpaint .ol-notice-text').textContent.includes('not a picture')", timeout=LONG_MS)
    frames = [Image.fromarray(gradient()), Image.fromarray(255 - gradient())]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    bring(page, moving.getvalue(), "moving.gif")
    assert "animated" in said(page)


def test_loops_tiles_and_enlarging_make_steps(page):
    panel(page, "Panorama")
    press(page, "Make a loop")
    steps(page, 2)
    assert page.locator(".op-round").is_visible() and step(page)["width"] == 128
    page.keyboard.press("Escape")
    assert page.locator(".op-round").count() == 0
    panel(page, "Endless")
    press(page, "Go on to the right")
    steps(page, 3)
    assert step(page)["width"] > 128 and step(page)["title"] == "On to the right"
    page.evaluate("() => { onestroke.outpaint.bench.undo(); onestroke.outpaint.bench.undo(); }")
    panel(page, "Upscale")
    page.locator("#os-outpaint .ol-panel:not([hidden]) select").select_option("lanczos")
    press(page, "×2")
    page.wait_for_function("() => document.querySelector('#os-outpaint .ol-panel:not([hidden])').textContent.includes('of memory')", timeout=LONG_MS)
    press(page, "Upscale")
    steps(page, 4)
    assert step(page)["width"] == 128 and page.locator("#os-outpaint .ow-bar-swipe").is_visible()


def test_a_picture_is_saved_kept_and_sent_with_how_it_was_made(page, studio):
    page.get_by_label("Right margin, px").fill("16")
    press(page, "Extend")
    steps(page, 2)
    press(page, "Download")
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG, says how it was made").click()
    with Image.open(download.value.path()) as image:
        assert image.size == (80, 64) and [one["title"] for one in json.loads(image.text["onestroke-steps"])][0] == "start"
    press(page, "Send to")
    page.get_by_role("button", name="Keep in the library").click()
    page.wait_for_function("() => document.querySelector('#os-outpaint .ol-notice-text').textContent.includes('Kept')", timeout=LONG_MS)
    press(page, "Send to")
    page.locator("#os-outpaint .ow-menu:not([hidden])").get_by_role("button", name="Layers", exact=True).click()
    page.wait_for_selector('.os-layers[data-state="ready"]', timeout=LONG_MS)
    page.wait_for_function("() => onestroke.layers.desk?.stack.layers.length", timeout=LONG_MS)
    assert page.evaluate("() => onestroke.layers.desk.stack.layers.at(-1).place.width") == 80


def test_a_cut_out_is_put_into_places_and_does_not_change(page):
    bring(page, gradient(alpha=True), "ball.png")
    panel(page, "Place")
    page.wait_for_selector("#os-outpaint .op-place", timeout=LONG_MS)
    for number, place in enumerate(page.locator("#os-outpaint .op-place").all()):
        if number:
            place.get_by_label("Keep this one while others are rolled").click()
    press(page, "Imagine places")
    page.wait_for_selector("#os-outpaint .op-place img[src]", timeout=2 * LONG_MS)
    page.locator("#os-outpaint .op-place .ol-shot").first.click()
    page.locator("#os-outpaint .op-place").first.get_by_label("Take this one").click()
    steps(page, 2)
    x, y, width, height = (int(v) for v in step(page)["before"])
    solid = gradient(alpha=True)[..., 3] == 255
    assert np.array_equal(pixels(page)[y:y + height, x:x + width, :3][solid], gradient(alpha=True)[solid][:, :3])


def test_a_phone_shows_all_of_it(chromium, studio):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(studio.url)
    page.wait_for_selector('.os-stage[data-state="ready"]', timeout=LONG_MS)
    tab = page.get_by_role("tab", name="Outpaint", exact=True)
    if not tab.is_visible():                                                 # it waits behind the dots
        page.locator("#os-tabs .overflow-menu > button").first.click()
        tab = page.locator("#os-tabs .overflow-dropdown button", has_text="Outpaint")
    tab.click()
    page.wait_for_selector('#os-outpaint .os-work[data-state="ready"]', timeout=LONG_MS)
    bring(page, png(gradient()))
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    box = page.locator("#os-outpaint .ow-stage").bounding_box()
    assert box["width"] > 340 and box["height"] > 200
    context.close()
