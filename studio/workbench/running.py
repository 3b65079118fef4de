"""Running a task for a page that waits: progress, parts and the outcome become lines of JSON. Closing the request cancels the task."""
from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from models.errors import Cancelled, InUse, StudioError
from studio.workbench.asking import Cancel, Progress

MAX_TASKS = 4
LOOK_S = 0.5                                         # between two looks whether the page is still there
SPARSE_S = 0.08                                      # between two lines of progress
log = logging.getLogger(__name__)
Tell = Callable[[dict[str, Any] | None], None]


@dataclass(frozen=True)
class Line:
    """How a task talks to its page while it runs. `part`: JSON that the page gets at once."""
    progress: Progress
    cancelled: Cancel
    part: Callable[[dict[str, Any]], None]


Work = Callable[[Line], dict[str, Any]]


class Runner:
    """At most MAX_TASKS at a time; who comes after that is told so."""

    def __init__(self, name: str) -> None:
        self._workers = ThreadPoolExecutor(MAX_TASKS, f"{name}-task")
        self._running: set[threading.Event] = set()

    def close(self) -> None:
        for gone in [*self._running]:
            gone.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def stream(self, request: Request, work: Work) -> AsyncIterator[bytes]:
        """{"progress": [done, total, what]} and {"part": ...} lines, then {"outcome": ...} or {"error": sentence}. Raises InUse when too
        many run."""
        if len(self._running) >= MAX_TASKS:
            raise InUse(f"{MAX_TASKS} things are being made already.", "Wait for one of them, or cancel it.")
        gone = threading.Event()
        self._running.add(gone)
        return self._lines(request, gone, work)

    async def _lines(self, request: Request, gone: threading.Event, work: Work) -> AsyncIterator[bytes]:
        loop, told = asyncio.get_running_loop(), asyncio.Queue()

        def tell(line: dict | None) -> None:
            with suppress(RuntimeError):             # the server has stopped
                loop.call_soon_threadsafe(told.put_nowait, line)

        self._workers.submit(self._work, work, gone, tell)
        try:
            while True:
                try:
                    line = await asyncio.wait_for(told.get(), LOOK_S)
                except TimeoutError:
                    if await request.is_disconnected():
                        return
                    continue
                if line is None:
                    return
                yield json.dumps(line).encode() + b"\n"
        finally:
            gone.set()

    def _work(self, work: Work, gone: threading.Event, tell: Tell) -> None:
        """The task itself, in a worker thread; whatever it throws becomes a sentence."""
        line = Line(sparse(lambda done, total, what: tell({"progress": [done, total, what]})), gone.is_set, lambda part: tell({"part": part}))
        try:
            tell({"outcome": work(line)})
        except Cancelled:
            tell({"error": "Cancelled."})
        except StudioError as error:
            tell({"error": str(error)})
        except Exception as error:
            log.exception("A task failed.")
            tell({"error": f"That failed: {type(error).__name__}. Nothing was changed; the log says more."})
        finally:
            self._running.discard(gone)
            tell(None)


def sparse(progress: Progress, clock: Callable[[], float] = time.monotonic) -> Progress:
    """`progress`, but no more than one in SPARSE_S, except for another word."""
    last: list[Any] = [-SPARSE_S, ""]

    def tell(done: int, total: int, what: str) -> None:
        now = clock()
        if what != last[1] or now - last[0] >= SPARSE_S:
            last[:] = now, what
            progress(int(done), int(total), str(what))
    return tell
