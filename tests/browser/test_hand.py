"""The canvas under a real pointer: tools, keys, pen and fingers, zoom, pictures from outside."""
from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.browser.page import CANVAS_JS, canvas, draw, session_of, settle


def test_server_and_page_agree_on_every_pixel(open_page, studio):
    page = open_page()
    page.locator(".os-hardness").fill("30")
    draw(page, [(0.1, 0.1), (0.9, 0.8), (0.3, 0.9)], 0.01)
    page.keyboard.press("f")
    page.locator('[data-ink="#2c8a7d"]').click()
    box = page.locator(".os-canvas").bounding_box()
    page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + 0.05 * box["height"])
    page.keyboard.press("Control+z")
    settle(page)
    png = base64.b64decode(page.evaluate(CANVAS_JS).partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert (session_of(studio, page).canvas == shown).all()


def test_fill_colours_a_closed_area_only(open_page):
    page = open_page()
    draw(page, [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3)])
    page.locator('[data-ink="#d24a31"]').click()
    page.keyboard.press("f")
    draw(page, [(0.5, 0.5)])
    assert page.evaluate("() => window.onestroke.live.paper.colorAt(256, 256)") == "#d24a31"
    assert page.evaluate("() => window.onestroke.live.paper.colorAt(20, 20)") == "#ffffff"


@pytest.mark.parametrize("key, tool", [("e", "eraser"), ("f", "fill"), ("i", "pick"), ("b", "brush")])
def test_keys_choose_tools(open_page, key, tool):
    page = open_page()
    page.locator(".os-paper").click()
    page.keyboard.press(key)
    assert page.locator(f'[data-tool="{tool}"][aria-pressed="true"]').count() == 1


def test_brackets_change_the_size_and_typing_is_left_alone(open_page):
    page = open_page()
    page.locator(".os-paper").click()
    size = int(page.locator(".os-size").input_value())
    page.keyboard.press("]")
    page.keyboard.press("]")
    page.keyboard.press("[")
    assert int(page.locator(".os-size").input_value()) == size + 3
    page.locator("#os-prompt textarea").press_sequentially("bef[]")
    assert page.locator("#os-prompt textarea").input_value().endswith("bef[]")
    assert page.locator('[data-tool="brush"][aria-pressed="true"]').count() == 1


def test_the_eraser_leaves_paper(open_page):
    page = open_page()
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    page.locator(".os-size").fill("80")
    page.keyboard.press("e")
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    assert page.evaluate("() => window.onestroke.live.paper.blank")


def png_header_of(side: int) -> bytes:
    """A PNG that says it is side x side pixels, and holds none."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data, says", [(b"\x89PNG\r\n\x1a\n broken", "cannot be read"), (png_header_of(30_000), "30,000 × 30,000 pixels")])
def test_an_unusable_picture_is_explained_and_changes_nothing(open_page, data, says):
    page = open_page()
    drawing = canvas(page)
    page.locator(".os-file").set_input_files({"name": "holiday.png", "mimeType": "image/png", "buffer": data})
    page.wait_for_selector(".os-notice.is-error")
    draw(page, [(0.1, 0.1), (0.1, 0.1)])
    settle(page)
    assert says in page.locator(".os-notice-text").inner_text()
    page.keyboard.press("Control+z")
    assert canvas(page) == drawing
    draw(page, [(0.5, 0.5), (0.6, 0.6)])
    settle(page)


def test_a_large_picture_is_scaled_onto_the_canvas(open_page, tmp_path):
    Image.new("RGB", (3000, 1500), (200, 30, 30)).save(tmp_path / "wide.jpg")
    page = open_page()
    page.locator(".os-file").set_input_files(tmp_path / "wide.jpg")
    page.wait_for_function("() => window.onestroke.live.paper.colorAt(256, 256) !== '#ffffff'")
    assert page.evaluate("() => window.onestroke.live.paper.colorAt(256, 20)") == "#ffffff"


def test_zoom_keeps_strokes_under_the_pointer(open_page):
    page = open_page()
    box = page.locator(".os-paper").bounding_box()
    x, y = box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    assert page.locator(".os-zoom").inner_text() != "100%"
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate("() => window.onestroke.live.paper.colorAt(128, 128)") != "#ffffff"
    page.get_by_role("button", name="Zoom").click()
    assert page.locator(".os-zoom").inner_text() == "100%"


def test_canvas_and_picture_need_no_scrolling(open_page):
    page = open_page()
    for part in (".os-paper", ".os-print", ".os-strip"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, part
    narrow = open_page()
    narrow.set_viewport_size({"width": 420, "height": 900})
    assert narrow.evaluate("() => document.documentElement.scrollWidth") <= 420


def test_a_pen_draws_wider_when_pressed(open_page):
    page = open_page()
    box, devtools = page.locator(".os-paper").bounding_box(), page.context.new_cdp_session(page)

    def touch(v: float, force: float) -> int:
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + v * box["height"],
              "pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
        devtools.send("Input.dispatchMouseEvent", {"type": "mousePressed", "force": force} | at)
        devtools.send("Input.dispatchMouseEvent", {"type": "mouseReleased"} | at)
        row = f"() => window.onestroke.live.paper.read([0, {int(v * 512)}, 512, 1]).data"
        return page.evaluate(f"() => ({row})().filter((value, i) => i % 4 === 0 && value < 128).length")

    assert touch(0.7, 0.9) > 2 * touch(0.3, 0.1) > 0


def test_two_fingers_zoom_and_leave_no_mark(open_page):
    page = open_page()
    box, devtools = page.locator(".os-paper").bounding_box(), page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, apart: float, count: int = 2) -> None:
        points = [{"x": x + side * apart, "y": y, "id": side + 1} for side in (-1, 1)[:count]]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 40, count=1)
    touch("touchStart", 40)
    for apart in (60, 90, 120):
        touch("touchMove", apart)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("() => window.onestroke.live.view.zoom > 1.5")
    assert page.evaluate("() => window.onestroke.live.paper.blank")
