"""/studio/TAB/...: the documents that all workbench tabs share, their pictures, and the tasks of one tab over HTTP.

The same rules as everywhere: changes come from a page of this very host, as JSON or plain bytes, no larger than said (studio/api/asked.py).
"""
from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from models.decoding import MAX_DECODE_PX, read_rgba
from models.errors import BadInput, StudioError
from models.job import MAX_SIDE_PX, Extent, Job, Picture
from models.layers.stack import MAX_SOURCE_CHARS, Layer, Placement, Stack, new_id
from models.pixels import with_alpha
from studio.api.asked import json_object, nothing, raw, refusal, route
from studio.export import png
from studio.layers.exchange import Exchange
from studio.workbench.documents import MAX_NAME_CHARS, Documents, Kind
from studio.workbench.history import History, Step, about, check, check_step, told
from studio.workbench.running import Line, Runner
from studio.workbench.select import selected
from studio.workbench.task import Call, Task, task_of

PAGE_DIR = Path(__file__).with_name("page")
MAX_FILE_BYTES, MAX_JSON_BYTES = 256 * 2 ** 20, 64 * 2 ** 20
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}        # a picture's name is its content
HISTORIES = Kind("history", History.from_dict, about, check)
WRITTEN_AS = ("png", "webp", "avif")
STEPS_KEY = "onestroke-steps"                        # iTXt of a PNG: how it was made, step by step, as JSON
STRIP_ROWS = 256
_FILE_CHARS = re.compile(r"[^\w\-. ]+")
Answer = Callable[[Request, dict[str, Any]], dict[str, Any]]


@cache
def works_at(folder: Path) -> Documents:
    """The documents of a folder, one object for all tabs, so that they take turns at writing."""
    return Documents(folder, HISTORIES)


def page_mount() -> Mount:
    """The files of the page that all tabs share."""
    return Mount("/studio/workbench/page", StaticFiles(directory=PAGE_DIR))


def limits() -> dict[str, int]:
    """What the page says before a file is sent."""
    return {"file_bytes": MAX_FILE_BYTES, "picture_px": MAX_DECODE_PX}


