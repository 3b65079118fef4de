"""/studio/layers over a real ASGI app and the tiny bases: documents, pictures, tasks as a stream, files in and out."""
from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from models.errors import BadInput, StudioError
from models.job import Extent, Job, Picture
from models.layers.stack import Placement, Stack
from studio.layers.calls import Calls, sparse
from studio.layers.documents import Documents
from studio.layers.exchange import Exchange
from studio.layers.live import live_job, offers
from studio.layers.routes import Routes
from studio.layers.task import Call, Made, Outcome, Task, discover_tasks
from studio.library.store import Library
from studio.live.controls import Controls

HOST, RAW = "http://127.0.0.1:7860", {"Content-Type": "application/octet-stream"}
GREY = Picture.from_array(np.full((12, 16, 4), 90, np.uint8))


def paint(call: Call) -> Outcome:
    """One layer that the tiny base paints, and one other proposal."""
    call.progress(1, 2, "painting")
    job = Job(prompt=call.words(), base=call.base, extent=Extent(64, 64), seeds=(call.whole("seed", 1),))
    made = Made(call.text("words"), Picture.from_array(call.render(job).pixels[0].copy()), Placement(32, 32, 64, 64), {"words": job.prompt}, job=job)
    return Outcome((made,), replaces=tuple(layer.id for layer in call.layers()), notes=("A note.",), proposals=(Outcome((made,), group="Other"),))


def broken(call: Call) -> Outcome:
    raise RuntimeError("inside")


def patient(call: Call) -> Outcome:
    while True:
        call.check()
        threading.Event().wait(0.01)


@pytest.fixture
def routes(tiny_engine: Callable, tmp_path: Path) -> Iterator[Routes]:
    engine, library = tiny_engine(cache_dir=tmp_path), Library(tmp_path / "library")
    documents = Documents(library.folder / "layers")
    calls = Calls(engine, library, documents.pictures, "tiny-student")
    tasks = {task.id: task for task in (Task("paint", "Paint", paint), Task("broken", "Broken", broken), Task("patient", "Patient", patient))}
    yield Routes(documents, calls, tasks, Exchange(documents.pictures), None, lambda: {"base": "tiny-student"})
    calls.close()
    library.close()


@pytest.fixture
def client(routes: Routes) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=routes.routes()), base_url=HOST) as client:
        yield client


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: object) -> bytes:
    out, image = io.BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def upload(client: TestClient, data: bytes) -> dict:
    return client.post("/studio/layers/picture", content=data, headers=RAW).json()


def test_a_document_goes_to_disk_and_comes_back(client: TestClient) -> None:
    made = client.post("/studio/layers/documents", json={"name": "One"}).json()
    id = upload(client, encoded(GREY.array))["id"]
    layer = {"id": "a", "name": "Grey", "picture": id, "place": {"x": 8, "y": 6, "width": 16, "height": 12}}
    stack = {"extent": {"width": 64, "height": 48}, "layers": [layer]}
    card = client.put(f"/studio/layers/document/{made['id']}", json={"name": "Two", "stack": stack, "revision": 1}).json()
    assert card["revision"] == 2 and card["layers"] == 1
    read = client.get(f"/studio/layers/document/{made['id']}").json()
    assert read["name"] == "Two" and Stack.from_dict(read["stack"]) == Stack.from_dict(stack)
    assert client.put(f"/studio/layers/document/{made['id']}", json={"name": "Old", "stack": stack, "revision": 1}).status_code == 409
    with Image.open(io.BytesIO(client.get(f"/studio/layers/document/{made['id']}/cover").content)) as cover:
        assert cover.size == (64, 48) and cover.convert("RGBA").getpixel((60, 40))[3] == 0
    client.delete(f"/studio/layers/document/{made['id']}")
    assert client.get("/studio/layers/documents").json()["documents"] == []
    assert client.post(f"/studio/layers/document/{made['id']}/restore").json()["name"] == "Two"


@pytest.mark.parametrize("kind,mode,options", [("PNG", None, {}), ("PNG", "P", {}), ("PNG", "LA", {}), ("WEBP", None, {"lossless": True}), ("TIFF", "CMYK", {}),
                                               ("GIF", "P", {}), ("JPEG", "RGB", {}), ("BMP", "RGB", {})])
