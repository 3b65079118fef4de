"""/api/library and /api/recipe over a real ASGI app and the tiny bases."""
from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from starlette.applications import Starlette
from starlette.testclient import TestClient

from models.errors import BadInput
from models.job import Extent, Job
from studio.api.library import MAX_IDS, Shelves
from studio.library.store import Library

HOST = "http://127.0.0.1:7860"
JOB = Job("a fox", "tiny-student", seeds=(3,), extent=Extent(64, 64))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "library")
    yield library
    library.close()


@pytest.fixture
def client(library: Library, tiny_engine: Callable, tmp_path: Path) -> Iterator[TestClient]:
    def similar(id: str, count: int) -> list[tuple[str, float]]:
        return [(other, 0.5) for other in library.ids() if other != id][:count]
    shelves = Shelves(tiny_engine(cache_dir=tmp_path), library, "tiny-student", similar)
    with TestClient(Starlette(routes=shelves.routes()), base_url=HOST) as client:
        yield client


def kept(library: Library, words: str = "a fox") -> str:
    return library.keep(np.zeros((8, 8, 3), np.uint8), JOB.but(prompt=words)).id


def test_pictures_are_listed_found_and_looked_at(client: TestClient, library: Library) -> None:
    fox, cat = kept(library), kept(library, "a cat")
    whole = client.get("/api/library").json()
    assert [item["id"] for item in whole["items"]] == [cat, fox] and whole["total"] == 2 and "path" not in whole["items"][0]
    assert [item["id"] for item in client.get("/api/library", params={"words": "fox", "limit": 1}).json()["items"]] == [fox]
    one = client.get(f"/api/library/{fox}").json()
    assert one["job"]["prompt"] == "a fox" and one["infotext"].startswith("a fox\nSteps: 1")
    assert [item["id"] for item in client.get(f"/api/library/{fox}/similar").json()["items"]] == [cat]
    thumb = client.get(f"/api/library/{fox}/thumb.webp")
    assert thumb.headers["content-type"] == "image/webp" and "immutable" in thumb.headers["cache-control"]


def test_what_is_thrown_away_can_be_got_back_and_boards_are_kept(client: TestClient, library: Library) -> None:
    fox, cat = kept(library), kept(library, "a cat")
    post = lambda what, **body: client.post(f"/api/library/{what}", json=body).json()
    assert post("trash", ids=[fox])["changed"] == 1 and client.get("/api/library", params={"trashed": 1}).json()["total"] == 1
    assert post("delete", ids=[cat])["changed"] == 0 and post("restore", ids=[fox])["usage"]["trashed"] == 0
    assert post("star", ids=[fox, cat])["changed"] == 2 and client.get("/api/library", params={"starred": "true"}).json()["total"] == 2
    assert post("pin", ids=[fox], board="pets")["boards"] == [{"name": "pets", "pictures": 1}]
    assert post("drop-board", name="pets")["boards"] == []
    post("trash", ids=[cat])
    assert post("empty-trash")["usage"]["pictures"] == 1


def test_a_kept_picture_is_painted_again_and_compared(client: TestClient, library: Library) -> None:
    file = io.BytesIO()
    painted = client.post("/api/recipe?paint=1", content=_a1111("a fox", 64, 5), headers={"content-type": "application/octet-stream"}).json()
    id = painted["item"]["id"]
    assert painted["recipe"]["tool"] == "A1111" and painted["job"]["base"] == "tiny-student" and painted["notes"]
    again = client.post("/api/library/rerun", json={"id": id}).json()
    assert again["identical"] and again["largest"] == 0 and again["picture"].startswith("data:image/png;base64,")
    pixels, job = library.open(id)
    other = library.keep(pixels // 2, job).id
    assert not client.post("/api/library/rerun", json={"id": other}).json()["identical"]
    Image.new("RGB", (4, 4)).save(file, "PNG")
    silent = client.post("/api/recipe", content=file.getvalue(), headers={"content-type": "application/octet-stream"})
    assert silent.status_code == 400 and "does not say how it was made" in silent.json()["error"]


def _a1111(words: str, side: int, seed: int) -> bytes:
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("parameters", f"{words}\nSteps: 20, Sampler: Euler, Seed: {seed}, Size: {side}x{side}, Model: dream")
    Image.new("RGB", (4, 4)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


@pytest.mark.parametrize("method,path,body,says", [
    ("GET", "/api/library?limit=x", None, "whole number"), ("GET", "/api/library/../../etc", None, None),
    ("GET", "/api/library/nothing", None, "holds no picture"), ("GET", "/api/library/nothing/thumb.webp", None, "holds no picture"),
    ("POST", "/api/library/trash", {"ids": "all"}, '"ids" is a list'),
    ("POST", "/api/library/trash", {"ids": ["x"] * (MAX_IDS + 1)}, "at most 10,000"), ("POST", "/api/library/pin", {"ids": [], "board": 5}, '"board" is text'),
    ("POST", "/api/library/pin", {"ids": [], "board": " "}, "board's name"), ("POST", "/api/library/rerun", {"id": "nothing"}, "holds no picture")])
def test_bad_requests_get_a_sentence(client: TestClient, method: str, path: str, body: object, says: str | None) -> None:
    answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
    assert answer.status_code in (400, 404) and (says is None or says in answer.json()["error"])


def test_other_sites_change_nothing(client: TestClient, library: Library) -> None:
    fox = kept(library)
    answer = client.post("/api/library/trash", json={"ids": [fox]}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 400 and library.ids() == [fox]
    with pytest.raises(BadInput):
        library.open("no such")
