"""What browser tests do to a page and ask of it."""
from __future__ import annotations

import hashlib
import time
from typing import Any

from studio.live.hub import Hub

FRAME_TIMEOUT_MS = 30_000
PICTURE_JS = "() => document.querySelector('.os-picture').toDataURL()"
CANVAS_JS = "() => document.querySelector('.os-canvas').toDataURL()"


def draw(page: Any, points: list[tuple[float, float]], pause_s: float = 0.0, stage: str = "") -> None:
    """A stroke through points given as parts of the canvas's side. `stage`: the selector of the tab's stage, needed once there are two."""
    box = page.locator(f"{stage} .os-canvas").bounding_box()
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


def settle(page: Any, tab: str = "live") -> None:
    """Wait until every input is answered and the refined frame has come."""
    page.wait_for_function(f"() => !window.onestroke.{tab}.wire.waiting && window.onestroke.{tab}.strip.newest?.settled", timeout=FRAME_TIMEOUT_MS)
    page.wait_for_timeout(100)


def changed(page: Any, since: str) -> None:
    """Wait until the picture is another than `since`."""
    end = time.monotonic() + FRAME_TIMEOUT_MS / 1000
    while picture(page) == since:
        assert time.monotonic() < end, "the picture did not change"
        page.wait_for_timeout(50)


def session_of(studio_app: Any, page: Any, tab: str = "live") -> Any:
    """The server's side of a tab of this page."""
    client = page.evaluate(f"() => window.onestroke.{tab}.client")
    hubs = [closer.__self__ for closer in studio_app.ctx.closers if isinstance(getattr(closer, "__self__", None), Hub)]
    return next(s for hub in hubs for s in hub.sessions if s.client == client and s.surface.name == tab)
