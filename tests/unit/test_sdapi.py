"""/sdapi/v1 as existing programs use it: the webuiapi package from PyPI is the client, over a real server and the tiny bases."""
from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import uvicorn
import webuiapi
from PIL import Image
from starlette.applications import Starlette

from studio.api.sdapi import SdApi
from studio.export import png
from studio.library.store import Library

RED = Image.new("RGB", (40, 20), (200, 30, 30))


@pytest.fixture
def api(tiny_engine: Callable, tmp_path: Path) -> Iterator[SdApi]:
    library = Library(tmp_path / "library")
    yield SdApi(tiny_engine(cache_dir=tmp_path), library, "tiny-student")
    library.close()


@pytest.fixture
def port(api: SdApi) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=api.routes()), "127.0.0.1", free, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield free
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(port: int) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi("127.0.0.1", port, sampler="Euler a", steps=2)


def post(port: int, path: str, **body: Any) -> requests.Response:
    return requests.post(f"http://127.0.0.1:{port}/sdapi/v1/{path}", json=body, timeout=30)


def text_of(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_the_client_paints_from_words(client: webuiapi.WebUIApi, api: SdApi) -> None:
    done = client.txt2img(prompt="a fox", seed=5, width=64, height=64, batch_size=2, n_iter=1, cfg_scale=1)
    assert len(done.images) == 2 and done.images[0].size == (64, 64) and done.info["all_seeds"] == [5, 6] and done.info["sd_model_name"] == "tiny-student"
    again = client.txt2img(prompt="a fox", seed=5, width=64, height=64)
    assert np.array_equal(np.asarray(done.images[0]), np.asarray(again.images[0])) and again.info["notes"] == []
    assert done.info["infotexts"][1].splitlines()[0] == "a fox" and "Seed: 6" in done.info["infotexts"][1]
    assert api.library.items() == []


def test_what_comes_back_carries_its_job(port: int) -> None:
    answer = post(port, "txt2img", prompt="a fox", seed=3, width=64, height=64, steps=1).json()
    pixels, job = png.decode(base64.b64decode(answer["images"][0]))
    assert job.prompt == "a fox" and job.seeds == (3,) and pixels.shape == (64, 64, 3)
    info = post(port, "png-info", image=answer["images"][0]).json()
    assert info["parameters"]["Seed"] == "3" and info["info"].startswith("a fox")


def test_the_client_paints_over_a_picture(client: webuiapi.WebUIApi) -> None:
    kept = client.img2img(images=[RED], prompt="a fox", seed=1, width=64, height=64, denoising_strength=0.0)
    assert np.abs(np.asarray(kept.image, int) - [200, 30, 30]).max() <= 1, "no freedom gives the picture back"
    mask = Image.fromarray(np.uint8(255 * (np.arange(64) < 32))[None].repeat(64, 0))
    half = client.img2img(images=[RED.resize((64, 64))], mask_image=mask, prompt="a fox", seed=1, width=64, height=64, denoising_strength=1.0)
    assert (np.asarray(half.image)[:, 40:] == [200, 30, 30]).all() and not (np.asarray(half.image)[:, :24] == [200, 30, 30]).all()


def test_the_client_asks_what_there_is(client: webuiapi.WebUIApi) -> None:
    titles = [model["title"] for model in client.get_sd_models()]
    assert {"tiny-student", "tiny-teacher"} <= set(titles) and "Euler a" in [one["name"] for one in client.get_samplers()]
    assert client.util_get_current_model() == "tiny-student"
    client.util_set_model("tiny-teacher")
    assert client.util_get_current_model() == "tiny-teacher"
    guided = client.txt2img(prompt="a fox", negative_prompt="a dog", seed=5, width=64, height=64, cfg_scale=3)
    assert guided.info["cfg_scale"] == 3 and guided.info["all_negative_prompts"] == ["a dog"]
    assert client.get_memory()["ram"]["total"] > 0 and client.get_progress()["progress"] == 0.0
    for what in (client.get_loras, client.get_upscalers, client.get_prompt_styles, client.get_embeddings, client.get_scripts, client.get_options,
                 client.get_cmd_flags, client.get_hypernetworks, client.get_face_restorers, client.refresh_checkpoints, client.interrupt, client.skip):
        what()


def test_the_client_enlarges(client: webuiapi.WebUIApi) -> None:
    done = client.extra_single_image(RED, upscaler_1="lanczos", upscaling_resize=1.5)
    assert done.image.size == (60, 30) and np.abs(np.asarray(done.image, int) - [200, 30, 30]).max() <= 1


def test_what_is_not_done_as_asked_is_said(port: int) -> None:
    info = json.loads(post(port, "txt2img", prompt="a fox", seed=1, width=5000, height=70, steps=50, enable_hr=True, styles=["nothing"], negative_prompt="x",
                           alwayson_scripts={"ADetailer": {"args": [False]}, "roop": {"args": [1]}}).json()["info"])
    said = " ".join(info["notes"])
    assert "5000x70 px became" in said and "50 steps became 4" in said and "second pass" in said and "no negative words" in said and "roop" in said
    assert "ADetailer" not in said


def test_a_running_request_can_be_watched_and_stopped(port: int, api: SdApi, monkeypatch: pytest.MonkeyPatch) -> None:
    going, real = threading.Event(), api.engine.render

    def slow(job: Any, progress: Any, cancel: Any, session: str) -> Any:
        progress(1, 2, "painting")
        going.set()
        while not cancel():
            time.sleep(0.005)
        return real(job, progress, cancel, session)
    monkeypatch.setattr(api.engine, "render", slow)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(post(port, "txt2img", prompt="a", seed=1, width=64, height=64, n_iter=4)))
    thread.start()
    assert going.wait(10)
    seen = requests.get(f"http://127.0.0.1:{port}/sdapi/v1/progress", timeout=10).json()
    assert seen["progress"] == pytest.approx(1 / 8) and seen["state"]["job_count"] == 4
    post(port, "interrupt")
    thread.join(10)
    assert answers[0].status_code == 200 and answers[0].json()["images"] == []


