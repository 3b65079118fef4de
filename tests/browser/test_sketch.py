"""Strokes of the sketch tab under a real pointer: what they become on the server, undo, cuts, files out and in."""
from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.browser.page import FRAME_TIMEOUT_MS, session_of, settle
from tests.browser.sketching import STAGE, count, draw, inked, pixels, sketch

ANEW_JS = """() => { const { paper } = window.onestroke.sketch; const box = [0, 0, 512, 512]; paper.stale(box); paper.refresh(); }"""
MANY_JS = """(count) => {
  const strokes = Array.from({ length: count }, (_, i) => {
    const [x, y] = [(i * 37) % 500, (i * 91) % 500];
    return { ink: '#1d1b1a', points: [x, y, 2, x + 9, y + 4, 2, x + 3, y + 12, 2] };
  });
  window.onestroke.sketch.bring(strokes, false);
}"""


# ---- strokes

def test_strokes_reach_the_server_as_the_pixels_on_the_page(open_sketch, studio):
    page = open_sketch()
    draw(page, (0.2, 0.2), (0.8, 0.3), (0.4, 0.7))
    page.keyboard.press("b")
    draw(page, (0.1, 0.8), (0.9, 0.8))
    settle(page, "sketch")
    received = session_of(studio, page, "sketch").canvas
    assert (received == pixels(page)).all()
    assert inked(received[140:150]) > 0 and (received[409, 256] == (0x2F, 0x9E, 0x5B)).all()


def test_undo_and_redo_step_by_step_and_pixel_by_pixel(open_sketch):
    page = open_sketch()
    seen = [pixels(page)]
    for key, points in (("p", ((0.2, 0.2), (0.8, 0.6))), ("b", ((0.3, 0.8), (0.7, 0.5))), ("e", ((0.5, 0.1), (0.5, 0.9)))):
        page.keyboard.press(key)
        draw(page, *points)
        seen.append(pixels(page))
    for before in reversed(seen[:-1]):
        page.keyboard.press("Control+z")
        assert (pixels(page) == before).all()
    assert count(page) == 0 and page.get_by_role("button", name="Undo", exact=True).is_disabled()
    for after in seen[1:]:
        page.keyboard.press("Control+Shift+z")
        assert (pixels(page) == after).all()


def test_clearing_is_undone_like_anything_else(open_sketch):
    page = open_sketch()
    draw(page, (0.2, 0.2), (0.8, 0.6))
    drawn = pixels(page)
    page.get_by_role("button", name="Clear the drawing").click()
    assert count(page) == 0 and pixels(page).min() == 255
    page.get_by_role("button", name="Undo", exact=True).click()
    assert count(page) == 1 and (pixels(page) == drawn).all()


def test_painting_on_gives_the_same_pixels_as_painting_anew(open_sketch):
    page = open_sketch()
    for key in ("p", "b", "p"):
        page.keyboard.press(key)
        draw(page, (0.2, 0.3), (0.7, 0.35), (0.4, 0.75), (0.25, 0.2))
    painted = pixels(page)
    page.evaluate(ANEW_JS)
    assert inked(painted) > 500 and (pixels(page) == painted).all()


def test_the_eraser_cuts_a_stroke_in_two_in_one_step(open_sketch):
    page = open_sketch()
    draw(page, (0.1, 0.5), (0.9, 0.5))
    page.keyboard.press("e")
    draw(page, (0.5, 0.3), (0.5, 0.4), (0.5, 0.6), (0.5, 0.7))
    assert count(page) == 2
    after = pixels(page)
    assert inked(after[240:272, 248:264]) == 0 and inked(after[240:272, 60:240]) > 0 and inked(after[240:272, 270:450]) > 0
    page.keyboard.press("Control+z")
    assert count(page) == 1 and inked(pixels(page)[240:272, 248:264]) > 0


def test_broad_strokes_lie_under_lines_whatever_came_first(open_sketch):
    page = open_sketch()
    draw(page, (0.5, 0.2), (0.5, 0.8))
    page.keyboard.press("b")
    draw(page, (0.2, 0.5), (0.8, 0.5))
    assert pixels(page)[256, 256].max() < 64


