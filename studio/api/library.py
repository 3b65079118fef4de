"""GET and POST /api/library...: what the Library tab shows and does, for programs too; POST /api/recipe reads any picture's file.

A change is taken only as JSON or bytes from a page of this very host. Nothing here deletes what was not put into the trash before.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.errors import BadInput
from studio.api.asked import json_object, raw, route
from studio.api.sdapi_jobs import png_text
from studio.export import png
from studio.library import recipe
from studio.library.store import Library, Query

PAGE, MOST, MAX_IDS = 120, 500, 10_000
BODY, FILE = 2 * 2 ** 20, 64 * 2 ** 20
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
Similar = Callable[[str, int], list[tuple[str, float]]]


class Shelves:
    """`similar(id, count)` -> (id, score) of the pictures that look most like one; `base`: what paints others' recipes."""

    def __init__(self, engine: Any, library: Library, base: str, similar: Similar) -> None:
        self.engine, self.library, self.base, self.similar = engine, library, base, similar

    def routes(self) -> list[Route]:
        lib, told = self.library, json_object(BODY)
        changes: dict[str, Callable[[dict], int]] = {
            "star": lambda a: lib.star(ids_in(a), a.get("on", True) is True), "trash": lambda a: lib.trash(ids_in(a)),
            "restore": lambda a: lib.restore(ids_in(a)), "delete": lambda a: lib.delete(ids_in(a)),
            "pin": lambda a: lib.pin(text_in(a, "board"), ids_in(a), a.get("on", True) is True)}
        return [route("/api/library", self.list), route("/api/library/about", lambda request, _: self.about()),
                *(route(f"/api/library/{name}", self._changing(work), "POST", told) for name, work in changes.items()),
                route("/api/library/drop-board", lambda request, a: lib.drop_board(text_in(a, "name")) or self.about(), "POST", told),
                route("/api/library/empty-trash", self._changing(lambda a: lib.delete(lib.trashed())), "POST", told),
                route("/api/library/rerun", lambda request, a: self.rerun(text_in(a, "id")), "POST", told),
                route("/api/library/{id}", lambda request, _: self.whole(request.path_params["id"])),
                route("/api/library/{id}/similar", lambda request, _: self.alike(request.path_params["id"])),
                route("/api/library/{id}/thumb.webp", self.thumb),
                route("/api/recipe", self.read, "POST", raw(FILE))]

    def _changing(self, work: Callable[[dict], int]) -> Callable[[Request, dict], dict[str, Any]]:
        return lambda request, asked: {"changed": work(asked)} | self.about()

    def thumb(self, request: Request, _: None = None) -> Response:
        return Response(self.library.thumb(request.path_params["id"]), media_type="image/webp", headers=FOREVER)

    def list(self, request: Request, _: None = None) -> dict[str, Any]:
        """words, board, base, starred, trashed, limit, offset -> {"items", "total"}."""
        asked = request.query_params
        on = lambda name: asked.get(name, "") in ("1", "true")
        query = Query(asked.get("words", "")[:500], asked.get("board", ""), asked.get("base", ""), on("starred"), on("trashed"))
        limit, offset = min(whole_in(asked, "limit", PAGE), MOST), whole_in(asked, "offset", 0)
        return {"items": [item.to_dict() for item in self.library.items(limit, offset, query)], "total": self.library.count(query)}

    def about(self) -> dict[str, Any]:
        return {"usage": self.library.usage(), "boards": self.library.boards(), "bases": self.library.bases()}

    def whole(self, id: str) -> dict[str, Any]:
        """One picture with its job, pictures in it by their hash only."""
        item = self.library.item(id)
        _, job = self.library.open(id)
        return {"item": item.to_dict(), "job": job.to_dict(pictures="digest"), "infotext": png.infotext(job)}

    def alike(self, id: str) -> dict[str, Any]:
        self.library.item(id)
        found = [(self.library.item(other), score) for other, score in self.similar(id, PAGE)]
        return {"items": [item.to_dict() | {"score": round(score, 4)} for item, score in found], "total": len(found)}

    def rerun(self, id: str) -> dict[str, Any]:
        """Paint a picture's job again and compare: the same Job gives the same pixels as long as the model's weights are the same."""
        pixels, job = self.library.open(id)
        again = self.engine.render(job, session="library").pixels[0]
        same_shape = again.shape == pixels.shape
        largest = int(np.abs(again.astype(int) - pixels).max()) if same_shape else None
        return {"identical": largest == 0, "largest": largest, "picture": data_url(again)}

    def read(self, request: Request, data: bytes) -> dict[str, Any]:
        """A picture's file -> {"recipe", "job", "notes"}; with ?paint=1 the job is painted by the base and kept: {"item"} too."""
        found = recipe.read(data)
        if found is None:
            raise BadInput("This picture's file does not say how it was made.", "What messengers and web sites send on has lost it; ask for the original.")
        spec = self.engine.catalog.base(self.base).spec
        job, notes = recipe.job_of(found, spec)
        out = {"recipe": found.to_dict(), "job": job.to_dict(pictures="digest"), "notes": list(notes)}
        if request.query_params.get("paint") == "1":
            result = self.engine.render(job, session="library")
            out["item"] = self.library.keep(result.pixels[0], result.job).to_dict()
        return out


def ids_in(asked: dict[str, Any]) -> list[str]:
    ids = asked.get("ids")
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids) or len(ids) > MAX_IDS:
        raise BadInput(f'"ids" is a list of at most {MAX_IDS:,} texts.')
    return ids


def text_in(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str):
        raise BadInput(f'"{name}" is text.')
    return value


def whole_in(asked: Any, name: str, default: int) -> int:
    try:
        return min(max(int(asked.get(name, default)), 0), 1 << 31)
    except ValueError:
        raise BadInput(f'"{name}" is a whole number.') from None


def data_url(pixels: np.ndarray) -> str:
    return f"data:image/png;base64,{png_text(pixels)}"
