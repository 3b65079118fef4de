"""The sketch tab's modes, objects and reference, what a reload keeps, and the page itself."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.browser.page import FRAME_TIMEOUT_MS, session_of, settle
from tests.browser.sketching import STAGE, count, draw, pixels, show_sketch, sketch


# ---- modes, objects, reference

def test_objects_and_their_words_reach_the_server(open_sketch, studio):
    page = open_sketch()
    page.get_by_role("button", name="Scene", exact=True).click()
    assert not page.get_by_role("button", name="Block brush").is_visible()
    page.locator(".os-object-words").fill("a red barn")
    page.get_by_role("button", name="Add an object").click()
    page.locator(".os-object-words").nth(1).fill("a tree")
    draw(page, (0.2, 0.2), (0.8, 0.2))
    settle(page, "sketch")
    session = session_of(studio, page, "sketch")
    assert session.controls.mode == "scene"
    assert [(o.ink, o.words) for o in session.controls.objects] == [("#d24a31", "a red barn"), ("#3557b7", "a tree")]
    assert (session.canvas[102, 256] == (0x35, 0x57, 0xB7)).all()
    seed = session.controls.objects[1].seed
    page.get_by_role("button", name="Another seed").nth(1).click()
    settle(page, "sketch")
    assert session.controls.objects[1].seed != seed
    page.get_by_role("button", name="Forget this object").nth(0).click()
    settle(page, "sketch")
    assert [o.words for o in session.controls.objects] == ["a tree"]


def test_the_reference_reaches_the_server_and_can_be_taken_away(open_sketch, studio, tmp_path):
    Image.new("RGB", (1000, 500), (200, 30, 30)).save(tmp_path / "look.png")
    page = open_sketch()
    page.locator(".os-ref input").set_input_files(tmp_path / "look.png")
    page.wait_for_selector(".os-ref.is-full")
    settle(page, "sketch")
    session = session_of(studio, page, "sketch")
    reference = session.reference.array
    assert reference.shape[:2] == (256, 512) and (reference[100, 100, :3] == (200, 30, 30)).all()
    page.get_by_role("button", name="Take away").click()
    settle(page, "sketch")
    assert session.reference is None


def test_a_reload_loses_nothing(open_sketch, studio, tmp_path):
    Image.new("RGB", (300, 300), (30, 30, 200)).save(tmp_path / "look.png")
    page = open_sketch()
    page.get_by_role("button", name="Scene", exact=True).click()
    page.locator(".os-object-words").fill("a kite")
    page.locator(".os-ref input").set_input_files(tmp_path / "look.png")
    page.locator(f"{STAGE} .os-paper").hover()
    page.locator(f"{STAGE} .os-onion-size").fill("70")
    page.get_by_role("button", name="Symmetry off").click()
    draw(page, (0.2, 0.2), (0.4, 0.6))
    settle(page, "sketch")
    page.wait_for_timeout(500)
    drawn, frame = pixels(page), sketch(page, "strip.newest.id")
    page.reload()
    show_sketch(page)
    settle(page, "sketch")
    session = session_of(studio, page, "sketch")
    assert count(page) == 2 and (pixels(page) == drawn).all() and (session.canvas == drawn).all()
    assert page.locator(".os-object-words").input_value() == "a kite" and session.controls.objects[0].words == "a kite"
    assert page.locator(STAGE).get_attribute("data-mode") == "scene" == session.controls.mode
    assert page.locator(f"{STAGE} .os-onion-size").input_value() == "70" and sketch(page, "paper.symmetry") == "mirror"
    assert session.reference is not None and page.locator(".os-ref.is-full").count() == 1
    page.locator(f"{STAGE} [data-do=clear]").click()
    settle(page, "sketch")
    page.locator(f'{STAGE} .os-shot[data-id="{frame}"] .os-thumb').click()
    page.locator(f"{STAGE} [data-do=restore]").click()
    page.wait_for_function("() => document.querySelector('.os-sketch .os-notice-text').textContent.startsWith('Back at')")
    assert count(page) == 2 and (pixels(page) == drawn).all(), "the strokes of a frame of before the reload come back"


def test_a_found_picture_becomes_the_reference(open_sketch, studio):
    page = open_sketch()
    page.get_by_role("button", name="Find by sketch").click()
    assert "Draw something first" in page.locator(f"{STAGE} .os-notice-text").inner_text() and not page.locator(".os-find").is_visible()
    draw(page, (0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3))
    settle(page, "sketch")
    picture = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(picture).rectangle((77, 77, 179, 179), fill=(210, 60, 40), outline=(40, 20, 10), width=3)
    studio.ctx.library.keep(np.asarray(picture), session_of(studio, page, "sketch").strip.frames[-1].job)
    page.get_by_role("button", name="Find by sketch").click()
    page.wait_for_function("() => document.querySelector('.os-find-note').textContent !== 'Looking …'", timeout=FRAME_TIMEOUT_MS)
    mine = page.locator('.os-hit[title*="your library"]')
    assert mine.count(), page.locator(".os-find-note").inner_text()
    mine.first.click()
    page.wait_for_selector(".os-ref.is-full", timeout=60_000)
    settle(page, "sketch")
    assert session_of(studio, page, "sketch").reference is not None
    assert page.locator('.os-hit[aria-pressed="true"]').count() == 1
    page.keyboard.press("Escape")
    assert not page.locator(".os-find").is_visible()


def test_a_picture_is_pasted_onto_the_reference_or_turned_into_lines(open_sketch):
    page = open_sketch()
    paste = """(target) => {
      const canvas = new OffscreenCanvas(40, 40), ink = canvas.getContext('2d');
      ink.fillRect(5, 5, 20, 20);
      return canvas.convertToBlob().then((blob) => {
        const data = new DataTransfer();
        data.items.add(new File([blob], 'pasted.png', { type: 'image/png' }));
        target.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
      });
    }"""
    page.locator(".os-ref-slot").evaluate(paste)
    page.wait_for_selector(".os-ref.is-full")
    assert not page.locator(".os-import").is_visible()
    page.locator(f"{STAGE} .os-paper").evaluate(paste)
    page.wait_for_selector(".os-import", state="visible")
    page.keyboard.press("Escape")
    assert count(page) == 0


def test_restoring_a_frame_brings_back_its_strokes(open_sketch):
    page = open_sketch()
    draw(page, (0.2, 0.2), (0.6, 0.4))
    settle(page, "sketch")
    drawn, frame = pixels(page), sketch(page, "strip.newest.id")
    page.get_by_role("button", name="Clear the drawing").click()
    draw(page, (0.1, 0.9), (0.9, 0.9))
    settle(page, "sketch")
    page.locator(f'{STAGE} .os-shot[data-id="{frame}"] .os-thumb').click()
    page.get_by_role("button", name="Restore").click()
    page.wait_for_selector(".os-sketch .os-notice.is-done", timeout=FRAME_TIMEOUT_MS)
    assert count(page) == 1 and (pixels(page) == drawn).all()


# ---- the page

@pytest.mark.parametrize("key, tool", [("b", "block"), ("e", "eraser"), ("p", "pen")])
def test_keys_choose_tools_that_keep_their_sizes(open_sketch, key, tool):
    page = open_sketch()
    page.locator(f"{STAGE} .os-paper").focus()
    page.keyboard.press(key)
    size = int(page.locator(f"{STAGE} .os-size").input_value())
    page.keyboard.press("]")
    larger = int(page.locator(f"{STAGE} .os-size").input_value())
    page.keyboard.press("e" if tool != "eraser" else "p")
    page.keyboard.press(key)
    assert page.locator(f'{STAGE} [data-tool="{tool}"][aria-pressed="true"]').count() == 1
    assert int(page.locator(f"{STAGE} .os-size").input_value()) == larger > size


@pytest.mark.parametrize("mode", ["Sketch", "Colour", "Scene"])
@pytest.mark.parametrize("width, height", [(1440, 900), (1024, 768)])
def test_nothing_overlaps(open_sketch, width, height, mode):
    page = open_sketch()
    page.set_viewport_size({"width": width, "height": height})
    page.get_by_role("button", name=mode, exact=True).click()
    parts = [".os-pane-draw .os-head", ".os-rail", ".os-paper", ".os-under", ".os-print", ".os-acts", ".os-ref", ".os-tray-acts", ".os-film"]
    boxes = {part: page.locator(f"{STAGE} {part}").bounding_box() for part in parts}
    if mode == "Scene":
        boxes[".os-objects"] = page.locator(".os-objects").bounding_box()
    for one, a in boxes.items():
        for two, b in boxes.items():
            apart = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
            apart |= a["y"] + a["height"] <= b["y"] + 1 or b["y"] + b["height"] <= a["y"] + 1
            assert one == two or apart, (one, two)
    assert max(box["y"] + box["height"] for box in boxes.values()) <= height
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_a_narrow_window_needs_no_sideways_scrolling(open_sketch):
    page = open_sketch()
    page.set_viewport_size({"width": 420, "height": 900})
    for mode in ("Colour", "Scene", "Sketch"):
        page.get_by_role("button", name=mode, exact=True).click()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 420


def test_every_control_has_a_name(open_sketch):
    page = open_sketch()
    page.get_by_role("button", name="Scene", exact=True).click()
    draw(page, (0.2, 0.2), (0.4, 0.4))
    nameless = page.locator(STAGE).evaluate("""(stage) => [...stage.querySelectorAll('button, input:not([hidden]), select')]
      .filter((el) => !(el.getAttribute('aria-label') || el.textContent.trim() || el.title)).map((el) => el.outerHTML)""")
    assert nameless == []


def test_keys_are_left_to_the_tab_that_is_open(open_sketch):
    page = open_sketch()
    page.get_by_role("tab", name="Live").click()
    page.locator("#os-live .os-paper").click()
    page.keyboard.press("e")
    page.keyboard.press("m")
    assert sketch(page, "hand.tool") == "pen" and sketch(page, "paper.symmetry") == "off" and count(page) == 0


def test_a_tab_nobody_opened_asks_the_server_for_nothing(open_page, studio):
    page = open_page()
    assert page.evaluate("() => window.onestroke.sketch?.wire.socket ?? null") is None