def test_symmetry_doubles_and_quadruples_in_one_step(open_sketch):
    page = open_sketch()
    page.locator(f"{STAGE} .os-paper").hover()
    page.keyboard.press("m")
    draw(page, (0.1, 0.1), (0.3, 0.2))
    assert count(page) == 2
    shown = pixels(page)
    assert 0 < inked(shown[:, :256]) == pytest.approx(inked(shown[:, 256:]), rel=0.1)
    page.keyboard.press("m")
    draw(page, (0.1, 0.6), (0.2, 0.7))
    assert count(page) == 6
    page.keyboard.press("Control+z")
    assert count(page) == 2
    page.keyboard.press("m")
    draw(page, (0.1, 0.6), (0.2, 0.7))
    assert count(page) == 3


def test_a_pen_that_is_pressed_draws_wider(open_sketch):
    page = open_sketch()
    box, devtools = page.locator(f"{STAGE} .os-paper").bounding_box(), page.context.new_cdp_session(page)
    page.locator(f"{STAGE} .os-size").fill("10")
    for v, force in ((0.3, 0.1), (0.7, 0.9)):
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + v * box["height"], "pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
        devtools.send("Input.dispatchMouseEvent", {"type": "mousePressed", "force": force} | at)
        devtools.send("Input.dispatchMouseEvent", {"type": "mouseReleased"} | at)
    light, firm = sketch(page, "paper.strokes.list.map(({ points }) => points[2])")
    assert firm > 2 * light > 0


def test_strokes_off_the_canvas_and_dots_are_fine(open_sketch, studio):
    page = open_sketch()
    draw(page, (-0.05, 0.5), (0.5, -0.04), (1.5, 1.5), (3, 0.2))
    draw(page, (0.5, 0.5))
    assert count(page) <= 2 and inked(pixels(page)[250:262, 250:262]) > 0
    page.keyboard.press("e")
    draw(page, (0.9, 0.9), (2, 2), (0.5, 1.2))
    settle(page, "sketch")
    assert (session_of(studio, page, "sketch").canvas == pixels(page)).all()


def test_ten_thousand_strokes_are_never_painted_again_for_one_more(open_sketch, studio):
    page = open_sketch()
    page.evaluate(MANY_JS, 10_000)
    assert count(page) == 10_000 and page.locator(f"{STAGE} .os-stroke").count() < 60
    before = sketch(page, "paper.counts")
    draw(page, *((0.1 + 0.02 * i, 0.3 + 0.3 * (i % 2)) for i in range(40)))
    after = sketch(page, "paper.counts")
    assert count(page) == 10_001 and after == before
    page.keyboard.press("e")
    draw(page, *((0.4 + 0.002 * i, 0.5) for i in range(20)))
    pixels(page)
    assert 0 < sketch(page, "paper.counts.repaints") - before["repaints"] <= 22
    assert sketch(page, "paper.counts.strokes") - before["strokes"] < 22 * 10_000 / 20
    settle(page, "sketch")
    assert (session_of(studio, page, "sketch").canvas == pixels(page)).all()