class Routes:
    """Everything that the page of tab `name` asks for. config(): what it asks first. own: more POST routes of the tab, {path: answer(request,
    JSON) -> JSON}."""

    def __init__(self, name: str, works: Documents, tasks: Mapping[str, Task], ctx: Any, config: Callable[[], dict[str, Any]],
                 own: Mapping[str, Answer] | None = None) -> None:
        self.name, self.works, self.pictures, self.tasks, self.config, self.own = name, works, works.pictures, tasks, config, own or {}
        self.engine, self.library, self.runner, self.exchange = ctx.engine, ctx.library, Runner(name), Exchange(works.pictures)
        self.base = ctx.engine.catalog.resolve_base(ctx.settings.base).id

    def routes(self) -> list[BaseRoute]:
        obj, at = json_object(MAX_JSON_BYTES), f"/studio/{self.name}"
        return [
            route(f"{at}/desk", lambda request, asked: self.config()),
            route(f"{at}/documents", self.list), route(f"{at}/documents", self.make, "POST", obj),
            route(f"{at}/document/{{id}}", self.read), route(f"{at}/document/{{id}}", self.write, "PUT", obj),
            route(f"{at}/document/{{id}}", self.remove, "DELETE", nothing), route(f"{at}/document/{{id}}/restore", self.restore, "POST", nothing),
            route(f"{at}/document/{{id}}/cover", self.cover),
            route(f"{at}/picture", self.upload, "POST", raw(MAX_FILE_BYTES)), route(f"{at}/picture/{{id}}", self.picture),
            route(f"{at}/select", self.select, "POST", obj), route(f"{at}/keep", self.keep, "POST", obj),
            route(f"{at}/export/{{format}}", self.export, "POST", obj),
            Route(f"{at}/task/{{id}}", self.task, methods=["POST"]),
            *(route(f"{at}/{path}", answer, "POST", obj) for path, answer in self.own.items())]

    # ---- documents

    def list(self, request: Request, asked: None) -> dict[str, Any]:
        return {"documents": self.works.cards()}

    def make(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """name, history (both may be left out) -> the new document."""
        history = History.from_dict(asked.get("history") or {})
        check(self.pictures, history)
        return self.works.make(asked.get("name", ""), history).to_dict()

    def read(self, request: Request, asked: None) -> dict[str, Any]:
        return self.works.read(request.path_params["id"]).to_dict()

    def write(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """name, history, revision (the one it was read at) -> its new card."""
        history = History.from_dict(asked.get("history"))
        return self.works.write(request.path_params["id"], asked.get("name", ""), history, asked.get("revision")).card()

    def remove(self, request: Request, asked: None) -> dict[str, Any]:
        self.works.remove(request.path_params["id"])
        return {}

    def restore(self, request: Request, asked: None) -> dict[str, Any]:
        return self.works.restore(request.path_params["id"]).card()

    def cover(self, request: Request, asked: None) -> Response:
        """A small picture of what is shown in it now."""
        history = self.works.read(request.path_params["id"]).content
        if not history.now:
            return Response(status_code=204)
        path = self.pictures.preview(history.step(history.now).picture, 320)
        return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], headers={"Cache-Control": "no-cache"})

    # ---- pictures

    def upload(self, request: Request, data: bytes) -> dict[str, Any]:
        """Any picture file -> its id and size, and what a person should know of how it was changed."""
        picture, notes = read_rgba(data)
        return {"id": self.pictures.put(picture), "width": picture.width, "height": picture.height, "notes": list(notes)}

    def picture(self, request: Request, asked: None) -> Response:
        """The PNG, or with side=PX a WebP that is about so large."""
        id, side = request.path_params["id"], request.query_params.get("side", "")
        if side and not re.fullmatch(r"[0-9]{1,5}", side):
            raise BadInput("side is a number of pixels.")
        path = self.pictures.preview(id, int(side)) if side else self.pictures.path(id)
        return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], headers=FOR_EVER)

    def select(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """picture, x, y, how ("thing" or "colour") -> {"mask": id}."""
        if asked.get("picture") not in self.pictures:
            raise BadInput("That picture is not here any more.", "Load it again.")
        mask = selected(partial(self.engine.look, session=self.name), self.pictures[asked["picture"]], asked)
        return {"mask": self.pictures.put(Picture.from_array(np.repeat(mask.array, 3, 2)))}

    # ---- a step as a file, and in the library

    def shown(self, asked: Mapping[str, Any]) -> tuple[tuple[Step, ...], Picture]:
        """history, step (the one shown when left out) -> (the steps that led to it, its picture)."""
        history = History.from_dict(asked.get("history"))
        if not history.now:
            raise BadInput("There is no picture yet.", "Load one first.")
        path = history.path(asked.get("step") or history.now)
        check_step(self.pictures, path[-1])
        return path, self.pictures[path[-1].picture]

    def keep(self, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
        """history, step -> the picture kept in the library, with its Job."""
        path, picture = self.shown(asked)
        item = self.library.keep(picture.array, job_of(path, picture, self.pictures.job(path[-1].picture), self.base))
        return {"id": item.id}

    def export(self, request: Request, asked: dict[str, Any]) -> Response:
        """history, step, name -> the file, which says how it was made."""
        path, picture = self.shown(asked)
        format = request.path_params["format"]
        if format not in WRITTEN_AS:
            raise BadInput(f'A picture is not written as "{format[:20]}".', f"Known: {', '.join(WRITTEN_AS)}.")
        body = {"document": {}, "name": asked.get("name") or path[-1].title}
        if format == "png":
            name, data, media = f"{file_name(body['name'])}.png", png_of(path, picture, self.pictures.job(path[-1].picture), self.base), "image/png"
        else:
            name, data, media = self.exchange.write(format, body | {"document": stack_of(path, picture).to_dict()})
        return Response(data, media_type=media, headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"})

    # ---- tasks

    def call(self, values: Mapping[str, Any]) -> Call:
        """{"history": ..., "base": id, "asked": {...}} -> Call. Raises StudioError."""
        history, asked, base = History.from_dict(values.get("history") or {}), values.get("asked", {}), values.get("base") or self.base
        if not isinstance(asked, dict) or not isinstance(base, str):
            raise BadInput('A task is asked for with "history", "base" and "asked".')
        if history.now:
            check_step(self.pictures, history.step(history.now))
        return Call(self.engine, self.library, self.engine.catalog.base(base).spec.id, history, self.pictures, asked, session=self.name)

    async def task(self, request: Request) -> Response:
        """NDJSON; see Runner.stream."""
        try:
            asked = await json_object(MAX_JSON_BYTES)(request)
            task, call = task_of(self.tasks, request.path_params["id"]), self.call(asked)
            lines = self.runner.stream(request, lambda line: outcome(task, call, line))
        except StudioError as error:
            return refusal(error)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def outcome(task: Task, call: Call, line: Line) -> dict[str, Any]:
    """Run a task; "notes" are always there, and "seconds" how long it took."""
    call = replace(call, progress=line.progress, cancelled=line.cancelled, part=line.part)
    done = task.run(call)
    return done | {"notes": list(done.get("notes", ())), "seconds": call.seconds}


def file_name(name: object) -> str:
    """What a file may be called everywhere."""
    return _FILE_CHARS.sub("", str(name))[:80].strip(" .") or "picture"


def png_of(path: tuple[Step, ...], picture: Picture, own: Job | None, base: str) -> bytes:
    """A PNG with the text other tools read, every step that led to it, and its Job where one paints all of it."""
    texts = {STEPS_KEY: json.dumps(told(path), ensure_ascii=False)}
    if max(picture.width, picture.height) <= MAX_SIDE_PX:
        texts["parameters"] = png.infotext(own or job_of(path, picture, None, base))
    rows = with_alpha(picture).array
    strips = (rows[top:top + STRIP_ROWS] for top in range(0, len(rows), STRIP_ROWS))
    return b"".join(png.encode_rows(strips, picture.width, picture.height, texts, own))


def stack_of(path: tuple[Step, ...], picture: Picture) -> Stack:
    """The picture of the last step as a stack of one layer, for the formats of studio/export; its source says how it was made."""
    last = path[-1]
    source: dict[str, Any] = {"task": last.tab, "asked": last.asked, "steps": told(path)}
    layer = Layer(new_id(), last.title[:MAX_NAME_CHARS] or "Picture", last.picture, Placement.at(0, 0, picture.width, picture.height), source=source)
    if len(str(source)) > MAX_SOURCE_CHARS // 2:
        layer = Layer(layer.id, layer.name, layer.picture, layer.place, source={"task": last.tab})
    return Stack(Extent(picture.width, picture.height), (layer,))


def job_of(path: tuple[Step, ...], picture: Picture, own: Job | None, base: str) -> Job:
    """A Job that makes this very picture: its own where one paints all of it, else the picture itself at strength 0, with the words, seed
    and style that were asked for last."""
    if own is not None:
        return own
    asked = next((step.asked for step in reversed(path) if step.asked.get("words")), path[-1].asked)
    text = lambda name: asked[name] if isinstance(asked.get(name), str) else ""
    seed = asked.get("seed")
    return Job(prompt=text("words") or path[-1].title, style=text("style"), base=text("base") or base, image=picture, strength=0.0,
               seeds=(seed if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else 0,), extent=Extent(picture.width, picture.height))
