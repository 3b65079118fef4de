"""GET /api/models, POST /api/models/{load,unload,pin,add}: what the Models tab shows and does, for programs too.

A change is taken only as JSON and only from a page of this very host (a form of a foreign site can send neither), and from a page or
program on this machine alone when it names a file or starts a download: a studio that others can reach must not read its disk for them.
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models import hub
from models.errors import BadInput, InUse, StudioError, UnknownId
from models.releases import RELEASES
from studio.api.asked import json_object, refusal
from studio.cards import PAGE, act, cards, memory, own_card

BODY_LIMIT, LIMIT = 10_000, 500


class Desk:
    """The routes and what they remember: the sizes of hub models that were looked up, and the download under way."""

    def __init__(self, engine: Any, reachable: bool) -> None:
        self.engine, self.reachable = engine, reachable
        self.download: dict[str, Any] = {}
        self._parcels: dict[str, hub.Parcel] = {}
        self._one = threading.Lock()

    def routes(self) -> list[Route]:
        changes = {"load": self.load, "unload": self.unload, "pin": self.pin, "add": self.add}
        return [Route("/api/models", answering(self.list)),
                *(Route(f"/api/models/{name}", answering(work, changes=True), methods=["POST"]) for name, work in changes.items())]

    def list(self, asked: dict[str, Any]) -> dict[str, Any]:
        """words, kind, limit, offset -> cards, memory, the download under way."""
        found = cards(self.engine, _text(asked, "words"), _text(asked, "kind"), _number(asked, "limit", PAGE), _number(asked, "offset", 0))
        return found | {"memory": memory(self.engine), "download": self.download, "adding": not self.reachable,
                        "folder": str(self.engine.catalog.shelf.folder) if self.engine.catalog.shelf and not self.reachable else ""}

    def load(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._act("load", asked)

    def unload(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._act("unload", asked)

    def pin(self, asked: dict[str, Any]) -> dict[str, Any]:
        """on: true keeps it in memory whatever else is needed, false lets it go when room is."""
        if type(asked.get("on", True)) is not bool:
            raise BadInput('"on" is true or false.')
        return self._act("pin" if asked.get("on", True) else "unpin", asked)

    def _act(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        kind = _text(asked, "kind")
        if kind not in ("base", "adapter", "percept"):
            raise UnknownId(f'There is no kind "{kind[:40]}" that can be loaded.', "Known: base, adapter, percept.")
        act(self.engine, action, kind, _text(asked, "id"))
        return {"memory": memory(self.engine)}

    def add(self, asked: dict[str, Any]) -> dict[str, Any]:
        """source: a path or a hub id. A hub id answers with its size; with download true it is fetched and added."""
        if self.reachable:
            raise BadInput("Models are added on the studio's own machine while others can reach it.", "There: python3 launch.py models add SOURCE")
        source, kind = _text(asked, "source").strip(), _text(asked, "kind")
        if not source:
            raise BadInput("There is no source.", "Give the path of a file, or a hub id like owner/name.")
        if not hub.is_hub_id(source):
            return {"card": own_card(self.engine.catalog.shelf.add(Path(source), kind))}
        if asked.get("download") is not True:
            self._parcels = {source: hub.look_up(source)}
            return {"size": self._parcels[source].bytes, "files": len(self._parcels[source].files), "says": str(self._parcels[source])}
        path = self._fetch(source)
        if source in RELEASES:                       # a percept's own file, which is known where it lies
            return {"card": next(card for card in cards(self.engine, limit=LIMIT)["items"] if card["path"] == str(path))}
        return {"card": own_card(self.engine.catalog.shelf.add(path, kind))}

    def _fetch(self, source: str) -> Path:
        parcel = self._parcels.get(source)
        if parcel is None:
            raise BadInput(f'The size of "{source}" was not asked for.', "Ask first, then download.")
        if not self._one.acquire(blocking=False):
            raise InUse(f'"{self.download.get("source", "A model")}" is being downloaded.', "Wait until it is done.")
        try:
            return hub.fetch(parcel, lambda done, total: setattr(self, "download", {"source": source, "done": done, "total": total}))
        finally:
            self.download = {}
            self._one.release()


def answering(work: Callable[[dict[str, Any]], dict[str, Any]], changes: bool = False) -> Any:
    """`work` as a route: in a thread of its own, a StudioError as {"error": sentence}."""
    read = json_object(BODY_LIMIT)

    async def answer(request: Request) -> Response:
        try:
            asked = await read(request) if changes else dict(request.query_params)
            return JSONResponse(await run_in_threadpool(work, asked))
        except StudioError as error:
            return refusal(error)
    return answer


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > 2000 or "\0" in value:
        raise BadInput(f'"{name}" is no text of at most 2,000 characters.')
    return value


def _number(asked: dict[str, Any], name: str, default: int) -> int:
    try:
        return min(max(int(asked.get(name, default)), 0), LIMIT if name == "limit" else 1 << 40)
    except (TypeError, ValueError):
        raise BadInput(f'"{name}" is no whole number.') from None
