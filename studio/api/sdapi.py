"""The part of AUTOMATIC1111's HTTP API (/sdapi/v1) that existing programs use, over the engine of this studio.

Field names and answers are those of version 1.10 (design/conventions.md, part A). What cannot be done here is said under "notes" in `info`,
never silently: steps and sizes outside a model's range come to its nearest, unknown scripts are left out.
"""
from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.errors import BadInput, Cancelled, StudioError, UnknownId
from models.job import MAX_BATCH, Job, Result
from studio.api import sdapi_jobs as jobs
from studio.api.asked import json_object
from studio.export import png
from studio.library import recipe

MAX_BODY = 128 * 2 ** 20
SESSION = "sdapi"
SAMPLER = "Onestroke"
EMPTY = ("hypernetworks", "face-restorers", "realesrgan-models", "latent-upscale-modes", "sd-vae", "sd-modules", "extensions", "script-info")


@dataclass
class Run:
    """One request that paints."""
    total: int
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    share: float = 0.0                               # of the picture under way
    stopped: bool = False
    skipped: bool = False

    @property
    def progress(self) -> float:
        return min((self.done + self.share) / self.total, 0.999)


class SdApi:
    """The routes; `options` lives as long as the studio, the model that it names is the one that paints."""

    def __init__(self, engine: Any, library: Any, base: str) -> None:
        self.engine, self.library, self.base = engine, library, base
        self._runs: list[Run] = []
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        looks = {"samplers": self.samplers, "schedulers": lambda: [{"name": "automatic", "label": "Automatic", "aliases": None, "default_rho": -1,
                                                                   "need_inner_model": False}],
                 "upscalers": self.upscalers,
                 "sd-models": self.models, "loras": self.loras, "prompt-styles": self.styles, "options": self.options, "cmd-flags": dict,
                 "memory": self.memory, "embeddings": lambda: {"loaded": {}, "skipped": {}},
                 "scripts": lambda: {"txt2img": ["controlnet"], "img2img": ["controlnet"]}} | dict.fromkeys(EMPTY, list)
        does: dict[str, Callable[[dict], Any]] = {
            "txt2img": self.txt2img, "img2img": self.img2img, "png-info": self.png_info, "options": self.set_options, "interrupt": self.interrupt,
            "skip": self.skip, "extra-single-image": self.extra_single, "extra-batch-images": self.extra_batch, "refresh-checkpoints": self.refresh,
            "refresh-loras": self.refresh, "refresh-embeddings": lambda asked: {}, "refresh-vae": lambda asked: {}, "unload-checkpoint": self.unload,
            "reload-checkpoint": self.reload}
        return [*(Route(f"/sdapi/v1/{name}", _answering(lambda asked, work=work: work())) for name, work in looks.items()),
                Route("/sdapi/v1/progress", _answering(self.progress)),
                *(Route(f"/sdapi/v1/{name}", _answering(work, changes=True), methods=["POST"]) for name, work in does.items()),
                Route("/controlnet/model_list", _answering(lambda asked: {"model_list": [spec.id for spec in self._controls()]})),
                Route("/controlnet/module_list", _answering(lambda asked: {"module_list": ["none", *jobs.annotators(self.engine.catalog)]})),
                Route("/internal/ping", _answering(lambda asked: {}))]

    def txt2img(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._paint(asked, jobs.from_text(asked, self.engine.catalog, self._base(asked)))

    def img2img(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._paint(asked, jobs.from_picture(asked, self.engine.catalog, self._base(asked)))

    def _base(self, asked: Mapping[str, Any]) -> str:
        wished = jobs.mapping(asked, "override_settings").get("sd_model_checkpoint")
        return jobs.base_called(self.engine.catalog, wished) if wished else self.base

    def _paint(self, asked: dict[str, Any], wanted: jobs.Wanted) -> dict[str, Any]:
        """Every picture by itself, so that progress, stopping and memory are as with one."""
        wanted = jobs.with_controls(asked, wanted, self.engine)
        seeds = jobs.seeds_of(asked, secrets.randbelow(2 ** 32))
        if len(seeds) > MAX_BATCH:
            raise BadInput(f"{len(seeds)} pictures are more than {MAX_BATCH}.", "Ask for fewer at a time.")
        run, results = Run(len(seeds)), []
        with self._lock:
            self._runs.append(run)
        try:
            for seed in seeds:
                if run.stopped:
                    break
                result = self._one(wanted.job.but(seeds=(seed,)), run)
                results += [result] if result else []
                run.done, run.share, run.skipped = run.done + 1, 0.0, False
        finally:
            with self._lock:
                self._runs.remove(run)
        if asked.get("save_images") is True:
            for result in results:
                self.library.keep(result.pixels[0], result.job)
        return jobs.answer(asked, wanted, results, self.engine.catalog)

    def _one(self, job: Job, run: Run) -> Result | None:
        """None when it was stopped or skipped."""
        def progress(done: int, total: int, what: str) -> None:
            run.share = done / total if total else 0.0
        try:
            return self.engine.render(job, progress, lambda: run.stopped or run.skipped, SESSION)
        except Cancelled:
            return None

    def progress(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            run = self._runs[0] if self._runs else None
        state = {"skipped": False, "interrupted": bool(run and run.stopped), "stopping_generation": False, "job": "", "job_count": run.total if run else 0,
                 "job_timestamp": "0", "job_no": run.done if run else 0, "sampling_step": 0, "sampling_steps": 0}
        gone = time.monotonic() - run.started if run else 0.0
        eta = gone / run.progress - gone if run and run.progress > 0 else 0.0
        return {"progress": run.progress if run else 0.0, "eta_relative": eta, "state": state, "current_image": None, "textinfo": None}

    def interrupt(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that was asked for over this API ends."""
        with self._lock:
            for run in self._runs:
                run.stopped = True
        return {}

    def skip(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            for run in self._runs[:1]:
                run.skipped = True
        return {}

    def png_info(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = recipe.read(jobs.file_in(asked.get("image")))
        if found is None:
            return {"info": "", "items": {}, "parameters": {}}
        text = found.text or (png.infotext(found.job) if found.job else "")
        said = png.read_infotext(text) if found.tool in ("A1111", "Onestroke") else found.to_dict() | {"job": None, "text": ""}
        return {"info": text, "items": {"parameters": text}, "parameters": said}

    def options(self) -> dict[str, Any]:
        return {"sd_model_checkpoint": self.base, "sd_checkpoint_hash": "", "sd_vae": "Automatic", "CLIP_stop_at_last_layers": 1,
                "samples_format": "png"}

    def set_options(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Only the model can be chosen; other keys are names that nothing here obeys."""
        if wished := asked.get("sd_model_checkpoint"):
            self.base = jobs.base_called(self.engine.catalog, wished)
        return {}

    def samplers(self) -> list[dict[str, Any]]:
        return [{"name": name, "aliases": [], "options": {}} for name in (SAMPLER, "Euler", "Euler a", "DPM++ 2M", "LCM")]

    def upscalers(self) -> list[dict[str, Any]]:
        known = [{"id": "None", "scale": 1}, *jobs.upscalers_here(self.engine.catalog)]
        return [{"name": one["id"], "model_name": None, "model_path": None, "model_url": None, "scale": one["scale"]} for one in known]

    def models(self) -> list[dict[str, Any]]:
        return [{"title": id, "model_name": id, "hash": None, "sha256": None, "filename": id, "config": None}
                for id in self.engine.catalog.bases]

    def loras(self) -> list[dict[str, Any]]:
        return [{"name": spec.id, "alias": spec.title, "path": "", "metadata": {}} for spec in self.engine.catalog.adapters.values() if spec.kind == "lora"]

    def _controls(self) -> list[Any]:
        return [spec for spec in self.engine.catalog.adapters.values() if spec.kind == "control"]

    def styles(self) -> list[dict[str, Any]]:
        return [{"name": style.id, "prompt": style.phrase, "negative_prompt": ""} for style in self.engine.catalog.base(self.base).spec.styles]

    def memory(self) -> dict[str, Any]:
        ram = psutil.virtual_memory()
        return {"ram": {"free": ram.available, "used": ram.total - ram.available, "total": ram.total}, "cuda": {"error": "no figures of it here"}}

    def refresh(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if self.engine.catalog.shelf:
            self.engine.catalog.shelf.refresh()
        return {}

    def unload(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Whatever nobody uses at the moment leaves the memory."""
        self.engine.sweep(0.0)
        return {}

    def reload(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.engine.prefetch("base", self.base)
        return {}

    def extra_single(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {"html_info": "", "image": jobs.enlarged(jobs.picture_in(asked.get("image")), asked, self.engine)}

    def extra_batch(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        listed = asked.get("imageList")
        if not isinstance(listed, list) or len(listed) > MAX_BATCH or not all(isinstance(one, dict) for one in listed):
            raise BadInput(f'"imageList" is a list of at most {MAX_BATCH} {{"data", "name"}}.')
        return {"html_info": "", "images": [jobs.enlarged(jobs.picture_in(one.get("data")), asked, self.engine) for one in listed]}


def _answering(work: Callable[[dict[str, Any]], Any], changes: bool = False) -> Any:
    """`work` as a route in a thread of its own; a StudioError in the shape of A1111's errors."""
    read = json_object(MAX_BODY)

    async def answer(request: Request) -> Response:
        try:
            empty = changes and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
            asked = await read(request) if changes and not empty else dict(request.query_params)
            return JSONResponse(await run_in_threadpool(work, asked))
        except StudioError as error:
            status = 404 if isinstance(error, UnknownId) else 422
            return JSONResponse({"error": type(error).__name__, "detail": str(error), "body": "", "errors": str(error)}, status)
    return answer

