"""The routes of a workbench tab over a real ASGI app and the tiny bases: pictures in and out, tasks as a stream, masks, the library."""
from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from models.errors import BadInput
from models.job import Extent, Picture, Result, Timings
from models.pixels import flatten
from studio.library.store import Library
from studio.workbench.bench import received
from studio.workbench.routes import STEPS_KEY, Routes, works_at
from studio.workbench.task import Call, Task, discover_tasks, mask_from, plain

HOST, RAW = "http://127.0.0.1:7860", {"Content-Type": "application/octet-stream"}


def gradient(width: int = 40, height: int = 30, alpha: bool = True) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    rgba = np.dstack([x * 5, y * 6, 255 - x * 3, np.where(x > width // 2, 255, y * 8)]).astype(np.uint8)
    return np.ascontiguousarray(rgba if alpha else rgba[..., :3])


def paint(call: Call) -> dict[str, Any]:
    """What the tiny base paints, told once on the way."""
    call.progress(1, 2, "painting")
    job = call.job(Extent(64, 64))
    kept = call.keep(Picture.from_array(call.render(job).pixels[0].copy()), job)
    call.part({"half": True})
    return {"pictures": [kept], "notes": ["A note."], "seen": [call.step.title, call.source().channels]}


def broken(call: Call) -> dict[str, Any]:
    raise RuntimeError("inside")


def patient(call: Call) -> dict[str, Any]:
    while True:
        call.check()
        threading.Event().wait(0.01)


@pytest.fixture
def routes(tiny_engine: Callable, tmp_path: Path) -> Iterator[Routes]:
    engine, library = tiny_engine(cache_dir=tmp_path), Library(tmp_path / "library")
    tasks = {task.id: task for task in (Task("paint", "Paint", paint), Task("broken", "Broken", broken), Task("patient", "Patient", patient))}
    ctx = SimpleNamespace(engine=engine, library=library, settings=SimpleNamespace(base="tiny-student"))
    own = {"twice": lambda request, asked: {"said": asked["word"] * 2}}
    made = Routes("try", works_at(library.folder / "workbench"), tasks, ctx, lambda: {"base": "tiny-student"}, own)
    yield made
    made.runner.close()
    library.close()


@pytest.fixture
def client(routes: Routes) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=routes.routes()), base_url=HOST) as client:
        yield client


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    out, image = io.BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def upload(client: TestClient, data: bytes) -> dict[str, Any]:
    return client.post("/studio/try/picture", content=data, headers=RAW).json()


def history_of(kept: dict[str, Any], **more: Any) -> dict[str, Any]:
    step = {"id": "0" * 12, "picture": kept["id"], "width": kept["width"], "height": kept["height"], "title": "Start"} | more
    return {"steps": [step], "now": step["id"]}


def run(client: TestClient, task: str, history: dict[str, Any], **asked: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.post(f"/studio/try/task/{task}", json={"history": history, "asked": asked}).text.splitlines()]


def test_pictures_of_all_kinds_come_in_with_a_word_about_what_was_changed(client: TestClient, routes: Routes) -> None:
    kept = upload(client, encoded(gradient()))
    assert np.array_equal(routes.pictures[kept["id"]].array, gradient()) and kept["notes"] == []
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = upload(client, encoded(gradient(alpha=False), "JPEG", exif=turned, quality=95))
    assert (upright["width"], upright["height"]) == (30, 40)
    printed = upload(client, encoded(gradient(alpha=False), "JPEG", "CMYK"))
    assert "CMYK" in printed["notes"][0]
    frames = [Image.fromarray(gradient(alpha=False)), Image.fromarray(255 - gradient(alpha=False))]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    assert "animated" in upload(client, moving.getvalue())["notes"][0]
    dot = upload(client, encoded(np.zeros((1, 1, 3), np.uint8)))
    line = upload(client, encoded(np.zeros((3, 20_000, 3), np.uint8)))
    assert (dot["width"], line["width"], line["height"]) == (1, 20_000, 3)
    for wrong in (b"", b"GIF89a", encoded(gradient())[:80]):
        assert len(upload(client, wrong)["error"]) > 20
    assert client.get(f"/studio/try/picture/{kept['id']}?side=x").status_code == 400
    assert client.get(f"/studio/try/picture/{line['id']}?side=96").headers["content-type"] == "image/webp"


def test_a_document_is_made_written_thrown_away_and_brought_back(client: TestClient) -> None:
    kept = upload(client, encoded(gradient()))
    made = client.post("/studio/try/documents", json={"name": "One", "history": history_of(kept)}).json()
    at = f"/studio/try/document/{made['id']}"
    assert client.get(at).json() == made and client.get(f"{at}/cover").status_code == 200
    card = client.put(at, json={"name": "Two", "history": made["history"] | {"draft": {"try.x": 1}}, "revision": 1}).json()
    assert card["name"] == "Two" and card["steps"] == 1 and client.get(at).json()["history"]["draft"] == {"try.x": 1}
    assert client.put(at, json={"name": "Mine", "history": made["history"], "revision": 1}).status_code == 409
    assert client.delete(at).status_code == 200 and client.get(at).status_code == 404
    assert client.post(f"{at}/restore", headers=RAW).json()["name"] == "Two"
    empty = client.post("/studio/try/documents", json={}).json()
    assert empty["name"] == "Untitled" and client.get(f"/studio/try/document/{empty['id']}/cover").status_code == 204
    assert client.post("/studio/try/documents", json={}, headers={"Origin": "http://evil.example"}).status_code == 400


def test_a_task_tells_progress_parts_and_its_outcome(client: TestClient, routes: Routes) -> None:
    history = history_of(upload(client, encoded(gradient())))
    progress, part, last = run(client, "paint", history, words="a fox", seed=5)
    assert progress == {"progress": [1, 2, "painting"]} and part == {"part": {"half": True}}
    outcome = last["outcome"]
    assert outcome["notes"] == ["A note."] and outcome["seen"] == ["Start", 4] and outcome["seconds"] >= 0
    assert routes.pictures.job(outcome["pictures"][0]["picture"]).seeds == (5,)
    assert run(client, "paint", history_of(upload(client, encoded(gradient(alpha=False)))))[-1]["outcome"]["seen"][1] == 3
    assert client.post("/studio/try/twice", json={"word": "ab"}).json() == {"said": "abab"}


@pytest.mark.parametrize("task,history,asked,says", [
    ("paint", {}, {}, "no picture yet"), ("paint", None, {"seed": -1}, "whole number"), ("paint", None, {"steps": 999}, "whole number"),
    ("paint", None, {"step": "f" * 12}, "no step"), ("broken", None, {}, "RuntimeError"), ("nothing", None, {}, "Known")])
def test_a_task_that_fails_says_why(client: TestClient, task: str, history: Any, asked: dict[str, Any], says: str) -> None:
    history = history_of(upload(client, encoded(gradient()))) if history is None else history
    assert says in run(client, task, history, **asked)[-1]["error"]


def test_a_task_without_its_picture_says_so(client: TestClient) -> None:
    gone = {"id": "0" * 64, "width": 8, "height": 8}
    assert "not in the library" in run(client, "paint", history_of(gone))[-1]["error"]


def test_a_mask_is_white_and_opaque_and_comes_in_the_pictures_size(routes: Routes) -> None:
    rgba = np.zeros((10, 20, 4), np.uint8)
    rgba[:, :10] = 255
    rgba[:, 10:, :3] = 255                                                   # white, but see-through
    id = routes.pictures.put(Picture.from_array(rgba))
    assert np.array_equal(mask_from(routes.pictures, id).array[..., 0], rgba[..., 3])
    large = mask_from(routes.pictures, id, Extent(200, 100)).array
    assert large.shape == (100, 200, 1) and large[:, :80].min() == 255 and large[:, 120:].max() == 0
    call = Call(routes.engine, None, "tiny-student", None, routes.pictures, {})
    assert call.keep_mask(mask_from(routes.pictures, id)) in routes.pictures and call.mask() is None
    with pytest.raises(BadInput, match="Draw it again"):
        mask_from(routes.pictures, "0" * 64)
    assert plain(Picture.from_array(gradient())).channels == 4 and plain(Picture.from_array(np.full((2, 2, 4), 255, np.uint8))).channels == 3


def test_a_press_selects_a_colour_or_says_what_is_wrong(client: TestClient, routes: Routes) -> None:
    flat = np.zeros((30, 40, 3), np.uint8)
    flat[5:15, 5:25] = (200, 30, 30)
    id = upload(client, encoded(flat))["id"]
    ask = lambda **asked: client.post("/studio/try/select", json={"picture": id, "x": 10, "y": 8, "how": "colour"} | asked).json()
    mask = mask_from(routes.pictures, ask()["mask"]).array[..., 0]
    assert mask.sum() == 255 * 10 * 20 and mask[5:15, 5:25].min() == 255
    for wrong in ({"x": 40}, {"x": "a"}, {"how": "magic"}, {"picture": "0" * 64}, {"y": -1}):
        assert len(ask(**wrong)["error"]) > 15


def test_a_download_says_how_it_was_made_and_keeps_every_pixel(client: TestClient, routes: Routes) -> None:
    kept = upload(client, encoded(gradient()))
    asked = {"words": "a red fox", "seed": 4}
    second = {"id": "1" * 12, "parent": "0" * 12, "picture": kept["id"], "width": 40, "height": 30, "title": "Extend", "asked": asked}
    history = history_of(kept)
    history = {"steps": [*history["steps"], second], "now": second["id"]}
    answer = client.post("/studio/try/export/png", json={"history": history, "name": "My: picture"})
    assert "My%20picture.png" in answer.headers["content-disposition"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert np.array_equal(np.asarray(image), gradient())
        assert "a red fox" in image.text["parameters"] and [one["title"] for one in json.loads(image.text[STEPS_KEY])] == ["Start", "Extend"]
    for format in ("webp", "avif"):
        with Image.open(io.BytesIO(client.post(f"/studio/try/export/{format}", json={"history": history}).content)) as image:
            assert image.size == (40, 30)
    long = history_of(upload(client, encoded(np.zeros((3, 20_000, 3), np.uint8))))
    assert client.post("/studio/try/export/png", json={"history": long}).status_code == 200
    for wrong in ({"history": {}}, {"history": history, "step": "f" * 12}):
        assert "error" in client.post("/studio/try/export/png", json=wrong).json()
    assert "Known" in client.post("/studio/try/export/exe", json={"history": history}).json()["error"]


def test_what_is_kept_in_the_library_comes_back_by_its_job(client: TestClient, routes: Routes) -> None:
    kept = upload(client, encoded(gradient()))
    history = history_of(kept, asked={"words": "a red fox", "seed": 4})
    item = client.post("/studio/try/keep", json={"history": history}).json()["id"]
    pixels, job = routes.library.open(item)
    assert np.array_equal(pixels, gradient()) and (job.prompt, job.seeds) == ("a red fox", (4,))
    assert np.array_equal(routes.engine.render(job).pixels[0], flatten(Picture.from_array(pixels)).array)      # a base gives no alpha back
    painted = run(client, "paint", history, words="a leaf", seed=9)[-1]["outcome"]["pictures"][0]
    own = history_of({"id": painted["picture"], "width": 64, "height": 64})
    assert routes.library.open(client.post("/studio/try/keep", json={"history": own}).json()["id"])[1].strength == 1.0


def test_a_picture_from_another_tab_is_kept_whole(routes: Routes) -> None:
    from models.job import Job
    result = Result(gradient()[None].copy(), Job(prompt="a fox", base="tiny-student", seeds=(3,)), Timings())
    told = json.loads(received(result, routes.works))
    assert np.array_equal(routes.pictures[told["picture"]].array, gradient()) and told["asked"]["seed"] == 3 and told["title"] == "a fox"


def test_a_task_whose_page_went_away_stops(routes: Routes) -> None:
    class Gone:
        async def is_disconnected(self) -> bool:
            return True

    async def listen() -> list[bytes]:
        from studio.workbench.routes import outcome
        call = routes.call({"history": {}})
        return [line async for line in routes.runner.stream(Gone(), lambda line: outcome(routes.tasks["patient"], call, line))]

    import asyncio
    assert asyncio.run(listen()) == []
    for _ in range(200):
        if not routes.runner._running:
            return
        threading.Event().wait(0.02)
    raise AssertionError("the task runs on")


def test_tasks_are_found_by_folder() -> None:
    import studio.outpaint.tasks
    assert all(id == task.id and task.title for id, task in discover_tasks(studio.outpaint.tasks).items())
