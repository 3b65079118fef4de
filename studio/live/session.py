"""One live canvas: the newest input wins, one render in flight, frames in order, a refined picture when the hand rests.

The session lives on the server's event loop; only renders and encodings leave it, into the hub's worker threads.
"""
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors import BadInput, Cancelled, StudioError
from models.job import Picture, Result
from studio.live import wire
from studio.live.controls import Controls
from studio.live.strip import Frame, Strip, pack_canvas, unpack_canvas
from studio.live.surface import Surface

REST_S = 0.4
CREDIT_FRAMES = 2
PAPER = 255

log = logging.getLogger(__name__)


class Socket(Protocol):
    """What a session needs of a connection."""
    async def send_bytes(self, data: bytes) -> None: ...
    async def send_json(self, data: dict) -> None: ...


class Workshop(Protocol):
    """What a session needs of the hub."""
    async def render(self, task: Any, cancel: Callable[[], bool]) -> Any: ...
    async def encode(self, pixels: np.ndarray) -> Any: ...
    async def aside(self, work: Callable[..., Any], *args: Any) -> Any: ...
    def busy_elsewhere(self) -> bool: ...


@dataclass(frozen=True)
class Order:
    """One render to do: the task and what it was made from. `received_s`: when the newest input in it arrived (monotonic)."""
    task: Any
    controls: Controls
    canvas: np.ndarray
    seq: int
    received_s: float
    kind: str = "preview"


