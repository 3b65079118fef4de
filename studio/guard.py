"""Who may ask this server anything: by the name it is called, by the site the question comes from, and by a key where others can reach it.

Three layers of plain ASGI, so that pages, sockets, Gradio's own routes and the API are all behind them.
"""
from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STRANGE_HOST = "The studio is not served under this name. Open it by the address or the host name of its machine."
STRANGE_SITE = "A page of another site asked for this. Open the studio itself."
LOCKED = "This studio is locked. Send its password as a Bearer token, or as the password of HTTP Basic."
STARTING = "/gradio_api/startup-events"              # Gradio asks itself this while it starts; it starts the queue and tells nothing
READS = ("GET", "HEAD", "OPTIONS")
COOKIE, COOKIE_LIFE_S = "onestroke_key", 30 * 86400
TRIES, TRIES_S, MAX_CALLERS = 10, 60.0, 1000         # wrong passwords of one address, in how many seconds, of how many that are remembered
POLICY = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
          "connect-src 'self' data: blob:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'")
SECURE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
          "Content-Security-Policy": POLICY}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Onestroke</title>
<style>body{{font:16px system-ui;background:#f5f3ef;color:#1d1b1a;display:grid;place-items:center;min-height:95vh}}form{{display:grid;gap:.8rem;width:17rem}}
input,button{{font:inherit;padding:.6rem;border:1px solid #cfc8bd;border-radius:8px}}button{{background:#d24a31;color:#fff;border:0}}
@media(prefers-color-scheme:dark){{body{{background:#1d1b1a;color:#f5f3ef}}}}</style>
<form method="post" action="login"><h1>Onestroke</h1><label for="p">Password of this studio</label>
<input id="p" name="password" type="password" autocomplete="current-password" autofocus required>
<p role="alert">{says}</p><button>Open</button></form></html>"""


class HostGuard:
    """Refuses requests whose Host is neither an address nor a name of this machine. A page of a foreign site that points its
    name here (DNS rebinding) always comes by name."""

    def __init__(self, app: ASGIApp, names: tuple[str, ...] = ()) -> None:
        self.app, self.names = app, ("localhost", *names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self.trusts(dict(scope["headers"]).get(b"host", b"").decode("latin-1")):
            await PlainTextResponse(STRANGE_HOST, 400)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def trusts(self, host: str) -> bool:
        name = host[1:host.find("]")] if host.startswith("[") else host.rsplit(":", 1)[0] if ":" in host else host
        try:
            ipaddress.ip_address(name)
            return True
        except ValueError:
            return any(name == known or (known.startswith("*") and name.endswith(known[1:])) for known in self.names)


class SiteGuard:
    """Refuses what changes something, and every socket, when the page that asks is of another origin (CSRF on localhost); adds the headers
    that keep a page of ours from being framed, sniffed or fed from elsewhere. Programs send no Origin and pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif (scope["type"] == "websocket" or scope["method"] not in READS) and not own_site(Headers(scope=scope)):
            await _refuse(PlainTextResponse(STRANGE_SITE, 403), scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)


class KeyGuard:
    """Lets in who knows `key`: by a cookie that ?key=... or the form of the page gives, a Bearer token, or the password of HTTP Basic.
    Ten wrong ones in a minute and an address waits. With an empty key everybody is let in."""

    def __init__(self, app: ASGIApp, key: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.app, self.key, self.clock = app, key, clock
        self.cookie = hmac.new(key.encode(), b"onestroke cookie", hashlib.sha256).hexdigest()
        self._wrong: dict[str, list[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.key or scope["type"] not in ("http", "websocket") or scope["path"] == STARTING or self._has_cookie(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        caller = (scope.get("client") or ("",))[0]
        if self._waits(caller):
            await _refuse(PlainTextResponse("Too many wrong passwords. Wait a minute.", 429), scope, receive, send)
            return
        given = header_key(Headers(scope=scope))
        if given is not None and self._right(given, caller):
            await self.app(scope, receive, send)
            return
        response = await self._opened(scope, receive, caller) if scope["type"] == "http" and given is None else PlainTextResponse(LOCKED, 401)
        await _refuse(response, scope, receive, send)

    async def _opened(self, scope: Scope, receive: Receive, caller: str) -> Response:
        """The answer to a caller without a key: a redirect with the cookie when the address or the form holds the right one."""
        request = Request(scope, receive)
        prefix = scope.get("root_path", "")
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        if "key" in query:
            if self._right(query.pop("key"), caller):
                return self._let_in(scope["path"] + (f"?{urlencode(query)}" if query else ""), request)
        elif scope["method"] == "POST" and scope["path"].removeprefix(prefix) == "/login":
            form = dict(parse_qsl((await _body(request, 4096)).decode("utf-8", "replace")))
            if self._right(form.get("password", ""), caller):
                return self._let_in(f"{prefix}/", request)
        elif "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(LOCKED, 401)
        else:
            return HTMLResponse(PAGE.format(says=""), 401)
        return HTMLResponse(PAGE.format(says=escape("That is not the password.")), 401)

    def _let_in(self, to: str, request: Request) -> Response:
        response = RedirectResponse("/" + to.lstrip("/\\"), 303)
        response.set_cookie(COOKIE, self.cookie, COOKIE_LIFE_S, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return response

    def _has_cookie(self, headers: Headers) -> bool:
        given = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return hmac.compare_digest(given.encode(), self.cookie.encode())

    def _right(self, given: str, caller: str) -> bool:
        right = hmac.compare_digest(given.encode(), self.key.encode())
        if not right:
            if len(self._wrong) >= MAX_CALLERS:
                self._wrong.pop(next(iter(self._wrong)))
            self._wrong.setdefault(caller, []).append(self.clock())
        return right

    def _waits(self, caller: str) -> bool:
        recent = [at for at in self._wrong.get(caller, ()) if self.clock() - at < TRIES_S]
        self._wrong[caller] = recent[-TRIES:]
        if not recent:
            del self._wrong[caller]
        return len(recent) >= TRIES


def own_site(headers: Headers) -> bool:
    """Whether a request comes from a page of this host, or from no page at all."""
    origin = headers.get("origin")
    return not origin or urlsplit(origin).netloc == headers.get("host")


def header_key(headers: Headers) -> str | None:
    """The password in an Authorization header, None without one."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return None


def _with_headers(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURE.items():
                headers.setdefault(name, value)
        await send(message)
    return secured


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403, "reason": ""})
    else:
        await response(scope, receive, send)


async def _body(request: Request, limit: int) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > limit:
            return b""
    return body
