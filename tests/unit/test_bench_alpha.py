"""The measures of alpha in the bench of layers: on things and readers whose answer is known."""
from __future__ import annotations

import numpy as np

from models.job import Extent, Job, Result, Timings
from studio.bench import _alpha


def disc(side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    alpha = ((30 - np.hypot(x, y)) * 128 + 128).clip(0, 255)
    return np.dstack([np.broadcast_to(np.uint8((200, 40, 40)), (side, side, 3)), alpha.astype(np.uint8)])


def test_alpha_that_is_true_comes_back_and_a_thing_that_hides_in_a_ground_does_not() -> None:
    thing = disc()
    faithful = lambda percept, rgb, hints=None: np.where(np.abs(rgb.astype(int) - (200, 40, 40)).max(2) < 30, 255, 0).astype(np.uint8)
    unlike, apart = _alpha.came_back(faithful, thing, 1)
    assert unlike < 6 and apart < 3
    soft = thing.copy()
    soft[..., 3] = soft[..., 3] // 2                                         # half the alpha: the ground shines through
    assert _alpha.came_back(faithful, soft, 1)[0] > 30


def test_grounds_are_three_kinds_and_always_the_same() -> None:
    white, flat, uneven = _alpha.grounds((64, 48), 3)
    assert white.shape == (64, 48, 3) and (white == 255).all() and (flat == flat[0, 0]).all() and uneven.std() > 5
    assert np.array_equal(uneven, _alpha.grounds((64, 48), 3)[2])


def test_truth_is_compared_with_what_each_way_finds() -> None:
    """A painter that gives the picture back, with alpha that is off by a tenth; a net that sees everything."""
    thing = disc()

    def render(job: Job) -> Result:
        rgb = job.image.array
        alpha = (thing[..., 3:] * 0.9).astype(np.uint8)
        return Result((np.dstack([rgb, alpha]) if job.adapters else rgb)[None], job, Timings())
    everything = lambda percept, rgb, hints=None: np.full(rgb.shape[:2], 255, np.uint8)
    job = Job(extent=Extent(96, 96))
    out = _alpha.held_out(render, everything, job, "transparent", [thing, thing])
    area = thing[..., 3].sum() / 255e3
    assert abs(out["truth_native_sad"] - 0.1 * area) < 0.02 and abs(out["truth_matte_sad"] - (96 * 96 / 1e3 - area)) < 0.1
    assert out["truth_key_sad"] < 0.3 and out["truth_native_saved_sad_low"] > 0


def test_where_nothing_is_found_all_is_kept() -> None:
    flat = np.full((32, 32, 3), 128, np.uint8)
    assert (_alpha.alpha_by_net(lambda *a, **k: np.zeros((32, 32), np.uint8), flat) == 1).all()
