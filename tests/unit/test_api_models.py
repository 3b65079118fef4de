"""/api/models over a real ASGI app and the tiny bases: what is listed, what changes, and who may change it."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from models import hub
from studio.api.models import Desk
from tests.unit.test_shelf import lora_file

HOST = "http://127.0.0.1:7860"


@pytest.fixture
def desk(tiny_engine: Callable, tmp_path: Path) -> Desk:
    lora_file(tmp_path / "models/loras/Blue Ink.safetensors", **{"modelspec.trigger_phrase": "inky"})
    engine = tiny_engine(cache_dir=tmp_path, models_dir=tmp_path / "models")
    engine.catalog.shelf.refresh()
    return Desk(engine, reachable=False)


@pytest.fixture
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=desk.routes()), base_url=HOST) as client:
        yield client


def test_what_is_known_is_listed_and_searched(client: TestClient) -> None:
    whole = client.get("/api/models").json()
    assert {"tiny-student", "tiny-teacher", "embedded", "blue-ink"} <= {card["id"] for card in whole["items"]}
    assert whole["memory"]["resident"] == [] and whole["memory"]["budget_bytes"] > 0
    found = client.get("/api/models", params={"words": "inky", "kind": "lora"}).json()
    assert [card["id"] for card in found["items"]] == ["blue-ink"] and found["total"] == 1
    ids = [card["id"] for card in whole["items"]]
    pages = [client.get("/api/models", params={"limit": 3, "offset": at}).json()["items"] for at in range(0, len(ids), 3)]
    assert [card["id"] for page in pages for card in page] == ids


def test_a_base_is_loaded_pinned_and_unloaded(client: TestClient) -> None:
    tiny = {"kind": "base", "id": "tiny-student"}
    (held,) = client.post("/api/models/load", json=tiny).json()["memory"]["resident"]
    assert held["id"] == "tiny-student" and held["bytes"] > 0 and held["load_s"] > 0 and not held["pinned"]
    assert client.post("/api/models/pin", json=tiny).json()["memory"]["resident"][0]["pinned"]
    card = next(c for c in client.get("/api/models").json()["items"] if c["id"] == "tiny-student")
    assert card["state"] == "pinned" and card["memory_bytes"] == held["bytes"]
    assert not client.post("/api/models/pin", json=tiny | {"on": False}).json()["memory"]["resident"][0]["pinned"]
    assert client.post("/api/models/unload", json=tiny).json()["memory"]["resident"] == []


def test_a_file_is_added_by_its_path(client: TestClient, tmp_path: Path) -> None:
    path = lora_file(tmp_path / "elsewhere/mine.safetensors")
    assert client.post("/api/models/add", json={"source": str(path)}).json()["card"]["id"] == "mine"
    refused = client.post("/api/models/add", json={"source": str(tmp_path / "nothing.safetensors")})
    assert refused.status_code == 400 and "cannot be read" in refused.json()["error"]


def test_a_hub_model_says_its_size_before_it_is_fetched(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lora_file(tmp_path / "cache/far.safetensors")
    parcel = hub.Parcel("owner/far", "main", (("far.safetensors", 12_000_000, ""),), "far.safetensors")
    monkeypatch.setattr(hub, "look_up", lambda source: parcel)
    monkeypatch.setattr(hub, "fetch", lambda parcel, report: path)
    early = client.post("/api/models/add", json={"source": "owner/far", "download": True})
    assert early.status_code == 400 and "Ask first" in early.json()["error"]
    assert client.post("/api/models/add", json={"source": "owner/far"}).json()["size"] == 12_000_000
    assert client.post("/api/models/add", json={"source": "owner/far", "download": True}).json()["card"]["id"] == "far"


@pytest.mark.parametrize("path,body,status,says", [
    ("load", {"kind": "base", "id": "nope"}, 404, "There is no base"), ("load", {"kind": "engine", "id": "x"}, 404, "Known: base, adapter, percept"),
    ("load", {"kind": "base", "id": 7}, 400, "no text"), ("pin", {"kind": "base", "id": "tiny-student", "on": "yes"}, 400, "true or false"),
    ("add", {}, 400, "no source"), ("add", {"source": "a\0b"}, 400, "no text"), ("add", [], 400, "JSON object"),
    ("add", {"source": "x" * 20_000}, 400, "bytes were sent")])
def test_bad_requests_are_answered_by_a_sentence(client: TestClient, path: str, body: object, status: int, says: str) -> None:
    answer = client.post(f"/api/models/{path}", json=body)
    assert answer.status_code == status and says in answer.json()["error"]


def test_a_foreign_page_changes_nothing(client: TestClient) -> None:
    tiny = {"kind": "base", "id": "tiny-student"}
    assert client.post("/api/models/load", json=tiny, headers={"Origin": "http://evil.example"}).status_code == 400
    assert client.post("/api/models/load", content='{"kind": "base", "id": "tiny-student"}', headers={"Content-Type": "text/plain"}).status_code == 400
    assert client.get("/api/models").json()["memory"]["resident"] == []
    assert client.post("/api/models/load", json=tiny, headers={"Origin": HOST}).status_code == 200


def test_others_cannot_make_the_studio_read_its_disk(desk: Desk, tmp_path: Path) -> None:
    desk.reachable = True
    with TestClient(Starlette(routes=desk.routes()), base_url=HOST) as client:
        answer = client.post("/api/models/add", json={"source": str(lora_file(tmp_path / "x.safetensors"))})
        assert answer.status_code == 400 and "models add" in answer.json()["error"]
        assert client.get("/api/models").json()["folder"] == "" and not client.get("/api/models").json()["adding"]