def test_any_picture_becomes_rgba(client: TestClient, kind: str, mode: str | None, options: dict) -> None:
    kept = upload(client, encoded(GREY.array, kind, mode, **options))
    answer = client.get(f"/studio/layers/picture/{kept['id']}")
    assert answer.headers["content-type"] == "image/png" and "immutable" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.mode == "RGBA" and image.size == (16, 12) == (kept["width"], kept["height"])
        assert abs(image.getpixel((3, 3))[0] - 90) < 12


def test_an_svg_stays_a_drawing(client: TestClient) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><rect width="20" height="20" fill="#ff0000"/></svg>'
    kept = upload(client, svg)
    assert (kept["width"], kept["height"]) == (1024, 512) and "rect" in kept["svg"]
    assert "script" in upload(client, svg.replace(b"<rect", b"<script>1</script><rect"))["error"]


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, encoded(GREY.array)[:60], b"PK\x03\x04nothing"])
def test_what_is_no_picture_is_refused_with_a_sentence(client: TestClient, data: bytes) -> None:
    for path in ("picture", "open"):
        answer = client.post(f"/studio/layers/{path}", content=data, headers=RAW)
        assert answer.status_code == 400 and len(answer.json()["error"]) > 20


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"} | RAW, {"Content-Type": "text/plain"}])
def test_a_foreign_page_brings_nothing_in(client: TestClient, headers: dict) -> None:
    assert client.post("/studio/layers/picture", content=encoded(GREY.array), headers=headers).status_code == 400
    made = client.post("/studio/layers/documents", json={}).json()
    if "Origin" in headers:
        assert client.delete(f"/studio/layers/document/{made['id']}", headers=headers).status_code == 400
        assert len(client.get("/studio/layers/documents").json()["documents"]) == 1


def run(client: TestClient, task: str, **asked: object) -> list[dict]:
    body = {"document": {"extent": {"width": 64, "height": 64}, "layers": []}, "asked": asked}
    return [json.loads(line) for line in client.post(f"/studio/layers/task/{task}", json=body).text.splitlines()]


def test_a_task_tells_its_progress_and_its_layers(client: TestClient, routes: Routes) -> None:
    lines = run(client, "paint", words="a fox", seed=5)
    assert lines[0] == {"progress": [1, 2, "painting"]}
    outcome = lines[-1]["outcome"]
    (layer,) = Stack.from_dict({"extent": {"width": 64, "height": 64}, "layers": outcome["layers"]}).layers
    assert layer.name == "a fox" and layer.picture in routes.pictures and outcome["notes"] == ["A note."]
    assert routes.pictures.job(layer.picture).seeds == (5,) and outcome["proposals"][0]["group"] == "Other"
    assert run(client, "paint", words="a fox", seed=5)[-1]["outcome"]["layers"][0]["picture"] == layer.picture


@pytest.mark.parametrize("task,asked,says", [
    ("paint", {}, "no words"), ("paint", {"words": "x", "seed": -1}, "whole number"), ("paint", {"words": 7}, "must be text"),
    ("paint", {"words": "x", "layers": ["gone"]}, "no layer"), ("broken", {}, "RuntimeError"), ("nothing", {}, "Known")])
def test_a_task_that_fails_says_why(client: TestClient, task: str, asked: dict, says: str) -> None:
    assert says in run(client, task, **asked)[-1]["error"]


def test_a_task_whose_page_went_away_stops(routes: Routes) -> None:
    class Gone:
        async def is_disconnected(self) -> bool:
            return True

    async def listen() -> list[bytes]:
        call = routes.calls.call({"document": Stack(Extent(8, 8)).to_dict()})
        return [line async for line in routes.calls.lines(Gone(), routes.tasks["patient"], call)]

    import asyncio
    assert asyncio.run(listen()) == []
    for _ in range(200):
        if not routes.calls._running:
            return
        threading.Event().wait(0.02)
    raise AssertionError("the task runs on")


