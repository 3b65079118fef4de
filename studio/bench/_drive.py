"""The hand of the live bench: a real Chromium on the real page, run as its own process so that it takes no time from the server.

`python -m studio.bench._drive URL TAB DABS ROWS` draws in a tab with a live canvas (live, sketch) and prints JSON: [event time, number of the
message that carried it] of every pointer event, and [number of the newest message in it, time on screen] of every painted frame, in
milliseconds of the page's clock.
"""
from __future__ import annotations

import json
import sys
import time
from typing import Any

from models.errors import MissingWeights
from studio.chromium import ARGS, CURE, find_chromium

DAB_PAUSE_S = 0.25
ROW_MOVES, MOVES_HZ = 60, 60
READY = '#os-tab-{tab} .os-stage[data-state="ready"]'
WATCH_JS = """(tab) => {
  const live = window.onestroke[tab], paper = document.querySelector(`#os-tab-${tab} .os-paper`);
  window.drawn = live;
  window.seen = { events: [], frames: [], rows: [] };
  const note = (e) => { if (e.buttons) seen.events.push([e.timeStamp, live.wire.seq + (live.wire.box ? 1 : 0)]); };
  paper.addEventListener('pointerdown', note);
  paper.addEventListener('onpointerrawupdate' in window && isSecureContext ? 'pointerrawupdate' : 'pointermove', note);
  live.element.addEventListener('os-frame', ({ detail }) => {
    seen.frames.push([detail.header.seq, detail.painted]);
    if (detail.row) seen.rows.push(detail.row);
  });
}"""
TAKE_JS = "() => { const taken = window.seen; Object.assign(window.seen = { events: [], frames: [], rows: [] }); return taken; }"
IDLE_JS = "() => !window.drawn.wire.waiting"
PAPER = ".os-paper:visible"


def drive(url: str, tab: str, dabs: str, rows: str) -> dict[str, Any]:
    """{"dab": seen, "stroke": seen}; seen = {"events", "frames", "rows"}."""
    program = find_chromium()
    if program is None:
        raise MissingWeights("The live bench needs a browser.", CURE)
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.wait_for_selector(READY.format(tab="live"), timeout=120_000)
        page.get_by_role("tab", name=tab.title(), exact=True).click()
        page.wait_for_selector(READY.format(tab=tab), timeout=120_000)
        page.evaluate(WATCH_JS, tab)
        dab(page, 0.5, 0.02)
        page.wait_for_function(IDLE_JS, timeout=60_000)
        page.wait_for_timeout(1500)
        page.evaluate(TAKE_JS)
        out = {"dab": touches(page, int(dabs)), "stroke": strokes(page, int(rows))}
        browser.close()
    return out


def dab(page: Any, u: float, v: float) -> None:
    """One isolated touch at a place given as parts of the canvas's side."""
    page.mouse.move(*place(page, u, v))
    page.mouse.down()
    page.mouse.up()


def place(page: Any, u: float, v: float) -> tuple[float, float]:
    box = page.locator(PAPER).bounding_box()
    return box["x"] + u * box["width"], box["y"] + v * box["height"]


def touches(page: Any, count: int) -> dict[str, list]:
    for i in range(count):
        dab(page, 0.05 + 0.9 * (i % 10) / 10, 0.1 + 0.08 * (i // 10))
        page.wait_for_function(IDLE_JS, timeout=60_000)
        time.sleep(DAB_PAUSE_S + 0.013 * (i % 7))           # the pause varies, so that no dab keeps step with the screen
    return take(page)


def strokes(page: Any, rows: int) -> dict[str, list]:
    """Rows without pause; every move comes at its own time, late ones are not made up for."""
    step_s, due = 1 / MOVES_HZ, time.perf_counter()
    for row in range(rows):
        v = 0.4 + 0.5 * row / rows
        page.mouse.move(*place(page, 0.05, v))
        page.mouse.down()
        x0, y = place(page, 0.05, v)
        x1, _ = place(page, 0.95, v)
        for i in range(1, ROW_MOVES + 1):
            due = max(due + step_s, time.perf_counter() - step_s)
            time.sleep(max(0.0, due - time.perf_counter()))
            page.mouse.move(x0 + (x1 - x0) * i / ROW_MOVES, y)
        page.mouse.up()
    return take(page)


def take(page: Any) -> dict[str, list]:
    page.wait_for_function(IDLE_JS, timeout=60_000)
    page.wait_for_timeout(300)
    return page.evaluate(TAKE_JS)


if __name__ == "__main__":
    print(json.dumps(drive(*sys.argv[1:])))
