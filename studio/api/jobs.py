"""POST /api/jobs and what follows it: the native API. A Job in, its pictures out, with a place in the queue, progress, an ETA and a way to stop.

Jobs wait here by priority and age; the engine then lets live frames and other sessions come in between as always. Finished jobs and their
pictures stay until KEPT newer ones are there.
"""
from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from models.errors import BadInput, Cancelled, InUse, StudioError, UnknownId
from models.job import Job
from studio.api.asked import json_object, nothing, route
from studio.export import png
from studio.guard import own_site

MAX_BODY, MAX_WAITING, KEPT = 128 * 2 ** 20, 256, 100
PRIORITIES = {"high": 0, "normal": 1, "low": 2}
TICK_S = 0.1                                         # between two looks of a socket
ENDED = ("done", "failed", "cancelled")
log = logging.getLogger(__name__)


@dataclass
class Order:
    """One job on its way. `state`: queued, running, done, failed or cancelled."""
    id: str
    job: Job
    priority: str
    session: str
    keep: bool
    state: str = "queued"
    done: int = 0
    total: int = 0
    what: str = ""
    asked_s: float = field(default_factory=time.time)
    began_s: float | None = None
    ended_s: float | None = None
    error: str = ""
    notes: tuple[str, ...] = ()
    pictures: list[bytes] = field(default_factory=list, repr=False)
    items: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event, repr=False)


