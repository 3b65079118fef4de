"""Reading what a request carries, for every route that changes something.

A change is taken only from a page of this very host (a form or script of a foreign site names itself in Origin, and cannot send JSON or
plain bytes without asking first), never larger than said.
"""
from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.errors import BadInput, InUse, StudioError, UnknownId
from studio.guard import own_site

STATUS: tuple[tuple[type[StudioError], int], ...] = ((UnknownId, 404), (InUse, 409), (StudioError, 400))
BYTES = "application/octet-stream"
Read = Callable[[Request], Awaitable[Any]]


def check_own_page(request: Request) -> None:
    """Raises BadInput for what a page of another site sent."""
    if not own_site(request.headers):
        raise BadInput("A page of another site asked for this.", "Open the studio itself.")


async def nothing(request: Request) -> None:
    """The body of a request that carries none."""
    check_own_page(request)


async def body(request: Request, limit: int, media: Iterable[str], says: str) -> bytes:
    """The bytes that were sent as one of the content types `media`. Raises BadInput, `says` for another type."""
    check_own_page(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in media:
        raise BadInput(says)
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BadInput(f"More than {limit:,} bytes were sent.")
    return b"".join(parts)


def raw(limit: int) -> Read:
    """Reads bytes."""
    async def read(request: Request) -> bytes:
        return await body(request, limit, (BYTES,), "Send the file's bytes, as application/octet-stream.")
    return read


def json_object(limit: int) -> Read:
    """Reads a JSON object."""
    async def read(request: Request) -> dict[str, Any]:
        data = await body(request, limit, ("application/json",), "Send JSON, with its content type.")
        try:
            asked = json.loads(data)
        except (ValueError, RecursionError):
            raise BadInput("That is no readable JSON.") from None
        if not isinstance(asked, dict):
            raise BadInput("Send a JSON object.")
        return asked
    return read


def refusal(error: StudioError) -> JSONResponse:
    """{"error": sentence}."""
    return JSONResponse({"error": str(error)}, next(status for kind, status in STATUS if isinstance(error, kind)))


def route(path: str, work: Callable[[Request, Any], Response | dict[str, Any]], method: str = "GET", read: Read | None = None) -> Route:
    """`work(request, what was read)` in a thread of its own; a StudioError as its sentence."""
    async def answer(request: Request) -> Response:
        try:
            asked = await read(request) if read else None
            done = await run_in_threadpool(work, request, asked)
        except StudioError as error:
            return refusal(error)
        return done if isinstance(done, Response) else JSONResponse(done)
    return Route(path, answer, methods=[method])