class Session:
    """`surface` says what the canvas asks for; `library` keeps pinned frames and the journal."""

    def __init__(self, socket: Socket, workshop: Workshop, strip: Strip, surface: Surface, library: Any, client: str) -> None:
        self.socket, self.workshop, self.strip, self.library, self.client = socket, workshop, strip, library, client
        self.surface, self.controls = surface, surface.controls
        self.reference: Picture | None = None
        self.canvas = np.full((wire.CANVAS_PX, wire.CANVAS_PX, 3), PAPER, np.uint8)
        self.seq, self.received_s, self.closed = 0, 0.0, False
        self._changed = asyncio.Event()
        self._credit = asyncio.Semaphore(CREDIT_FRAMES)
        self._unpaid = 0
        self._last: Order | None = None
        self._refined = False
        self._shipping: asyncio.Task | None = None
        self._packed: tuple[np.ndarray, bytes] | None = None
        self._handlers = {"set": self._set, "ack": self._ack, "pin": self._pin, "restore": self._restore}

    # ---- input

    def binary(self, data: bytes) -> None:
        """Apply a changed rectangle, or take the reference picture; malformed bytes raise BadInput and change nothing."""
        if wire.is_reference(data):
            self.reference = wire.read_reference(data)
            self._note(self.seq)
            return
        p = wire.read_patch(data)
        h, w = p.pixels.shape[:2]
        self.canvas[p.y:p.y + h, p.x:p.x + w] = p.pixels
        self._note(p.seq)

    async def message(self, text: str) -> None:
        """Act on a JSON message; what cannot be used is answered with an error, the session goes on."""
        try:
            values = wire.read_message(text)
            handler = self._handlers.get(values["t"])
            if handler is None:
                raise BadInput(f"The live socket knows no message {values['t'][:40]!r}.")
            await handler(values)
        except StudioError as error:
            await self.report(error)

    async def _set(self, values: dict) -> None:
        settings = values.get("settings")
        if not isinstance(settings, dict):
            raise BadInput("A settings message carries no settings.")
        self.controls = self.controls.updated(settings)
        self._note(wire.whole(values.get("seq", self.seq)))

    async def _ack(self, values: dict) -> None:
        """The page has dealt with a frame; more acknowledgements than frames are ignored."""
        if self._unpaid:
            self._unpaid -= 1
            self._credit.release()

    async def _pin(self, values: dict) -> None:
        frame = self.strip.get(wire.whole(values.get("frame")))
        item = await self.workshop.aside(self.library.keep, frame.pixels, frame.job)
        await self.socket.send_json({"t": "pinned", "frame": frame.id, "item": item.id})

    async def _restore(self, values: dict) -> None:
        frame = self.strip.get(wire.whole(values.get("frame")))
        canvas = unpack_canvas(frame.canvas, wire.CANVAS_PX)
        png = await self.workshop.aside(wire.encode_canvas, canvas)
        header = {"t": "canvas", "frame": frame.id, "settings": frame.controls.to_dict()}
        await self.socket.send_bytes(wire.pack(header, png))

    def _note(self, seq: int) -> None:
        self.seq, self.received_s = seq, time.perf_counter()
        self._changed.set()

    # ---- output

    async def replay_strip(self) -> None:
        """Send the frames of an earlier connection of the same page, so that a reload loses none."""
        for frame in self.strip.frames:
            media, body = frame.picture
            header = {"t": "past", "id": frame.id, "media": media, "settled": frame.settled, "kind": frame.kind}
            await self.socket.send_bytes(wire.pack(header, body))

    async def pump(self) -> None:
        """Render for ever: the newest state as soon as there is one, and the refined picture when nothing came for REST_S."""
        try:
            while True:
                if await self._wait_for_change():
                    await self._preview()
                else:
                    await self._rest()
                    await self._changed.wait()
        finally:
            if self._shipping is not None:
                self._shipping.cancel()

    async def _wait_for_change(self) -> bool:
        """True when there is new input; False when the hand has rested since the last frame."""
        if self._last is None:
            await self._changed.wait()
        try:
            await asyncio.wait_for(self._changed.wait(), REST_S)
            return True
        except TimeoutError:
            return False

    async def _preview(self) -> None:
        await self._take_credit()
        self._changed.clear()
        order, before = await self._order(), self._last
        if order is None or (before is not None and order.task == before.task):
            self._last = order or before
            await self._ack({})
            await self._shipped()
            await self.socket.send_json({"t": "same", "seq": self.seq})
            return
        self._last = order
        with suppress(Cancelled):
            self._refined = not await self._produce(order, lambda: self.closed)      # what failed is not tried at more steps
        if self._refined:
            await self._ack({})

    async def _rest(self) -> None:
        """The hand rests: replace the newest frame by one at more steps, unless new input comes first, and mark it. A refine
        that gave way to another canvas is tried again."""
        await self._shipped()
        while self._refinable():
            await self._refine(self._last)
            if self._changed.is_set() or (self._refinable() and await self._wait_for_change()):
                return
        if self.strip.frames and not self.strip.frames[-1].settled:
            await self._settle()

    def _refinable(self) -> bool:
        order = self._last
        return (order is not None and order.controls.refine and not self._refined
                and self.surface.better(order.task) is not None)

    async def _refine(self, order: Order) -> None:
        better = Order(self.surface.better(order.task), order.controls, order.canvas, order.seq, time.perf_counter(), "refine")
        await self._take_credit()
        sent = False
        with suppress(Cancelled):
            sent = await self._produce(better, self._give_way)
            self._refined = True
        if not sent:
            await self._ack({})
        await self._shipped()

    async def _settle(self) -> None:
        frame = self.strip.settle(self.strip.frames[-1].id)
        await self.socket.send_json({"t": "rest", "frame": frame.id})
        await self.workshop.aside(self.library.journal, self.client, frame.job)

    async def _take_credit(self) -> None:
        await self._credit.acquire()
        self._unpaid += 1

    def _give_way(self) -> bool:
        return self.closed or self._changed.is_set() or self.workshop.busy_elsewhere()

    async def _order(self) -> Order | None:
        canvas = self.canvas.copy()
        try:
            return Order(self.surface.make_task(self.controls, canvas, self.reference), self.controls, canvas, self.seq, self.received_s)
        except StudioError as error:
            await self.report(error)
            return None

    async def _produce(self, order: Order, cancel: Callable[[], bool]) -> bool:
        """Render and start sending; False when it failed, which the page is told. Raises Cancelled."""
        try:
            result, started_s, ended_s = await self.workshop.render(order.task, cancel)
        except Cancelled:
            raise
        except StudioError as error:
            await self.report(error)
            return False
        except Exception as error:                      # the pump must survive whatever a model throws
            log.exception("A live render failed.")
            await self.report(StudioError(f"The render failed: {type(error).__name__}.", "Draw on to try again; the log says more."))
            return False
        await self._shipped()
        spent = {"queue": (started_s - order.received_s) * 1e3, "model": (ended_s - started_s) * 1e3}
        self._shipping = asyncio.create_task(self._ship(order, result, spent))
        return True

    async def _shipped(self) -> None:
        if self._shipping is not None:
            await self._shipping

    async def _ship(self, order: Order, result: Result, spent: dict[str, float]) -> None:
        """Encode once, send, then file the frame in the strip; runs beside the next render."""
        media, body, spent["encode"] = await self.workshop.encode(result.pixels[0])
        frame_id = self.strip.next_id()
        header = {"t": "frame", "id": frame_id, "seq": order.seq, "kind": order.kind, "media": media,
                  "mode": self.surface.mode(order.task), "steps": result.job.steps,
                  "ms": {k: round(v, 2) for k, v in spent.items()}, "notes": list(result.notes)}
        await self.socket.send_bytes(wire.pack(header, body))
        canvas = await self._packed_canvas(order.canvas)
        frame = Frame(frame_id, result, order.controls, canvas, (media, body), order.kind)
        if gone := self.strip.add(frame):
            await self.socket.send_json({"t": "gone", "frames": list(gone)})

    async def _packed_canvas(self, canvas: np.ndarray) -> bytes:
        """The packed drawing; frames of one drawing share one copy."""
        if self._packed is None or not np.array_equal(self._packed[0], canvas):
            self._packed = (canvas, await self.workshop.aside(pack_canvas, canvas))
        return self._packed[1]

    async def report(self, error: StudioError) -> None:
        """Tell the page what went wrong, in a sentence for people."""
        await self.socket.send_json({"t": "error", "message": str(error), "seq": self.seq})
