"""All live canvases of one server: who may connect, how many, and the worker threads they share.

One render thread is the device's queue; a session has one render in it at most, so clients take turns.
"""
from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from models.errors import BadInput
from models.job import Result
from models.turns import Urgency
from studio.live import wire
from studio.live.session import Session
from studio.live.strip import Frame, Strip
from studio.live.surface import Surface

MAX_SESSIONS = 8
MAX_PARKED_STRIPS = 4
MAX_TOKENS = 256
TOKEN_LIFE_S = 60.0
PARK_LIFE_S = 600.0
CLOSE_MALFORMED = 4400
CLOSE_FULL = 4429
CLOSE_BROKEN = 4500
_CLIENT = re.compile(r"[A-Za-z0-9_-]{16,64}")

log = logging.getLogger(__name__)


class Hub:
    """`surface` is the tab's."""

    def __init__(self, engine: Any, library: Any, surface: Surface, clock: Callable[[], float] = time.monotonic) -> None:
        self.engine, self.library, self.surface, self.clock = engine, library, surface, clock
        self.sessions: set[Session] = set()
        self._tokens: OrderedDict[str, float] = OrderedDict()
        self._parked: OrderedDict[str, tuple[Strip, float]] = OrderedDict()
        self._waiting: set[object] = set()
        self._device = ThreadPoolExecutor(1, "live-render")
        self._helpers = ThreadPoolExecutor(2, "live-encode")

    def route(self) -> WebSocketRoute:
        return WebSocketRoute(f"/studio/{self.surface.name}/socket", self.serve)

    def close(self) -> None:
        for session in self.sessions:
            session.closed = True
        self._device.shutdown(wait=False, cancel_futures=True)
        self._helpers.shutdown(wait=False, cancel_futures=True)

    def frame(self, client: str, frame_id: int) -> Frame:
        """A frame of the page that knows this secret name."""
        for session in self.sessions:
            if secrets.compare_digest(session.client.encode(), str(client).encode()):
                return session.strip.get(wire.whole(frame_id))
        raise BadInput("That live canvas is not connected.", "Reload the page.")

    # ---- admission

    def mint(self) -> str:
        """A token good for one connection within a minute. The page asks through Gradio, whose login guards that route."""
        now = self.clock()
        for old in [t for t, expiry in self._tokens.items() if expiry < now]:
            del self._tokens[old]
        while len(self._tokens) >= MAX_TOKENS:
            self._tokens.popitem(last=False)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = now + TOKEN_LIFE_S
        return token

    def admits(self, token: str, origin: str | None, host: str | None) -> bool:
        """A token that was minted and not used, from a page of this very host. The token is spent either way."""
        fresh = self._tokens.pop(token, -1.0) >= self.clock()
        return fresh and (not origin or urlsplit(origin).netloc == host)

    async def serve(self, ws: WebSocket) -> None:
        """One connection from handshake to end."""
        query, headers = ws.query_params, ws.headers
        if not self.admits(query.get("token", ""), headers.get("origin"), headers.get("host")):
            await ws.close()
            return
        await ws.accept()
        if len(self.sessions) >= MAX_SESSIONS:
            await ws.close(CLOSE_FULL, f"{MAX_SESSIONS} live canvases are open already; close one and reload.")
            return
        client = query.get("client", "")
        await self._converse(ws, client if _CLIENT.fullmatch(client) else secrets.token_urlsafe(16))

    async def _converse(self, ws: WebSocket, client: str) -> None:
        session = Session(ws, self, self._unpark(client), self.surface, self.library, client)
        self.sessions.add(session)
        pump = asyncio.create_task(self._pump(ws, session))
        try:
            await session.replay_strip()
            await self._listen(ws, session)
        except BadInput as error:
            await ws.close(CLOSE_MALFORMED, str(error)[:120])
        except (WebSocketDisconnect, RuntimeError):
            log.debug("A live page went away.")
        finally:
            session.closed = True
            self.sessions.discard(session)               # before any await: this task may itself be cancelled
            self._park(client, session.strip)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    @staticmethod
    async def _listen(ws: WebSocket, session: Session) -> None:
        while (event := await ws.receive())["type"] == "websocket.receive":
            if (data := event.get("bytes")) is not None:
                session.binary(data)
            else:
                await session.message(event["text"])

    @staticmethod
    async def _pump(ws: WebSocket, session: Session) -> None:
        """A pump that ends ends the connection too: the page then connects anew instead of waiting for ever."""
        try:
            await session.pump()
        except (WebSocketDisconnect, RuntimeError):
            log.debug("A live page went away while a frame was under way.")
        except Exception:
            log.exception("A live session failed.")
            await ws.close(CLOSE_BROKEN, "The live session failed; connecting anew.")

    # ---- strips outlive a connection for a while

    def _park(self, client: str, strip: Strip) -> None:
        if not strip.frames:
            return
        self._parked[client] = (strip, self.clock() + PARK_LIFE_S)
        while len(self._parked) > MAX_PARKED_STRIPS:
            self._parked.popitem(last=False)

    def _unpark(self, client: str) -> Strip:
        for old in [c for c, (_, expiry) in self._parked.items() if expiry < self.clock()]:
            del self._parked[old]
        strip, _ = self._parked.pop(client, (Strip(), 0.0))
        return strip

    # ---- what sessions ask for

    async def render(self, task: Any, cancel: Callable[[], bool]) -> tuple[Result, float, float]:
        """(result, start, end) in perf_counter seconds; waits its turn for the device."""
        ticket = object()
        self._waiting.add(ticket)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._device, self._render, ticket, task, cancel)
        finally:
            self._waiting.discard(ticket)

    def _render(self, ticket: object, task: Any, cancel: Callable[[], bool]) -> tuple[Result, float, float]:
        self._waiting.discard(ticket)
        render = partial(self.engine.render, cancel=cancel, session=self.surface.name, urgency=Urgency.LIVE)
        started_s = time.perf_counter()
        result = self.surface.paint(render, task)
        return result, started_s, time.perf_counter()

    async def encode(self, pixels: np.ndarray) -> tuple[str, bytes, float]:
        """(media type, bytes, milliseconds)."""
        return await self.aside(_timed_encode, pixels)

    async def aside(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run in a helper thread, away from the event loop and the device's queue."""
        return await asyncio.get_running_loop().run_in_executor(self._helpers, work, *args)

    def busy_elsewhere(self) -> bool:
        """True while another render waits for the device."""
        return bool(self._waiting)


def _timed_encode(pixels: np.ndarray) -> tuple[str, bytes, float]:
    started_s = time.perf_counter()
    media, body = wire.encode_picture(pixels)
    return media, body, (time.perf_counter() - started_s) * 1e3
