"""The Strokes panel through a real browser: a drawing is watched while it grows, becomes a layer of paths, and is played."""
from __future__ import annotations

from tests.browser.layering import bring, disc, png, show_layers, stack
from tests.browser.page import FRAME_TIMEOUT_MS

PARTS_JS = """() => { window.seen = new Set(); const watch = document.querySelector('.ol-watch');
  new MutationObserver(() => window.seen.add(watch.src)).observe(watch, { attributes: true, attributeFilter: ['src'] }); }"""


def test_a_drawing_is_watched_kept_and_played(open_page):
    page = open_page()
    show_layers(page)
    bring(page, ("Blue.png", png(disc(80, (40, 60, 200)))))
    page.get_by_role("tab", name="Strokes").click()
    page.get_by_text("In the manner of “Blue”").wait_for()
    page.get_by_label("In the manner of “Blue”").check()
    for name, value in (("Strokes", "16"), ("Patience", "20")):
        page.get_by_role("slider", name=name).fill(value)
    page.evaluate(PARTS_JS)
    page.get_by_label("Words of the drawing").fill("a house")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.wait_for_function("() => onestroke.layers.desk.stack.layers.length === 2", timeout=4 * FRAME_TIMEOUT_MS)
    drawn = stack(page)["layers"][1]
    assert drawn["svg"].count("<path") == 16 and drawn["source"]["task"] == "strokes" and drawn["source"]["asked"]["words"] == "a house"
    assert page.evaluate("() => window.seen.size") >= 3 and page.locator(".ol-watch").is_visible()
    assert page.evaluate("async () => { const watch = document.querySelector('.ol-watch'); await watch.decode(); return watch.naturalWidth; }") > 0

    page.evaluate("() => window.seen.clear()")
    page.get_by_role("button", name="Play the chosen drawing").click()
    page.wait_for_function("() => [...window.seen].some((src) => (decodeURIComponent(src).match(/<path/g) ?? []).length === 16)", timeout=FRAME_TIMEOUT_MS)
    counts = page.evaluate("() => [...window.seen].map((src) => (decodeURIComponent(src).match(/<path/g) ?? []).length)")
    assert counts == sorted(counts) and counts[-1] == 16