class Jobs:
    """The routes and the one thread that takes orders; it starts with the first of them."""

    def __init__(self, engine: Any, library: Any, base: str) -> None:
        self.engine, self.library, self.base = engine, library, base
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._queue: list[tuple[int, int, str]] = []
        self._number, self._ready, self._closed = itertools.count(), threading.Condition(), False
        self._worker: threading.Thread | None = None
        self._pace_s = 1.0                           # of a step, for ETAs; learned from what was painted

    def routes(self) -> list[Any]:
        one = "/api/jobs/{id}"
        return [route("/api/jobs", self.order, "POST", json_object(MAX_BODY)), route("/api/jobs", lambda request, _: self.all()),
                route(one, lambda request, _: self.said(self._found(request))), route(one, self.cancel, "DELETE", nothing),
                route(one + "/{number:int}.png", self.picture), WebSocketRoute(one + "/watch", self.watch),
                Route("/api/openapi.json", self.openapi)]

    def close(self) -> None:
        with self._ready:
            self._closed = True
            for order in self._orders.values():
                order.stop.set()
            self._ready.notify_all()

    # --- what is asked for ---

    def order(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """{"job": fields of a Job, "priority", "session", "keep"} -> the order. What cannot be painted is refused at once."""
        if unknown := sorted(set(asked) - {"job", "priority", "session", "keep"}):
            raise BadInput(f"Unknown field {', '.join(unknown)}.", "Known: job, priority, session, keep.")
        if not isinstance(asked.get("job"), dict):
            raise BadInput('"job" is an object.', "For example {\"job\": {\"prompt\": \"a red fox\"}}.")
        priority, session = asked.get("priority", "normal"), asked.get("session", "api")
        if priority not in PRIORITIES or not isinstance(session, str) or len(session) > 100:
            raise BadInput(f'"priority" is one of {", ".join(PRIORITIES)}; "session" is a text of at most 100 characters.')
        job = job_from(asked["job"], self.base)
        self.engine.catalog.check(job)
        order = Order(secrets.token_urlsafe(12), job, priority, session, asked.get("keep") is True)
        with self._ready:
            if len(self._queue) >= MAX_WAITING:
                raise InUse(f"{MAX_WAITING} jobs are waiting already.", "Wait until some are done.")
            self._orders[order.id] = order
            heapq.heappush(self._queue, (PRIORITIES[priority], next(self._number), order.id))
            self._worker = self._worker or self._begun()
            self._ready.notify()
        return self.said(order)

    def all(self) -> dict[str, Any]:
        with self._ready:
            orders = list(self._orders.values())
        return {"jobs": [self.said(order) for order in orders]}

    def said(self, order: Order) -> dict[str, Any]:
        """An order as JSON: state, progress 0..1, place in the queue, ETA in seconds, addresses of its pictures."""
        progress = 1.0 if order.state == "done" else order.done / order.total if order.total else 0.0
        return {"id": order.id, "state": order.state, "progress": round(progress, 4), "what": order.what, "position": self._position(order),
                "eta_s": self._eta(order), "priority": order.priority, "session": order.session, "asked_s": order.asked_s, "began_s": order.began_s,
                "ended_s": order.ended_s, "error": order.error, "notes": list(order.notes), "library": order.items,
                "pictures": [f"api/jobs/{order.id}/{i}.png" for i in range(len(order.pictures))]}

    def cancel(self, request: Request, _: None = None) -> dict[str, Any]:
        """A waiting job never starts, a running one ends within a step."""
        order = self._found(request)
        with self._ready:
            order.stop.set()
            if order.state == "queued":
                self._end(order, "cancelled")
        return self.said(order)

    def picture(self, request: Request, _: None = None) -> Response:
        order, number = self._found(request), request.path_params["number"]
        if number >= len(order.pictures):
            raise UnknownId(f"Job {order.id} has {len(order.pictures)} pictures, none with the number {number}.")
        return Response(order.pictures[number], media_type="image/png", headers={"cache-control": "private, max-age=3600"})

    async def watch(self, socket: WebSocket) -> None:
        """The order as JSON whenever it changes, until it ends."""
        order = self._orders.get(socket.path_params["id"])
        if order is None or not own_site(socket.headers):
            await socket.close(4404)
            return
        await socket.accept()
        last = ""
        try:
            while True:
                said = self.said(order)
                if (text := json.dumps(said | {"eta_s": None})) != last:
                    await socket.send_json(said)
                    last = text
                if said["state"] in ENDED:
                    await socket.close()
                    return
                await asyncio.sleep(TICK_S)
        except (WebSocketDisconnect, RuntimeError):
            return

    async def openapi(self, request: Request) -> Response:
        return Response(json.dumps(description()), media_type="application/json")

    # --- what happens to it ---

    def _found(self, request: Request) -> Order:
        order = self._orders.get(request.path_params["id"])
        if order is None:
            raise UnknownId(f"There is no job {request.path_params['id'][:40]!r}.", f"Only the last {KEPT} that ended are remembered.")
        return order

    def _position(self, order: Order) -> int:
        """How many jobs are before it; 0 when its turn has come."""
        with self._ready:
            waiting = sorted(entry for entry in self._queue if self._orders[entry[2]].state == "queued")
        return next((i + 1 for i, entry in enumerate(waiting) if entry[2] == order.id), 0)

    def _eta(self, order: Order) -> float | None:
        if order.state in ENDED:
            return None
        with self._ready:
            before = [o for o in self._orders.values() if o.state == "running"]
            before += [self._orders[id] for key, n, id in sorted(self._queue) if self._orders[id].state == "queued"]
        steps = 0.0
        for one in before:
            steps += one.job.steps * len(one.job.seeds) * (1 - (one.done / one.total if one.total else 0))
            if one is order:
                break
        return round(steps * self._pace_s, 2)

    def _begun(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._queue and not self._closed:
                    self._ready.wait()
                if self._closed:
                    return
                order = self._orders[heapq.heappop(self._queue)[2]]
                if order.state != "queued":
                    continue
                order.state, order.began_s = "running", time.time()
            self._paint(order)

    def _paint(self, order: Order) -> None:
        def progress(done: int, total: int, what: str) -> None:
            order.done, order.total, order.what = done, total, what
        try:
            result = self.engine.render(order.job, progress, order.stop.is_set, f"api-{order.session}")
            jobs = [result.job.but(seeds=(seed,), each=result.job.each[i:i + 1]) for i, seed in enumerate(result.job.seeds)]
            order.pictures = [png.encode(pixels, job) for pixels, job in zip(result.pixels, jobs)]
            order.items = [self.library.keep(pixels, job).id for pixels, job in zip(result.pixels, jobs)] if order.keep else []
            order.notes = result.notes
            took = (result.timings.denoise_ms + result.timings.decode_ms) / 1e3 / max(1, order.job.steps * len(jobs))
            self._pace_s = took if self._pace_s == 1.0 else 0.7 * self._pace_s + 0.3 * took
            self._end(order, "done")
        except Cancelled:
            self._end(order, "cancelled")
        except StudioError as error:
            order.error = str(error)
            self._end(order, "failed")
        except Exception as error:
            log.exception("A job of the API failed.")
            order.error = f"That failed: {type(error).__name__}. The log says more."
            self._end(order, "failed")

    def _end(self, order: Order, state: str) -> None:
        with self._ready:
            order.state, order.ended_s = state, time.time()
            ended = [o.id for o in self._orders.values() if o.state in ENDED]
            for id in ended[:-KEPT]:
                del self._orders[id]


def job_from(values: dict[str, Any], base: str) -> Job:
    """A Job from JSON; its base is the studio's own where none is named. Raises BadInput for values of the wrong kind."""
    try:
        return Job.from_dict({"base": base} | values)
    except StudioError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadInput(f"That is no job: {error}.", "GET /api/openapi.json says what its fields are.") from None


def description() -> dict[str, Any]:
    """OpenAPI 3.1 of these routes."""
    picture = {"type": "object", "required": ["size", "data"], "properties": {"size": {"type": "string", "examples": ["256x256x3"]},
               "data": {"type": "string", "contentEncoding": "base64", "description": "Raw pixels, row by row; channels 1, 3 or 4."}}}
    job = {"type": "object", "properties": {
        "prompt": {"type": "string"}, "base": {"type": "string"}, "style": {"type": "string"}, "negative": {"type": "string"},
        "seeds": {"type": "array", "items": {"type": "integer", "minimum": 0}}, "extent": {"type": "string", "examples": ["256x256"]},
        "steps": {"type": "integer", "minimum": 1, "maximum": 100}, "guidance": {"type": ["number", "null"]}, "image": picture, "mask": picture,
        "strength": {"type": "number", "minimum": 0, "maximum": 1},
        "adapters": {"type": "array", "items": {"type": "object", "required": ["id"], "properties": {
            "id": {"type": "string"}, "strength": {"type": "number"}, "image": picture, "start": {"type": "number"}, "stop": {"type": "number"}}}}}}
    order = {"type": "object", "properties": {
        "id": {"type": "string"}, "state": {"enum": ["queued", "running", *ENDED]}, "progress": {"type": "number"}, "position": {"type": "integer"},
        "eta_s": {"type": ["number", "null"]}, "error": {"type": "string"}, "notes": {"type": "array", "items": {"type": "string"}},
        "pictures": {"type": "array", "items": {"type": "string", "format": "uri-reference"}}, "library": {"type": "array", "items": {"type": "string"}}}}
    body = lambda what, schema: {"description": what, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
    answers = lambda what: {"200": body(what, "Order"), "400": body("A sentence with its cure.", "Error")}
    asked = {"type": "object", "required": ["job"], "properties": {"job": {"$ref": "#/components/schemas/Job"}, "priority": {"enum": [*PRIORITIES]},
             "session": {"type": "string"}, "keep": {"type": "boolean", "description": "Also keep the pictures in the library."}}}
    id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
    return {"openapi": "3.1.0", "info": {"title": "Onestroke", "version": "1", "description": "A Job in, its pictures out. Same Job, same pixels."},
            "paths": {"/api/jobs": {"post": {"summary": "Order a job", "responses": answers("The order."),
                                             "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}}},
                                    "get": {"summary": "All orders", "responses": {"200": {"description": '{"jobs": [order]}'}}}},
                      "/api/jobs/{id}": {"parameters": [id], "get": {"summary": "How it stands", "responses": answers("The order.")},
                                         "delete": {"summary": "Stop it", "responses": answers("The order.")}},
                      "/api/jobs/{id}/{number}.png": {"parameters": [id, number], "get": {"summary": "A picture with its Job inside",
                                                      "responses": {"200": {"description": "PNG", "content": {"image/png": {}}}}}}},
            "components": {"schemas": {"Job": job, "Order": order, "Error": {"type": "object", "properties": {"error": {"type": "string"}}}}}}