@pytest.mark.parametrize("path,body,status,says", [
    ("img2img", {}, 422, "Init image not found"), ("img2img", {"init_images": ["http://169.254.169.254/x"]}, 422, "not fetched"),
    ("img2img", {"init_images": ["!!!"]}, 422, "base64"), ("img2img", {"init_images": [base64.b64encode(b"MZ").decode()]}, 422, "not a picture"),
    ("txt2img", {"width": "wide"}, 422, '"width" is a number'), ("txt2img", {"batch_size": 1000}, 422, "more than 64"),
    ("txt2img", {"prompt": ["a"]}, 422, '"prompt" is text'), ("options", {"sd_model_checkpoint": "dream.safetensors [12ab]"}, 404, "no model"),
    ("extra-single-image", {"image": text_of(RED), "upscaler_1": "ESRGAN"}, 404, "no upscaler"),
    ("extra-single-image", {"image": text_of(RED), "resize_mode": 1, "upscaling_resize_w": 16000, "upscaling_resize_h": 16000}, 422, "megapixels"),
    ("txt2img", {"prompt": "a <lora:nothing:1>", "width": 64, "height": 64}, 404, "nothing"),
    ("txt2img", {"alwayson_scripts": {"controlnet": {"args": [{"model": "nothing", "image": text_of(RED)}]}}}, 404, "nothing")])
def test_bad_requests_get_a_sentence_in_a1111s_shape(port: int, path: str, body: dict, status: int, says: str) -> None:
    answer = post(port, path, **body)
    assert answer.status_code == status and says in answer.json()["detail"] and set(answer.json()) == {"error", "detail", "body", "errors"}


def test_another_sites_page_is_refused(port: int) -> None:
    answer = requests.post(f"http://127.0.0.1:{port}/sdapi/v1/txt2img", json={"prompt": "a"}, headers={"Origin": "http://evil.example"}, timeout=10)
    assert answer.status_code == 422 and "another site" in answer.json()["detail"]
    plain = requests.post(f"http://127.0.0.1:{port}/sdapi/v1/txt2img", data='{"prompt": "a"}', headers={"Content-Type": "text/plain"}, timeout=10)
    assert plain.status_code == 422