WALK_JS = """async ({ seed, steps }) => {
  const { Strokes, makeStroke, pack, unpack } = await import(new URL('studio/sketch/page/strokes.js', document.baseURI));
  let state = seed;
  const dice = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state % n; };
  const strokes = new Strokes(), spot = () => [dice(560) - 24, dice(560) - 24];
  const told = () => JSON.stringify(strokes.list.map(({ ink, points }) => [ink, [...points]])), states = [told()];
  const line = () => makeStroke('#1d1b1a', Array.from({ length: 1 + dice(5) }, () => [...spot(), 1 + dice(30)]).flat());
  for (let i = 0; i < steps; i++) {
    const depth = strokes.past.length;
    const act = [() => strokes.add([line()]), () => strokes.add([line(), line()]), () => strokes.erase(spot(), spot(), 1 + dice(40)),
      () => strokes.remove(strokes.list[dice(strokes.list.length || 1)]?.id), () => dice(4) || strokes.clear(), () => strokes.replace([line(), line(), line()]),
      () => { strokes.begin(); strokes.erase(spot(), spot(), 20); strokes.erase(spot(), spot(), 20); strokes.close(); }][dice(7)];
    act();
    if (strokes.past.length > depth) states.push(told());
  }
  const back = [...states].reverse().slice(1).every((state) => strokes.undo() && told() === state), empty = !strokes.past.length;
  const forth = states.slice(1).every((state) => strokes.redo() && told() === state);
  const kept = JSON.stringify(unpack(pack(strokes.list)).map(({ ink, points }) => [ink, [...points]])) === told();
  return { back, empty, forth, kept, steps: states.length };
}"""
LEFT_JS = """async ({ seed, rounds }) => {
  const { cut } = await import(new URL('studio/sketch/page/geometry.js', document.baseURI));
  let state = seed, touched = 0, worst = 0, lost = 0;
  const dice = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32 * 512; };
  const far = (x, y, [ax, ay], [bx, by]) => {
    const t = Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 || 1)));
    return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
  };
  for (let i = 0; i < rounds; i++) {
    const [a, b, radius, width] = [[dice(), dice()], [dice(), dice()], 2 + dice() / 20, 1 + dice() / 40];
    const points = Array.from({ length: 6 }, () => [dice(), dice(), width]).flat(), pieces = cut(points, a, b, radius), reach = radius + width / 2;
    if (pieces) touched += 1;
    const along = (row, visit) => {
      const part = (k, t) => row[k - 3] + (row[k] - row[k - 3]) * t;
      for (let k = 3; k < row.length; k += 3) for (let t = 0; t <= 1; t += 0.02) visit(part(k, t), part(k + 1, t));
    };
    const left = [];
    for (const piece of pieces ?? [points]) along(piece, (x, y) => { left.push([x, y]); worst = Math.max(worst, reach - far(x, y, a, b)); });
    along(points, (x, y) => { if (far(x, y, a, b) > reach + 2 && !left.some(([u, v]) => Math.hypot(u - x, v - y) < 12)) lost += 1; });
  }
  return { touched, worst, lost };
}"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_is_done_is_undone_and_done_again(open_page, seed):
    walked = open_page().evaluate(WALK_JS, {"seed": seed, "steps": 300})
    assert walked.pop("steps") > 150 and walked == {"back": True, "empty": True, "forth": True, "kept": True}


def test_a_cut_leaves_nothing_under_the_eraser_and_takes_nothing_else(open_page):
    found = open_page().evaluate(LEFT_JS, {"seed": 5, "rounds": 400})
    assert 100 < found["touched"] < 400 and found["worst"] < 1e-3 and found["lost"] == 0


# ---- the list

def test_the_stroke_list_points_chooses_and_deletes(open_sketch):
    page = open_sketch()
    for v in (0.2, 0.5, 0.8):
        draw(page, (0.2, v), (0.8, v))
    page.get_by_role("button", name="Stroke 3, pen", exact=True).wait_for()
    page.get_by_role("button", name="Stroke 2, pen", exact=True).hover()
    assert "L" in page.locator(f"{STAGE} .os-mark-hover").get_attribute("d")
    page.get_by_role("button", name="Stroke 2, pen", exact=True).click()
    assert "L" in page.locator(f"{STAGE} .os-mark-chosen").get_attribute("d")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Stroke 1, pen"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Delete")
    assert count(page) == 2 and inked(pixels(page)[240:272]) == 0
    assert page.locator(f"{STAGE} .os-mark-chosen").get_attribute("d") == ""
    page.keyboard.press("Control+z")
    assert count(page) == 3 and inked(pixels(page)[240:272]) > 0


# ---- onion skin

def test_the_picture_shows_under_the_lines_as_strongly_as_asked(open_sketch):
    page = open_sketch()
    onion = page.locator(f"{STAGE} .os-onion")
    shown = "(canvas) => Number(getComputedStyle(canvas).opacity)"
    page.locator(f"{STAGE} .os-onion-size").fill("60")
    assert onion.evaluate(shown) == pytest.approx(0.6)
    assert onion.evaluate("(canvas) => new Set(canvas.getContext('2d').getImageData(0, 0, 512, 512).data).size") > 3
    page.locator(f"{STAGE} .os-paper").focus()
    page.keyboard.press("o")
    assert onion.evaluate(shown) == 0
    page.keyboard.press("o")
    assert onion.evaluate(shown) == pytest.approx(0.6)


# ---- out and in

def test_svg_holds_one_path_a_stroke_and_comes_back_the_same(open_sketch, tmp_path):
    page = open_sketch()
    draw(page, (0.2, 0.2), (0.8, 0.3))
    page.keyboard.press("b")
    draw(page, (0.2, 0.7), (0.8, 0.7))
    page.evaluate("() => window.onestroke.sketch.bring([{ ink: '#1d1b1a', points: [50, 50, 2, 90, 50, 8, 90, 90, 3] }], false)")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save SVG").click()
    waiting.value.save_as(tmp_path / "sketch.svg")
    root, drawn = ET.parse(tmp_path / "sketch.svg").getroot(), pixels(page)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and len(root.findall("{http://www.w3.org/2000/svg}path")) == 3
    page.get_by_role("button", name="Clear the drawing").click()
    page.locator(f"{STAGE} .os-tray-acts .os-file").set_input_files(tmp_path / "sketch.svg")
    page.wait_for_function("() => window.onestroke.sketch.paper.strokes.list.length === 3")
    assert sketch(page, "paper.strokes.list.map(({ ink }) => ink)") == ["#1d1b1a", "#2f9e5b", "#1d1b1a"]
    assert (np.abs(pixels(page).astype(int) - drawn).max(axis=-1) > 96).mean() < 0.002


def test_an_svg_of_another_program_is_read_as_shapes_only(open_sketch, tmp_path):
    (tmp_path / "other.svg").write_text("""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" onload="window.spoilt = 1">
      <script>window.spoilt = 1</script><g transform="translate(10 10)" stroke="red" fill="none"><circle cx="40" cy="40" r="20"/>
      <path d="M0 0h20 m20 0h20"/></g><foreignObject><img src="x" onerror="window.spoilt = 1"/></foreignObject></svg>""")
    page = open_sketch()
    page.locator(f"{STAGE} .os-tray-acts .os-file").set_input_files(tmp_path / "other.svg")
    page.wait_for_selector(".os-sketch .os-notice.is-done")
    assert count(page) == 3 and page.evaluate("() => window.spoilt") is None
    ys, xs = np.nonzero(pixels(page).min(axis=-1) < 128)
    assert xs.min() == pytest.approx(51, abs=4) and xs.max() == pytest.approx(70 * 5.12, abs=5) and ys.max() == pytest.approx(70 * 5.12, abs=5)


def test_a_picture_becomes_strokes_only_when_taken(open_sketch, tmp_path):
    image = Image.new("RGB", (600, 400), "white")
    ImageDraw.Draw(image).ellipse((150, 80, 450, 330), outline="black", width=6)
    image.save(tmp_path / "scan.png")
    page = open_sketch()
    draw(page, (0.1, 0.1), (0.2, 0.1))
    for button, more in (("Close", False), ("Add", True)):
        page.locator(f"{STAGE} .os-tray-acts .os-file").set_input_files(tmp_path / "scan.png")
        page.wait_for_selector(".os-import [value=add]:enabled", timeout=FRAME_TIMEOUT_MS)
        page.locator(".os-import").get_by_role("button", name=button, exact=True).click()
        page.wait_for_selector(".os-import", state="hidden")
        page.evaluate("() => new Promise((done) => setTimeout(done, 50))")       # the dialog says that it closed a moment after it did
        assert (count(page) > 1) is more
    ys, xs = np.nonzero(pixels(page)[80:].min(axis=-1) < 128)
    assert xs.min() == pytest.approx(150 * 512 / 600, abs=8) and xs.max() == pytest.approx(450 * 512 / 600, abs=8), "whole and centred"
    page.locator(f"{STAGE} .os-paper").focus()
    page.keyboard.press("Control+z")
    assert count(page) == 1


def test_a_damaged_picture_is_explained(open_sketch):
    page = open_sketch()
    page.locator(f"{STAGE} .os-tray-acts .os-file").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector(".os-sketch .os-notice.is-error")
    assert "cannot be read" in page.locator(".os-sketch .os-notice-text").inner_text() and not page.locator(".os-import").is_visible()
