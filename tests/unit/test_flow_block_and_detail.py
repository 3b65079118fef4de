"""Block and Detail: what the second pass may change, and that it is skipped without blocking strokes."""
from __future__ import annotations

import numpy as np

from models.flows.block_and_detail import KEPT, STRENGTH, allowance, block_and_detail
from models.job import AdapterUse, Extent, Job, Picture, Result, Timings

SIDE = 256
LINES = AdapterUse("scribble", 1.0, Picture.from_array(np.zeros((8, 8, 3), np.uint8)))
JOB = Job(prompt="a fox", extent=Extent(64, 64), seeds=(3,), steps=4, adapters=(AdapterUse("ink", 0.5), LINES))


def strokes() -> tuple[np.ndarray, np.ndarray]:
    block, detail = np.zeros((2, SIDE, SIDE), bool)
    block[60:200, 60:70] = True
    detail[128:131, 40:100] = True
    return block, detail


class Painter:
    """Paints noise of the seed; remembers what it was asked for."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        pixels = np.random.default_rng(len(self.jobs)).integers(0, 255, (1, job.extent.height, job.extent.width, 3), np.uint8)
        return Result(pixels, job, Timings())


def test_near_a_block_stroke_it_is_free_and_far_away_it_is_kept():
    free = allowance(*strokes(), reach_px=65)
    assert free[80, 65] == 255 and free[80, 75] > 200
    assert free[10, 240] == KEPT and free[80, 65 + 5 + 40] == KEPT
    assert (np.diff(free[80, 65:130].astype(int)) <= 0).all(), "it becomes less free with every pixel away from the stroke"


def test_a_detail_stroke_protects_its_surroundings():
    free = allowance(*strokes(), reach_px=65)
    assert free[129, 65] < 60 < free[80, 65]


def test_a_longer_reach_frees_more():
    areas = [float((allowance(*strokes(), reach_px=reach) > 128).mean()) for reach in (7, 65, 117)]
    assert areas == sorted(set(areas))


def test_the_second_pass_repaints_the_first_without_the_control():
    paint, (block, detail) = Painter(), strokes()
    first, second = block_and_detail(paint, JOB, block, detail, 65, ("scribble",))
    again = paint.jobs[1]
    assert paint.jobs[0] == JOB and second.job == again
    assert again.adapters == (AdapterUse("ink", 0.5),) and again.strength == STRENGTH and again.seeds == JOB.seeds
    assert (again.image.array == first.pixels[0]).all()
    assert again.mask.array.shape == (64, 64, 1) and again.mask.array.max() == 255 and again.mask.array.min() == KEPT


def test_without_blocking_strokes_there_is_one_pass():
    block, detail = strokes()
    assert len([*block_and_detail(Painter(), JOB, np.zeros_like(block), detail, 65, ("scribble",))]) == 1
