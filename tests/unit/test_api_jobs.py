"""/api/jobs over a real ASGI app and the tiny bases: order, wait, watch, stop, and what is refused."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from models.errors import BadInput, Cancelled
from models.job import Extent, Job, Picture
from studio.api import jobs as api
from studio.api.jobs import Jobs
from studio.export import png
from studio.library.store import Library

HOST, SMALL = "http://127.0.0.1:7860", {"prompt": "a fox", "extent": "64x64", "seeds": [5]}


@pytest.fixture
def jobs(tiny_engine: Callable, tmp_path: Path) -> Iterator[Jobs]:
    library = Library(tmp_path / "library")
    jobs = Jobs(tiny_engine(cache_dir=tmp_path), library, "tiny-student")
    yield jobs
    jobs.close()
    library.close()


@pytest.fixture
def client(jobs: Jobs) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=jobs.routes()), base_url=HOST) as client:
        yield client


def ended(client: TestClient, id: str, within_s: float = 60.0) -> dict[str, Any]:
    until = time.monotonic() + within_s
    while (said := client.get(f"/api/jobs/{id}").json())["state"] not in api.ENDED:
        assert time.monotonic() < until, said
        time.sleep(0.01)
    return said


class Held:
    """A render that waits for the test; what began, in order."""

    def __init__(self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.began, self.real = threading.Event(), [], jobs.engine.render
        monkeypatch.setattr(jobs.engine, "render", self.render)

    def render(self, job: Job, progress: Any, cancel: Any, session: str) -> Any:
        self.began.append(job.prompt)
        progress(1, 4, "painting")
        while not self.go.wait(0.005):
            if cancel():
                raise Cancelled()
        return self.real(job, progress, cancel, session)


def test_a_job_in_its_pictures_out(client: TestClient, jobs: Jobs) -> None:
    order = client.post("/api/jobs", json={"job": SMALL | {"seeds": [5, 6]}, "keep": True}).json()
    said = ended(client, order["id"])
    assert said["state"] == "done" and said["progress"] == 1 and len(said["pictures"]) == 2 and said["eta_s"] is None
    pixels, job = png.decode(client.get("/" + said["pictures"][1]).content)
    again = jobs.engine.render(job)
    assert job.seeds == (6,) and np.array_equal(pixels, again.pixels[0]), "the picture carries the job that makes it again"
    assert sorted(jobs.library.ids()) == sorted(said["library"]) and len(said["library"]) == 2


def test_pictures_travel_inside_jobs(client: TestClient) -> None:
    image = Picture.from_array(np.full((64, 64, 3), 90, np.uint8))
    job = Job("a", "tiny-student", extent=Extent(64, 64), image=image, strength=0.0)
    said = ended(client, client.post("/api/jobs", json={"job": job.to_dict()}).json()["id"])
    pixels, _ = png.decode(client.get("/" + said["pictures"][0]).content)
    assert np.array_equal(pixels, image.array)


def test_the_queue_knows_priorities_places_and_a_way_out(client: TestClient, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(jobs, monkeypatch)
    order = lambda words, **more: client.post("/api/jobs", json={"job": SMALL | {"prompt": words}, **more}).json()["id"]
    first = order("first")
    while not held.began:
        time.sleep(0.005)
    low, normal, high, gone = order("low", priority="low"), order("normal"), order("high", priority="high"), order("gone")
    look = lambda id: client.get(f"/api/jobs/{id}").json()
    assert look(first)["state"] == "running" and look(first)["progress"] == 0.25 and look(first)["position"] == 0
    assert [look(id)["position"] for id in (high, normal, gone, low)] == [1, 2, 3, 4]
    assert look(first)["eta_s"] <= look(high)["eta_s"] < look(low)["eta_s"]
    assert client.delete(f"/api/jobs/{gone}").json()["state"] == "cancelled" and look(low)["position"] == 3
    held.go.set()
    assert all(ended(client, id)["state"] == "done" for id in (first, high, normal, low)) and held.began == ["first", "high", "normal", "low"]
    assert ended(client, gone)["state"] == "cancelled" and len(client.get("/api/jobs").json()["jobs"]) == 5


def test_a_running_job_is_stopped_and_watched(client: TestClient, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    Held(jobs, monkeypatch)
    id = client.post("/api/jobs", json={"job": SMALL}).json()["id"]
    with client.websocket_connect(f"/api/jobs/{id}/watch") as socket:
        said = socket.receive_json()
        while said["state"] != "running":
            said = socket.receive_json()
        client.delete(f"/api/jobs/{id}")
        while said["state"] not in api.ENDED:
            said = socket.receive_json()
    assert said["state"] == "cancelled" and said["pictures"] == []


def test_what_fails_says_why_and_the_next_works(client: TestClient, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = jobs.engine.render
    for error, says in ((BadInput("The disk is full.", "Free some."), "disk is full"), (ValueError("secret/path"), "ValueError")):
        def broken(*_: Any, error: Exception = error) -> None:
            raise error
        monkeypatch.setattr(jobs.engine, "render", broken)
        said = ended(client, client.post("/api/jobs", json={"job": SMALL}).json()["id"])
        assert said["state"] == "failed" and says in said["error"] and "secret" not in said["error"]
    monkeypatch.setattr(jobs.engine, "render", real)
    assert ended(client, client.post("/api/jobs", json={"job": SMALL}).json()["id"])["state"] == "done"


@pytest.mark.parametrize("body,status,says", [
    ({}, 400, '"job" is an object'), ({"job": SMALL, "speed": 1}, 400, "Unknown field speed"), ({"job": {"colour": 1}}, 400, "Unknown job field colour"),
    ({"job": {"base": "nothing"}}, 404, "nothing"), ({"job": {"steps": 5000}}, 400, "steps"), ({"job": {"seeds": 5}}, 400, "no job"),
    ({"job": {"prompt": 5}}, 400, "no job"), ({"job": {"extent": "wide"}}, 400, "not a size"), ({"job": SMALL, "priority": "now"}, 400, "high, normal, low"),
    ({"job": {"image": {"size": "9x9x3", "data": "AAAA"}}}, 400, "do not make"), ({"job": {"adapters": [{"id": "nothing"}]}}, 404, "nothing")])
def test_what_cannot_be_painted_is_refused_at_once(client: TestClient, body: dict, status: int, says: str) -> None:
    answer = client.post("/api/jobs", json=body)
    assert answer.status_code == status and says in answer.json()["error"] and client.get("/api/jobs").json()["jobs"] == []


def test_unknown_jobs_and_pictures_and_other_sites(client: TestClient) -> None:
    assert client.get("/api/jobs/nothing").status_code == 404 and client.delete("/api/jobs/nothing").status_code == 404
    id = client.post("/api/jobs", json={"job": SMALL}).json()["id"]
    ended(client, id)
    assert client.get(f"/api/jobs/{id}/7.png").status_code == 404
    assert client.post("/api/jobs", json={"job": SMALL}, headers={"origin": "http://evil.example"}).status_code == 400


def test_a_full_queue_and_a_bounded_memory(client: TestClient, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_WAITING", 2)
    monkeypatch.setattr(api, "KEPT", 2)
    held = Held(jobs, monkeypatch)
    ids = [client.post("/api/jobs", json={"job": SMALL}).json()["id"]]
    while not held.began:
        time.sleep(0.005)
    ids += [client.post("/api/jobs", json={"job": SMALL}).json()["id"] for _ in range(2)]
    assert client.post("/api/jobs", json={"job": SMALL}).status_code == 409
    held.go.set()
    ended(client, ids[-1])
    assert [order["id"] for order in client.get("/api/jobs").json()["jobs"]] == ids[1:]


def test_the_description_names_every_route(client: TestClient, jobs: Jobs) -> None:
    said = client.get("/api/openapi.json").json()
    told = {route.path.replace(":int", "") for route in jobs.routes()} - {"/api/openapi.json", "/api/jobs/{id}/watch"}
    assert set(said["paths"]) == told and said["openapi"].startswith("3.1")
