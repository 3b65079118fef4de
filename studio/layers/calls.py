"""Running a task for a page that waits: what was asked becomes a Call, progress and outcome become lines of JSON.

Closing the request cancels the task.
"""
from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from models.errors import BadInput, Cancelled, InUse, StudioError
from models.job import Extent
from models.layers.stack import MAX_NAME_CHARS, Layer, Stack, new_id
from studio.layers.pictures import Pictures
from studio.layers.task import Call, Cancel, Made, Outcome, Progress, Task

MAX_TASKS = 4
LOOK_S = 0.5                                         # between two looks whether the page is still there
SPARSE_S = 0.08                                      # between two lines of progress
log = logging.getLogger(__name__)


class Calls:
    """At most MAX_TASKS at a time; who comes after that is told so."""

    def __init__(self, engine: Any, library: Any, pictures: Pictures, base: str) -> None:
        self.engine, self.library, self.pictures, self.base = engine, library, pictures, base
        self._workers = ThreadPoolExecutor(MAX_TASKS, "layers-task")
        self._running: set[threading.Event] = set()

    def close(self) -> None:
        for gone in [*self._running]:
            gone.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def call(self, values: Mapping[str, Any]) -> Call:
        """{"document": stack, "base": id, "asked": {...}} -> Call. Raises StudioError."""
        stack, asked, base = Stack.from_dict(values.get("document")), values.get("asked", {}), values.get("base") or self.base
        if not isinstance(asked, dict) or not isinstance(base, str):
            raise BadInput('A task is asked for with "document", "base" and "asked".')
        self.pictures.check(stack)
        return Call(self.engine, self.library, self.engine.catalog.base(base).spec.id, stack, self.pictures, asked)

    def lines(self, request: Request, task: Task, call: Call) -> AsyncIterator[bytes]:
        """{"progress": [done, total, what]} lines, then {"outcome": ...} or {"error": sentence}. Raises InUse when too many run."""
        if len(self._running) >= MAX_TASKS:
            raise InUse(f"{MAX_TASKS} things are being made already.", "Wait for one of them, or cancel it.")
        gone = threading.Event()
        self._running.add(gone)
        return self._lines(request, gone, lambda progress, cancelled: self.outcome(task, call, progress, cancelled))

    def outcome(self, task: Task, call: Call, progress: Progress, cancelled: Cancel) -> dict[str, Any]:
        """Run a task; its pictures are kept before the page hears of them."""
        values = {name: getattr(call, name) for name in ("engine", "library", "base", "stack", "pictures", "asked")}
        return laid(task.run(Call(**values, progress=progress, cancelled=cancelled)), self.pictures)

    async def _lines(self, request: Request, gone: threading.Event, work: Callable[[Progress, Cancel], dict]) -> AsyncIterator[bytes]:
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

    def _work(self, work: Callable[[Progress, Cancel], dict], gone: threading.Event, tell: Callable[[dict | None], None]) -> None:
        """The task itself, in a worker thread; whatever it throws becomes a sentence."""
        try:
            tell({"outcome": work(sparse(lambda done, total, what: tell({"progress": [done, total, what]})), gone.is_set)})
        except Cancelled:
            tell({"error": "Cancelled."})
        except StudioError as error:
            tell({"error": str(error)})
        except Exception as error:
            log.exception("A task of the Layers tab failed.")
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


def laid(outcome: Outcome, pictures: Pictures) -> dict[str, Any]:
    """An outcome as JSON, its pictures kept. Layers have ids and are as in Stack.to_dict."""
    return {"layers": [laid_one(made, pictures) for made in outcome.layers], "replaces": list(outcome.replaces), "group": outcome.group,
            "bottom": outcome.bottom, "notes": list(outcome.notes), "proposals": [laid(other, pictures) for other in outcome.proposals]}


def laid_one(made: Made, pictures: Pictures) -> dict[str, Any]:
    """A new layer as JSON, its picture kept."""
    layer = Layer(new_id(), made.name[:MAX_NAME_CHARS], pictures.put(made.picture, made.job), made.place, made.opacity, made.blend,
                  source=made.source, text=made.text, svg=made.svg)
    return Stack(Extent(1, 1), (layer,)).to_dict()["layers"][0]
