"""An engine small enough for the browser tests, with the face of models.engine.Engine and pixels that a Job decides alone.

It exists for the minutes in which no trained weights are there. It paints a gradient from the words and seed, mixes the drawing in,
and counts what it was asked for.
"""
from __future__ import annotations

import hashlib
import threading
import time
from types import SimpleNamespace

import numpy as np

from models.errors import Cancelled, UnknownId
from models.job import Job, Result, Timings
from models.spec import Arch, BaseSpec, Style

STYLES = tuple(Style(i, t, p) for i, t, p in (("flat", "Flat", "flat"), ("modern", "Modern", "modern"), ("soft", "Soft", "soft"), ("3d", "3D", "3d"),
                                              ("shaded", "Shaded", "shaded"), ("blob", "Blob", "blob"), ("sticker", "Sticker", "sticker")))
SPEC = BaseSpec("embedded", "Embedded", Arch("tiny", 8, 4), (), 1, styles=STYLES)


class TinyEngine:
    """`step_s`: how long one step takes."""

    def __init__(self, step_s: float = 0.02) -> None:
        self.catalog = SimpleNamespace(bases={SPEC.id: SPEC}, adapters={}, check=self._check, resolve_base=lambda base: SPEC)
        self.step_s, self.renders, self.cancelled = step_s, 0, 0
        self._lock = threading.Lock()

    def _check(self, job: Job) -> None:
        if job.base not in self.catalog.bases:
            raise UnknownId(f"There is no model {job.base!r}.")

    def render(self, job: Job, progress=lambda *_: None, cancel=lambda: False) -> Result:
        self._check(job)
        with self._lock:
            for step in range(job.steps):
                if cancel():
                    self.cancelled += 1
                    raise Cancelled()
                time.sleep(self.step_s)
                progress(step + 1, job.steps, "painting")
            self.renders += 1
            pixels = np.stack([_paint(job, seed) for seed in job.seeds])
        return Result(pixels, job, Timings(total_ms=job.steps * self.step_s * 1e3))

    def warm(self, base_id: str) -> None: ...

    def close(self) -> None: ...


def _paint(job: Job, seed: int) -> np.ndarray:
    """uint8 [H, W, 3], decided by words, style, seed, steps and drawing."""
    key = hashlib.sha256(f"{job.prompt}|{job.style}|{job.negative}|{seed}|{job.steps}".encode()).digest()
    h, w = job.extent.height, job.extent.width
    y, x = np.mgrid[0:h, 0:w] / max(h, w)
    a, b = np.frombuffer(key[:3], np.uint8) / 255, np.frombuffer(key[3:6], np.uint8) / 255
    ramp = (np.sin((x * key[6] + y * key[7]) / 24) * 0.5 + 0.5)[..., None]
    picture = (a * ramp + b * (1 - ramp)) * 255
    if job.image is not None:
        picture = job.strength * picture + (1 - job.strength) * job.image.array
    return picture.round().astype(np.uint8)
