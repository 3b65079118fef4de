"""The hub behind a real ASGI app: who gets in, what ends a connection, and what is left after it."""
from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from models.job import Extent, Job, Picture, Result, Timings
from studio.library.store import Library
from studio.live import hub as hub_module
from studio.live.hub import CLOSE_FULL, CLOSE_MALFORMED, Hub
from studio.live.surface import Surface

CLIENT = "0123456789abcdef"
BLACK_DOT = struct.pack("<I4H", 1, 5, 5, 1, 1) + bytes([0, 0, 0, 255])


class Engine:
    """Paints the drawing back."""

    def render(self, job: Job, cancel: Callable[[], bool], **who: object) -> Result:
        return Result(job.image.array[None].copy(), job, Timings())


def make_job(controls, canvas: np.ndarray, reference: object = None) -> Job:
    return Job(prompt=controls.prompt, extent=Extent(16, 16), image=Picture.from_array(canvas[:16, :16]))


@pytest.fixture
def hub(tmp_path) -> Iterator[Hub]:
    library = Library(tmp_path)
    hub = Hub(Engine(), library, Surface("live", make_job, lambda job: None))
    yield hub
    hub.close()
    library.close()


@pytest.fixture
def client(hub) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=[hub.route()])) as client:
        yield client


def address(token: str, name: str = CLIENT) -> str:
    return f"/studio/live/socket?token={token}&client={name}"


def header(data: bytes) -> dict:
    (length,) = struct.unpack_from("<I", data)
    return json.loads(data[4:4 + length])


def gone(hub: Hub) -> bool:
    end = time.monotonic() + 5
    while hub.sessions and time.monotonic() < end:
        time.sleep(0.01)
    return not hub.sessions


def test_a_patch_is_answered_by_a_frame_and_the_session_ends_with_the_socket(hub, client):
    with client.websocket_connect(address(hub.mint())) as ws:
        ws.send_bytes(BLACK_DOT)
        assert {"t": "frame", "seq": 1, "mode": "draw", "media": "image/jpeg"}.items() <= header(ws.receive_bytes()).items()
    assert gone(hub) and not hub._waiting


def test_the_same_page_finds_its_frames_again_and_another_does_not(hub, client):
    with client.websocket_connect(address(hub.mint())) as ws:
        ws.send_bytes(BLACK_DOT)
        first = header(ws.receive_bytes())["id"]
        time.sleep(0.1)
    assert gone(hub)
    with client.websocket_connect(address(hub.mint(), "fedcba9876543210")) as ws:
        ws.send_bytes(BLACK_DOT)
        assert header(ws.receive_bytes())["t"] == "frame"
    with client.websocket_connect(address(hub.mint())) as ws:
        assert {"t": "past", "id": first}.items() <= header(ws.receive_bytes()).items()


def test_frames_of_a_page_that_stays_away_are_forgotten(tmp_path):
    now, library = [0.0], Library(tmp_path)
    hub = Hub(Engine(), library, Surface("live", make_job, lambda job: None), clock=lambda: now[0])
    with TestClient(Starlette(routes=[hub.route()])) as client:
        with client.websocket_connect(address(hub.mint())) as ws:
            ws.send_bytes(BLACK_DOT)
            ws.receive_bytes()
            time.sleep(0.1)
        assert gone(hub) and hub._parked
        now[0] += hub_module.PARK_LIFE_S + 1
        with client.websocket_connect(address(hub.mint(), "fedcba9876543210")):
            pass
        assert not hub._parked
    hub.close()
    library.close()


@pytest.mark.parametrize("query, headers", [("token=no", {}), ("", {}), ("token={}", {"origin": "https://evil.example"})])
def test_strangers_are_refused_before_the_handshake(hub, client, query, headers):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"/studio/live/socket?{query.format(hub.mint())}", headers=headers):
        pass
    assert not hub.sessions


def test_a_malformed_patch_ends_the_connection_with_its_reason(hub, client):
    with client.websocket_connect(address(hub.mint())) as ws:
        ws.send_bytes(b"rubbish")
        with pytest.raises(WebSocketDisconnect) as end:
            ws.receive_bytes()
    assert end.value.code == CLOSE_MALFORMED and gone(hub)


def test_one_session_too_many_is_told_so(hub, client, monkeypatch):
    monkeypatch.setattr(hub_module, "MAX_SESSIONS", 1)
    with client.websocket_connect(address(hub.mint())), client.websocket_connect(address(hub.mint(), "x" * 20)) as second:
        with pytest.raises(WebSocketDisconnect) as end:
            second.receive_bytes()
        assert end.value.code == CLOSE_FULL and len(hub.sessions) == 1


def test_a_frame_is_found_by_the_secret_name_only(hub, client):
    from models.errors import BadInput
    with client.websocket_connect(address(hub.mint())) as ws:
        ws.send_bytes(BLACK_DOT)
        number = header(ws.receive_bytes())["id"]
        time.sleep(0.1)
        assert hub.frame(CLIENT, number).job.extent == Extent(16, 16)
        with pytest.raises(BadInput, match="not connected"):
            hub.frame("someone else", number)
