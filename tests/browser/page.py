"""What browser tests do to a page and ask of it."""
from __future__ import annotations

import hashlib
import time
from typing import Any

FRAME_TIMEOUT_MS = 30_000
PICTURE_JS = "() => document.querySelector('.os-picture').toDataURL()"
CANVAS_JS = "() => document.querySelector('.os-canvas').toDataURL()"


def draw(page: Any, points: list[tuple[float, float]], pause_s: float = 0.0) -> None:
    """A stroke through points given as parts of the canvas's side."""
    box = page.locator(".os-canvas").bounding_box()
    places = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
        time.sleep(pause_s)
    page.mouse.up()


def picture(page: Any) -> str:
    return hashlib.sha256(page.evaluate(PICTURE_JS).encode()).hexdigest()


def canvas(page: Any) -> str:
    return hashlib.sha256(page.evaluate(CANVAS_JS).encode()).hexdigest()


def settle(page: Any) -> None:
    """Wait until every input is answered and the refined frame has come."""
    page.wait_for_function("() => !window.onestroke.live.wire.waiting && window.onestroke.live.strip.newest?.settled", timeout=FRAME_TIMEOUT_MS)
    page.wait_for_timeout(100)


def changed(page: Any, since: str) -> None:
    """Wait until the picture is another than `since`."""
    end = time.monotonic() + FRAME_TIMEOUT_MS / 1000
    while picture(page) == since:
        assert time.monotonic() < end, "the picture did not change"
        page.wait_for_timeout(50)


def session_of(studio_app: Any, page: Any) -> Any:
    """The server's side of this page."""
    client = page.evaluate("() => window.onestroke.live.client")
    hub = next(closer.__self__ for closer in studio_app.ctx.closers)
    return next(s for s in hub.sessions if s.client == client)