def test_every_format_writes_and_only_what_is_chosen(client: TestClient, routes: Routes) -> None:
    id = routes.pictures.put(GREY)
    layers = [{"id": f"l{n}", "name": f"L{n}", "picture": id, "place": {"x": 8 + 16 * n, "y": 6, "width": 16, "height": 12}} for n in range(2)]
    body = {"document": {"extent": {"width": 32, "height": 12}, "layers": layers}, "name": "My: file", "only": ["l1"], "scale": 2}
    answer = client.post("/studio/layers/export/png", json=body)
    assert "My%20file.png" in answer.headers["content-disposition"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (64, 24) and image.getpixel((10, 10))[3] == 0 and image.getpixel((50, 10))[3] == 90
    assert client.post("/studio/layers/export/png", json=body | {"background": "#ff0000"}).status_code == 200
    for wrong in ({"scale": 0}, {"scale": "2"}, {"background": "red"}, {"only": ["nope"]}, {"document": None}):
        assert "error" in client.post("/studio/layers/export/png", json=body | wrong).json()
    assert client.post("/studio/layers/export/doc", json=body).status_code == 404


def test_a_picture_opens_as_a_document_of_its_size(client: TestClient) -> None:
    made = client.post("/studio/layers/open?name=cat.png", content=encoded(GREY.array), headers=RAW).json()
    assert made["name"] == "cat" and made["stack"]["extent"] == {"width": 16, "height": 12} and made["stack"]["layers"][0]["name"] == "cat"


@pytest.mark.parametrize("format", ["psd", "ora", "project"])
def test_a_file_with_layers_opens_with_its_layers(client: TestClient, routes: Routes, format: str) -> None:
    id = routes.pictures.put(GREY)
    layers = [{"id": f"l{n}", "name": f"L{n}", "picture": id, "place": {"x": 8 + 16 * n, "y": 6, "width": 16, "height": 12}} for n in range(2)]
    data = client.post(f"/studio/layers/export/{format}", json={"document": {"extent": {"width": 32, "height": 12}, "layers": layers}}).content
    made = client.post("/studio/layers/open?name=two.file", content=data, headers=RAW).json()
    assert [layer["name"] for layer in made["stack"]["layers"]] == ["L0", "L1"] and "notes" in made
    assert all(routes.pictures[layer["picture"]] == GREY for layer in made["stack"]["layers"])


def test_live_words_ask_for_alpha_where_there_is_some(tiny_engine: Callable) -> None:
    catalog = tiny_engine().catalog
    job = live_job(Controls(prompt="a leaf", base="embedded", seed=4), catalog.able("embedded"))
    assert [use.id for use in job.adapters] == [catalog.able("embedded").granted["rgba"]] and job.seeds == (4,)
    with pytest.raises(BadInput, match="no words"):
        live_job(Controls(prompt=" ", base="embedded"), catalog.able("embedded"))
    assert {offer["id"]: offer["rgba"] for offer in offers(catalog)}["embedded"] is True


def test_progress_is_thinned_but_new_words_are_told() -> None:
    told, now = [], iter([0.0, 0.01, 0.02, 0.2])
    progress = sparse(lambda *what: told.append(what), lambda: next(now))
    for what in ((0, 9, "a"), (1, 9, "a"), (2, 9, "b"), (3, 9, "b")):
        progress(*what)
    assert told == [(0, 9, "a"), (2, 9, "b"), (3, 9, "b")]


def test_tasks_are_found_by_folder_and_call_reads_strictly() -> None:
    assert all(id == task.id and task.title for id, task in discover_tasks().items())
    call = Call(None, None, "", Stack(Extent(8, 8)), {}, {"a": True, "n": 3, "f": 0.5, "c": "x"})
    assert call.flag("a") and call.whole("n", 0) == 3 and call.number("f", 0, 0, 1) == 0.5 and call.choice("c", "x", ("x", "y")) == "x"
    for wrong in (lambda: call.whole("a", 0), lambda: call.number("n", 0, 0, 1), lambda: call.choice("c", "y", ("y",)), lambda: call.flag("n"), call.layer):
        with pytest.raises(StudioError):
            wrong()


def test_a_live_frame_keeps_its_alpha_exactly() -> None:
    from studio.live.wire import encode_picture
    y, x = np.mgrid[:64, :64]
    pixels = np.dstack([x * 4, y * 4, 255 - x * 2, (x * y) % 256]).astype(np.uint8)
    media, body = encode_picture(pixels)
    with Image.open(io.BytesIO(body)) as image:
        got = np.asarray(image.convert("RGBA"))
    assert media == "image/webp" and np.array_equal(got[..., 3], pixels[..., 3])
    assert np.abs(got[..., :3].astype(int) - pixels[..., :3])[pixels[..., 3] > 128].mean() < 12
