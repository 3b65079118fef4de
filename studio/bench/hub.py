"""Stable Diffusion at real width: seconds a stage and memory, of a checkpoint of yours or of random weights of the same shape."""
from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from models.job import Extent, Job
from studio.settings import DEFAULT_BASE, Settings

SIDE_PX, STEPS, REPEATS = 512, 1, 3
RANDOM = {DEFAULT_BASE: "write", "random-sd": "write", "random-sdxl": "write_xl"}    # --base -> what writes it


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the checkpoint. With the default base or "random-sd", a random one of SD 1.5's shape is written and read back,
    with "random-sdxl" one of SDXL's."""
    with checkpoint(settings.base) as source:
        return measure(source, settings)


@contextmanager
def checkpoint(base: str) -> Iterator[str]:
    """The given checkpoint, or a folder of random fp16 weights that goes away afterwards (2 GB of disk, for SDXL 7 GB)."""
    if base not in RANDOM:
        yield base
        return
    from models.bases import _random_sd
    with tempfile.TemporaryDirectory(prefix="onestroke-hub-") as folder:
        yield str(getattr(_random_sd, RANDOM[base])(Path(folder, "random-turbo")))


def measure(source: str, settings: Settings) -> dict[str, float]:
    """Loading, the first picture, then the best of REPEATS, one step at SIDE_PX."""
    from models.engine import open_engine
    engine = open_engine(settings.budget_bytes, settings.cache_dir)
    spec = engine.catalog.resolve_base(source)
    job = Job(prompt="a red fox on a hill", base=spec.id, steps=STEPS, extent=Extent(SIDE_PX, SIDE_PX), guidance=1.0)
    start = time.perf_counter()
    first = engine.render(job).timings
    whole_s = time.perf_counter() - start
    timings = [engine.render(job.but(seeds=(seed,))).timings for seed in range(1, REPEATS + 1)]
    best = min(timings, key=lambda t: t.total_ms)
    figures = {"load_s": first.load_ms / 1e3, "first_picture_s": whole_s, "text_cached_s": best.text_ms / 1e3,
               "denoise_step_s": best.denoise_ms / 1e3 / STEPS, "decode_s": best.decode_ms / 1e3, "picture_s": best.total_ms / 1e3,
               "weights_mib": engine.status().used_bytes / 2 ** 20, "process_mib": psutil.Process().memory_info().rss / 2 ** 20}
    engine.close()
    return figures
