"""Who is let in: no page of another site, no other name for this machine, nobody without the key where there is one."""
from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from studio.guard import COOKIE, TRIES, TRIES_S, HostGuard, KeyGuard, SiteGuard
from studio.settings import Settings

HOST, KEY = "http://127.0.0.1:7860", "open sesame"
NAMED = {"host": "127.0.0.1:7860"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def client_of(key: str, clock: Clock | None = None) -> TestClient:
    async def page(request: object) -> PlainTextResponse:
        return PlainTextResponse("in")
    app = Starlette(routes=[Route("/", page, methods=["GET", "POST"]), Route("/api", page, methods=["GET", "POST"]), WebSocketRoute("/socket", echo)],
                    middleware=[Middleware(HostGuard), Middleware(SiteGuard), Middleware(KeyGuard, key=key, clock=clock or Clock())])
    return TestClient(app, base_url=HOST, follow_redirects=False)


@pytest.fixture
def locked() -> Iterator[TestClient]:
    with client_of(KEY) as client:
        yield client


def test_without_a_key_everybody_on_this_machine_is_in() -> None:
    assert client_of("").get("/").text == "in"


def test_a_locked_studio_shows_a_form_to_people_and_a_sentence_to_programs(locked: TestClient) -> None:
    page = locked.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401 and 'type="password"' in page.text and KEY not in page.text
    assert locked.get("/api").text.startswith("This studio is locked") and locked.post("/api").status_code == 401
    with pytest.raises(WebSocketDisconnect), locked.websocket_connect("/socket", headers=NAMED):
        pass


def test_the_link_with_the_key_opens_and_hides_it(locked: TestClient) -> None:
    opened = locked.get("/", params={"key": KEY, "tab": "live"})
    assert opened.status_code == 303 and opened.headers["location"] == "/?tab=live"
    cookie = opened.headers["set-cookie"]
    assert COOKIE in cookie and "HttpOnly" in cookie and "SameSite=lax" in cookie and KEY not in cookie
    assert locked.get("/").text == "in" and locked.get("/api").text == "in"
    with locked.websocket_connect("/socket", headers=NAMED | {"cookie": f"{COOKIE}={locked.cookies[COOKIE]}"}) as socket:
        assert socket.receive_text() == "hello"


def test_gradio_may_start_its_queue_before_anybody_is_in(locked: TestClient) -> None:
    assert locked.get("/gradio_api/startup-events").status_code == 404 and locked.get("/gradio_api/info").status_code == 401


def test_the_form_opens(locked: TestClient) -> None:
    wrong = locked.post("/login", data={"password": "<b>no</b>"}, headers={"accept": "text/html"})
    assert wrong.status_code == 401 and "not the password" in wrong.text and "<b>no" not in wrong.text
    assert locked.post("/login", data={"password": KEY}).headers["location"] == "/"
    assert locked.get("/").text == "in"


def test_a_redirect_never_leaves_this_host(locked: TestClient) -> None:
    opened = locked.get("//evil.example/x", params={"key": KEY})
    assert not opened.headers["location"].startswith(("//", "/\\", "http"))


@pytest.mark.parametrize("value,status", [
    (f"Bearer {KEY}", 200), ("Bearer no", 401), (f"Basic {base64.b64encode(f'me:{KEY}'.encode()).decode()}", 200), ("Basic !!", 401),
    (f"Basic {base64.b64encode(b'me:no').decode()}", 401), ("Digest x", 401), ("Bearer", 401)])
def test_programs_send_the_key_in_a_header(locked: TestClient, value: str, status: int) -> None:
    assert locked.post("/api", headers={"authorization": value}).status_code == status


@pytest.mark.parametrize("cookie", [b"", b"x", b"\xc3\xa9", KEY.encode()])
def test_a_forged_cookie_opens_nothing(locked: TestClient, cookie: bytes) -> None:
    assert locked.get("/api", headers={b"cookie": COOKIE.encode() + b"=" + cookie}).status_code == 401


def test_guessing_is_slow() -> None:
    clock = Clock()
    client = client_of(KEY, clock)
    for _ in range(TRIES):
        assert client.get("/api", headers={"authorization": "Bearer no"}).status_code == 401
    assert client.get("/api", headers={"authorization": f"Bearer {KEY}"}).status_code == 429, "not even the right one, or guessing would go on"
    clock.now = TRIES_S + 1
    assert client.get("/api", headers={"authorization": f"Bearer {KEY}"}).status_code == 200


@pytest.mark.parametrize("origin,status", [("http://127.0.0.1:7860", 200), ("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:9999", 403)])
def test_changes_come_from_our_own_pages_only(origin: str, status: int) -> None:
    assert client_of("").post("/api", headers={"origin": origin}).status_code == status
    assert client_of("").get("/api", headers={"origin": origin}).status_code == 200


def test_sockets_of_other_sites_are_refused() -> None:
    with pytest.raises(WebSocketDisconnect), client_of("").websocket_connect("/socket", headers=NAMED | {"origin": "http://evil.example"}):
        pass
    with client_of("").websocket_connect("/socket", headers=NAMED | {"origin": HOST}) as socket:
        assert socket.receive_text() == "hello"


def test_answers_carry_the_headers_that_protect_a_page() -> None:
    headers = client_of("").get("/").headers
    assert headers["x-content-type-options"] == "nosniff" and "frame-ancestors 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"], "nothing comes from another host"


def test_a_studio_that_others_reach_always_has_a_key() -> None:
    for flag in ("--listen", "--share"):
        first, second = (Settings.from_args([flag], {}).password for _ in range(2))
        assert len(first) >= 16 and first != second
    assert Settings.from_args([], {}).password == "" and Settings.from_args(["--listen", "--password", "own"], {}).password == "own"
    assert Settings.from_args([], {"ONESTROKE_PASSWORD": "env"}).password == "env"
    assert "own" not in repr(Settings.from_args(["--password", "own"], {})) and Settings.from_args(["--password", "own"], {}).to_dict()["password"] == "set"
