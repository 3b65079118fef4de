"""Enlarging: times of one picture, tiles against the whole, memory of 4096 px, seams and time of painting anew in tiles that move.

Pictures are the embedded base's own. whole and tiled: seconds from 256 to 1024 px at once and in tiles of 128 px; tiled_off: the largest
difference of the two, of 255. grown_4096: seconds from 1024 to 4096 px, and the whole process's largest memory in it. seam: steps of light over lines of the
still grid over steps elsewhere, after `any_size` by tiles that move, that overlap and that stand still (1 = no seam); their seconds.
twice: of pictures of one thing in shapes other than the square, how many hold it twice (two pieces, the smaller at least half the larger).
What enlarged pictures are worth beside the truth is in the lab: python -m models.lab upscale_scores
"""
from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from models.engine import Engine
from models.flows._cutout import cut_out as by_paper
from models.flows._fstd import MOVING, OVERLAPPING, STILL
from models.flows.any_size import Enlarging, any_size, extent_for
from models.flows.upscale import LANCZOS, NET, upscale, upscalers
from models.job import Extent, Job, Picture
from studio.bench._score import KNOWN, opened
from studio.files import write_whole
from studio.settings import Settings

TEACHER, LOOK = "embedded-teacher", "flat emoji style"
SHAPES, SEEDS, LARGE_PX, ANY_PX = ("16:9", "9:16", "4:3"), 2, 1024, 768
QUICK = {"SHAPES": SHAPES[:1], "SEEDS": 1, "LARGE_PX": 512, "ANY_PX": 512}
SHEET = "bench-upscale.webp"                         # in the cache folder


def run(settings: Settings) -> Mapping[str, float]:
    """With the net that ships where its weights are, else by Lanczos."""
    engine, job = opened(settings)
    try:
        way = next(one["id"] for one in upscalers(engine.catalog) if one["id"] in (NET, LANCZOS))
        picture = _painted(engine, job.but(prompt="a house"))
        write_sheet(engine, job, way, settings.cache_dir / SHEET)
        return {**sizes(engine, picture, way), **seams(engine, picture, way), **twice(engine, job)}
    finally:
        engine.close()


def _painted(engine: Engine, job: Job) -> Picture:
    return Picture.from_array(engine.render(job).pixels[0][..., :3])


# --- times and memory --------------------------------------------------------------------------------------------------

def timed(work: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


def sizes(engine: Engine, picture: Picture, way: str) -> dict[str, float]:
    """Seconds, the difference that tiles make, and memory."""
    upscale(engine, picture, 4, way)                 # loads
    whole_s, whole = timed(lambda: upscale(engine, picture, 4, way))
    tiled_s, tiled = timed(lambda: upscale(engine, picture, 4, way, tile_px=128))
    large = upscale(engine, picture, LARGE_PX // picture.width, way) if LARGE_PX > picture.width else picture
    process = psutil.Process()
    peaks: list[int] = []
    grown_s, _ = timed(lambda: upscale(engine, large, 4, way, progress=lambda *_: peaks.append(process.memory_info().rss)))
    return {"whole_256_to_1024_s": whole_s, "tiled_256_to_1024_s": tiled_s, "tiled_off_of_255": off(whole, tiled),
            f"grown_{LARGE_PX * 4}_s": grown_s, f"process_at_{LARGE_PX * 4}_mib": max(peaks) / 2 ** 20}


def off(one: Picture, other: Picture) -> float:
    """The largest difference of two pictures."""
    return float(np.abs(one.array.astype(int) - other.array).max())


# --- painting anew -----------------------------------------------------------------------------------------------------

def seam(picture: Picture, grid_px: int) -> float:
    """Mean square of light's steps over the lines of a grid, over that of all other lines, both ways."""
    light = picture.array[..., :3].astype(np.float32).mean(2)
    on, away = [], []
    for steps in (np.diff(light, axis=0), np.diff(light, axis=1).T):
        lines = np.square(steps).mean(1)
        here = (np.arange(len(lines)) + 1) % grid_px == 0
        inner = (np.arange(len(lines)) + 1) % 16 == 0            # a base's own cells end there too
        on.append(lines[here].mean())
        away.append(lines[inner & ~here].mean())
    return float(np.mean(on) / max(np.mean(away), 1e-9))


def seams(engine: Engine, picture: Picture, way: str) -> dict[str, float]:
    """Seams and seconds of three kinds of tiles on one enlarged picture; the first walk loads and is not counted."""
    large = upscale(engine, picture, 4, way)
    large = Picture.from_array(cv2.resize(large.array, (ANY_PX, ANY_PX), interpolation=cv2.INTER_AREA))
    job, out = Job(base=TEACHER, prompt=LOOK, steps=8, seeds=(1,), guidance=1.0), {}
    any_size(engine, job.but(steps=1), large)
    for tiles in (MOVING, OVERLAPPING, STILL):
        seconds, made = timed(lambda tiles=tiles: any_size(engine, job, large, Enlarging(0.35, tiles)))
        out |= {f"{tiles}_seam_ratio": seam(made, 256), f"{tiles}_s": seconds}
    return out | {"overlapping_over_moving_time_ratio": out[f"{OVERLAPPING}_s"] / out[f"{MOVING}_s"]}


# --- shapes ------------------------------------------------------------------------------------------------------------

def is_twice(picture: np.ndarray) -> bool | None:
    """Whether a picture uint8 [H, W, 3] on one paper holds two large pieces; None where no paper was found."""
    cut = by_paper(picture)
    if cut is None:
        return None
    count, _, stats, _ = cv2.connectedComponentsWithStats((cut[..., 3] > 127).astype(np.uint8))
    areas = sorted(stats[1:, cv2.CC_STAT_AREA], reverse=True)
    return count > 2 and bool(areas[1] >= 0.5 * areas[0])


def twice(engine: Engine, job: Job) -> dict[str, float]:
    """The share of pictures of one thing that hold two, by shape; those without a plain paper do not count."""
    spec, out = engine.catalog.base(job.base).spec, {}
    for shape in ("1:1", *SHAPES):
        jobs = [job.but(prompt=words, style="flat", seeds=tuple(range(SEEDS)), extent=extent_for(spec, shape)) for words in KNOWN]
        found = [is_twice(picture[..., :3]) for one in jobs for picture in engine.render(one).pixels]
        told = [value for value in found if value is not None]
        out[f"twice_{shape.replace(':', '_')}_percent"] = 100 * float(np.mean(told)) if told else 0.0
    return out


# --- for the eye -------------------------------------------------------------------------------------------------------

def write_sheet(engine: Engine, job: Job, way: str, path: Path) -> None:
    """Pieces of the base's own pictures, enlarged plainly and by the net."""
    lines = []
    for seed, words in enumerate(KNOWN[:6]):
        picture = _painted(engine, job.but(prompt=words, style="flat", seeds=(seed,), extent=Extent(256, 256)))
        pieces = [upscale(engine, picture, 4, one).array[300:620, 340:660] for one in (LANCZOS, way)]
        lines.append(np.hstack(pieces))
    sheet = np.vstack([np.hstack(lines[i:i + 2]) for i in range(0, len(lines), 2)])
    ok, coded = cv2.imencode(".webp", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 82])
    assert ok
    write_whole(path, coded.tobytes())
