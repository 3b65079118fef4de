"""/studio/layers/...: documents, pictures, tasks and files of the Layers tab over HTTP.

The same rules as everywhere: changes come from a page of this very host, as JSON or plain bytes, no larger than said (studio/api/asked.py).
"""
from __future__ import annotations

import io
import mimetypes
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from models.layers.compose import flatten
from models.decoding import MAX_DECODE_PX
from models.errors import BadInput, StudioError
from models.job import Extent, Picture
from models.layers.stack import Stack
from studio.api.asked import json_object, nothing, raw, refusal, route
from studio.layers.calls import Calls
from studio.layers.documents import MAX_NAME_CHARS, Documents
from studio.layers.exchange import Exchange
from studio.layers.task import Task, task_of

PAGE_DIR = Path(__file__).with_name("page")
MAX_FILE_BYTES, MAX_JSON_BYTES = 256 * 2 ** 20, 64 * 2 ** 20
COVER_PX = 320
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}        # a picture's name is its content
BLANK = Extent(1024, 1024)


class Routes:
    """Everything that the page asks for. `live`: the hub of its live canvas. config(): what the page asks first."""

    def __init__(self, documents: Documents, calls: Calls, tasks: Mapping[str, Task], exchange: Exchange, live: Any,
                 config: Callable[[], dict[str, Any]]) -> None:
        self.documents, self.pictures, self.calls, self.tasks = documents, documents.pictures, calls, tasks
        self.exchange, self.live, self.config = exchange, live, config

    def routes(self) -> list[BaseRoute]:
        obj, at = json_object(MAX_JSON_BYTES), "/studio/layers"
        return [
            route(f"{at}/desk", lambda request, asked: self.config()),
            route(f"{at}/documents", self.list), route(f"{at}/documents", self.make, "POST", obj),
            route(f"{at}/document/{{id}}", self.read), route(f"{at}/document/{{id}}", self.write, "PUT", obj),
            route(f"{at}/document/{{id}}", self.remove, "DELETE", nothing), route(f"{at}/document/{{id}}/restore", self.restore, "POST", nothing),
            route(f"{at}/document/{{id}}/cover", self.cover),
            route(f"{at}/picture", self.upload, "POST", raw(MAX_FILE_BYTES)), route(f"{at}/picture/{{id}}", self.picture),
            route(f"{at}/frame", self.frame, "POST", json_object(1000)),
            Route(f"{at}/task/{{id}}", self.task, methods=["POST"]),
            route(f"{at}/export/{{format}}", self.export, "POST", obj), route(f"{at}/open", self.open, "POST", raw(MAX_FILE_BYTES))]

    # ---- documents

    def list(self, request: Request, asked: None) -> dict[str, Any]:
        return {"documents": self.documents.cards()}

    def make(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """name, stack (both may be left out) -> the new document."""
        stack = Stack.from_dict(asked["stack"]) if "stack" in asked else Stack(BLANK)
        self.pictures.check(stack)
        return self.documents.make(asked.get("name", ""), stack).to_dict()

    def read(self, request: Request, asked: None) -> dict[str, Any]:
        return self.documents.read(request.path_params["id"]).to_dict()

    def write(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """name, stack, revision (the one it was read at) -> its new card."""
        return self.documents.write(request.path_params["id"], asked.get("name", ""), Stack.from_dict(asked.get("stack")), asked.get("revision")).card()

    def remove(self, request: Request, asked: None) -> dict[str, Any]:
        self.documents.remove(request.path_params["id"])
        return {}

    def restore(self, request: Request, asked: None) -> dict[str, Any]:
        return self.documents.restore(request.path_params["id"]).card()

    def cover(self, request: Request, asked: None) -> Response:
        """A small WebP of the whole, alpha kept."""
        stack = self.documents.read(request.path_params["id"]).content
        scale = min(1.0, COVER_PX / max(stack.extent.width, stack.extent.height))
        out = io.BytesIO()
        Image.fromarray(flatten(stack, self.pictures, scale)).save(out, "WEBP", quality=85, method=2)
        return Response(out.getvalue(), media_type="image/webp", headers={"Cache-Control": "no-cache"})

    # ---- pictures

    def upload(self, request: Request, data: bytes) -> dict[str, Any]:
        """Any picture file -> its id and size, what a person should know of how it was changed, and the drawing it was made from."""
        taken = self.exchange.picture(data)
        return self._kept(taken.picture) | {"notes": list(taken.notes), "svg": taken.svg}

    def picture(self, request: Request, asked: None) -> Response:
        """The PNG, or with side=PX a WebP that is about so large."""
        id, side = request.path_params["id"], request.query_params.get("side", "")
        if side and not re.fullmatch(r"[0-9]{1,5}", side):
            raise BadInput("side is a number of pixels.")
        path = self.pictures.preview(id, int(side)) if side else self.pictures.path(id)
        return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], headers=FOR_EVER)

    def frame(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """client, frame -> the exact pixels of that frame of its live canvas, kept with its Job."""
        result = self.live.frame(asked.get("client", ""), asked.get("frame"))
        return self._kept(Picture.from_array(np.array(result.result.pixels[0])), result.result.job)

    def _kept(self, picture: Picture, job: Any = None) -> dict[str, Any]:
        about = {} if job is None else {"source": {"words": job.prompt, "seed": job.seeds[0], "base": job.base, "style": job.style, "steps": job.steps}}
        return {"id": self.pictures.put(picture, job), "width": picture.width, "height": picture.height} | about

    # ---- tasks and files

    async def task(self, request: Request) -> Response:
        """NDJSON; see Calls.lines."""
        try:
            asked = await json_object(MAX_JSON_BYTES)(request)
            lines = self.calls.lines(request, task_of(self.tasks, request.path_params["id"]), self.calls.call(asked))
        except StudioError as error:
            return refusal(error)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    def export(self, request: Request, asked: dict[str, Any]) -> Response:
        """document, name, scale, only (ids), background -> the file."""
        name, data, media = self.exchange.write(request.path_params["format"], asked)
        return Response(data, media_type=media, headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"})

    def open(self, request: Request, data: bytes) -> dict[str, Any]:
        """The bytes of a file with layers, or of a picture -> a new document, and what could not be kept."""
        name, stack, notes = self.exchange.read(data, request.query_params.get("name", ""))
        return self.documents.make(name[:MAX_NAME_CHARS], stack).to_dict() | {"notes": list(notes)}


def limits() -> dict[str, int]:
    """What the page says before a file is sent."""
    return {"file_bytes": MAX_FILE_BYTES, "picture_px": MAX_DECODE_PX}
