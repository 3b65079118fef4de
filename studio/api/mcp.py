"""POST /mcp: the studio as a Model Context Protocol server (streamable HTTP, one JSON answer a request), so that assistants can paint.

Stateless: every request stands for itself. The methods are those of the specification's server side that need no stream: initialize, ping,
tools/list and tools/call (modelcontextprotocol.io, "Base protocol" and "Tools").
"""
from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.decoding import decode
from models.errors import BadInput, StudioError
from models.job import Extent
from studio.api.asked import body, refusal
from studio.api.jobs import job_from
from studio.api.sdapi_jobs import file_in, png_text, upscalers_here
from studio.export import png
from studio.library import recipe
from studio.library.store import Query

LIMIT = 128 * 2 ** 20
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
NOT_FOUND, BAD_PARAMS, BROKEN, UNREADABLE, NO_REQUEST = -32601, -32602, -32603, -32700, -32600
MOST_FOUND = 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tool:
    """`run(arguments)` -> content blocks."""
    name: str
    description: str
    properties: dict[str, Any]
    required: tuple[str, ...]
    run: Callable[[dict[str, Any]], list[dict[str, Any]]]
    changes: bool = False

    def to_dict(self) -> dict[str, Any]:
        schema = {"type": "object", "properties": self.properties, "required": list(self.required), "additionalProperties": False}
        return {"name": self.name, "description": self.description, "inputSchema": schema, "annotations": {"readOnlyHint": not self.changes}}


class Mcp:
    """The route and its tools."""

    def __init__(self, engine: Any, library: Any, base: str) -> None:
        self.engine, self.library, self.base = engine, library, base
        spec = engine.catalog.base(base).spec
        text, number = {"type": "string"}, {"type": "integer"}
        picture = {"type": "string", "description": "A picture file (PNG, JPEG, WebP) as base64."}
        styles = {"type": "string", "enum": ["", *(style.id for style in spec.styles)]} if spec.styles else text
        self.tools = {tool.name: tool for tool in (
            Tool("paint", f"Paint a picture from words, or over a given picture. {spec.knows}", {
                "prompt": text, "style": styles, "seed": number, "steps": number | {"minimum": spec.min_steps, "maximum": spec.max_steps},
                "width": number, "height": number, "picture": picture, "freedom": {"type": "number", "minimum": 0, "maximum": 1}, "base": text},
                ("prompt",), self.paint, True),
            Tool("upscale", "Enlarge a picture.", {"picture": picture, "times": {"enum": [2, 4, 8]}}, ("picture",), self.upscale),
            Tool("read_picture", "Say how a picture was made, from its file's metadata.", {"picture": picture}, ("picture",), self.read),
            Tool("search_library", "Find kept pictures by the words of their prompts.", {"words": text}, ("words",), self.search),
            Tool("models", "The models that can paint, and what they know.", {}, (), self.models))}

    def routes(self) -> list[Route]:
        return [Route("/mcp", self.answer, methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        try:
            data = await body(request, LIMIT, ("application/json",), "Send JSON, with its content type.")
        except StudioError as error:
            return refusal(error)
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            return JSONResponse(_error(None, UNREADABLE, "That is no readable JSON."), 400)
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return JSONResponse(_error(None, NO_REQUEST, "Send one JSON-RPC request."), 400)
        if "id" not in message:                      # a notification wants no answer
            return Response(status_code=202)
        return JSONResponse(await run_in_threadpool(self.reply, message))

    def reply(self, message: dict[str, Any]) -> dict[str, Any]:
        """The JSON-RPC answer to one request."""
        id, params = message["id"], message.get("params") or {}
        methods = {"initialize": self.initialize, "ping": lambda p: {}, "tools/call": self.call,
                   "tools/list": lambda p: {"tools": [tool.to_dict() for tool in self.tools.values()]}}
        work = methods.get(message["method"])
        if work is None:
            return _error(id, NOT_FOUND, f"There is no method {message['method'][:80]}.")
        try:
            return {"jsonrpc": "2.0", "id": id, "result": work(params if isinstance(params, dict) else {})}
        except LookupError as error:
            return _error(id, BAD_PARAMS, str(error.args[0]))
        except Exception as error:
            log.exception("A request over MCP failed.")
            return _error(id, BROKEN, f"That failed: {type(error).__name__}.")

    def initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        wished = params.get("protocolVersion")
        return {"protocolVersion": wished if wished in VERSIONS else VERSIONS[0], "capabilities": {"tools": {}},
                "serverInfo": {"name": "onestroke", "title": "Onestroke", "version": "1"}}

    def call(self, params: dict[str, Any]) -> dict[str, Any]:
        """A tool's content; what the user could mend comes back as text with isError, as the specification wants it."""
        tool, given = self.tools.get(params.get("name")), params.get("arguments") or {}
        if tool is None:
            raise LookupError(f"There is no tool {str(params.get('name'))[:80]}. Known: {', '.join(self.tools)}.")
        try:
            if not isinstance(given, dict) or (unknown := sorted(set(given) - set(tool.properties))):
                raise BadInput(f"Unknown argument {', '.join(unknown) if isinstance(given, dict) else given}.", f"Known: {', '.join(tool.properties)}.")
            if missing := [name for name in tool.required if name not in given]:
                raise BadInput(f"{', '.join(missing)} is missing.")
            return {"content": tool.run(given), "isError": False}
        except StudioError as error:
            return {"content": [_text(str(error))], "isError": True}

    def paint(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        base = given.get("base") or self.base
        spec = self.engine.catalog.base(base).spec
        side = spec.native_px[0]
        values = {"prompt": given["prompt"], "base": base, "style": given.get("style", ""), "seeds": [given.get("seed", 0)],
                  "steps": given.get("steps", min(4, spec.max_steps))}
        try:
            job = job_from(values, base).but(extent=Extent(given.get("width", side), given.get("height", side)))
        except TypeError:
            raise BadInput("width and height are whole numbers.") from None
        if given.get("picture"):
            job = job.but(image=decode(file_in(given["picture"])), strength=float(given.get("freedom", 0.7)))
        result = self.engine.render(job, session="mcp")
        item = self.library.keep(result.pixels[0], result.job)
        return [_image(base64.b64encode(png.encode(result.pixels[0], result.job)).decode()),
                _text(" ".join([f"Seed {job.seeds[0]}, {result.job.extent} px, kept in the library as {item.id}.", *result.notes]))]

    def upscale(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        from models.flows.upscale import upscale
        best = upscalers_here(self.engine.catalog)[0]["id"]
        bigger = upscale(self.engine, decode(file_in(given["picture"])), given.get("times", 2), best, session="mcp")
        return [_image(png_text(bigger.array)), _text(f"{bigger.width}x{bigger.height} px.")]

    def read(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        found = recipe.read(file_in(given["picture"]))
        if found is None:
            raise BadInput("This picture's file does not say how it was made.")
        return [_text(json.dumps({k: v for k, v in found.to_dict().items() if k not in ("text", "job") and v not in (None, "", [])}, ensure_ascii=False))]

    def search(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        items = self.library.items(MOST_FOUND, query=Query(words=str(given["words"])[:500]))
        said = [{"id": item.id, "prompt": item.prompt, "seed": item.seed, "base": item.base} for item in items]
        return [_text(json.dumps(said, ensure_ascii=False))]

    def models(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        specs = self.engine.catalog.bases.values()
        return [_text(json.dumps([{"id": spec.id, "title": spec.title, "knows": spec.knows, "styles": [style.id for style in spec.styles]} for spec in specs]))]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(data: str) -> dict[str, Any]:
    return {"type": "image", "data": data, "mimeType": "image/png"}


def _error(id: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}

