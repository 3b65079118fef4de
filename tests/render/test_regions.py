"""Other words for parts of a picture, prompts of their own for every seed, and where a masked picture starts from."""
from __future__ import annotations

import json

import numpy as np
import pytest

from models.errors import BadInput
from models.job import Extent, Job, Picture, Region

pytestmark = pytest.mark.render
JOB = Job(base="tiny-student", prompt="a red fox", extent=Extent(64, 64), steps=2, seeds=(3,))


def mask(value: int = 255, where: tuple[slice, slice] = (slice(None), slice(None))) -> Picture:
    out = np.zeros((64, 64), np.uint8)
    out[where] = value
    return Picture.from_array(out)


def test_a_region_over_everything_is_its_prompt_and_one_of_nothing_changes_nothing(tiny_engine) -> None:
    engine = tiny_engine()
    house, fox = engine.render(JOB.but(prompt="a blue house")).pixels, engine.render(JOB).pixels
    assert (house != fox).any()
    assert (engine.render(JOB.but(regions=(Region("a blue house", mask()),))).pixels == house).all()
    assert (engine.render(JOB.but(regions=(Region("a blue house", mask(0)),))).pixels == fox).all()


def test_shares_follow_masks_and_weights(tiny_engine) -> None:
    """One step of a network without noise between: the mixture of two regions is the mixture of their pictures, up to the decoder."""
    from models.engine import _shares
    engine = tiny_engine()
    with engine.registry.lease("tiny-student") as (base, _):
        left = mask(255, (slice(None), slice(0, 32)))
        (one, other), own = _shares(base, JOB.but(regions=(Region("a", left), Region("b", mask(51), 5.0))))
    total = 1 + 5 * 0.2                              # left: own share 0 (clipped), a 1, b 0.2 at weight 5
    assert np.allclose(one[1][0, 0, 0, :2], 1 / 2, atol=1e-3) and np.allclose(other[1][0, 0, 0, :2], 1 / total, atol=1e-3)
    assert np.allclose(own[0, 0, 0, :2], 0) and np.allclose(own[0, 0, 0, 2:], 0.8 / 1.8, atol=1e-3)
    assert np.allclose(one[1] + other[1] + own, 1, atol=1e-5)


def test_a_half_differs_where_the_region_is(tiny_engine) -> None:
    engine = tiny_engine(budget_bytes=None)
    one = JOB.but(steps=1)
    fox, house = engine.render(one).pixels[0].astype(int), engine.render(one.but(prompt="a blue house")).pixels[0].astype(int)
    half = engine.render(one.but(regions=(Region("a blue house", mask(255, (slice(None), slice(0, 32)))),))).pixels[0].astype(int)
    assert np.abs(half - house)[:, :16].mean() < np.abs(half - fox)[:, :16].mean()
    assert np.abs(half - fox)[:, 48:].mean() < np.abs(half - house)[:, 48:].mean()


def test_guidance_holds_for_regions_too(tiny_engine) -> None:
    engine = tiny_engine()
    job = JOB.but(base="tiny-teacher", guidance=4.0)
    house = engine.render(job.but(prompt="a blue house")).pixels
    assert (engine.render(job.but(regions=(Region("a blue house", mask()),))).pixels == house).all()


def test_every_seed_may_have_its_own_prompt(tiny_engine) -> None:
    engine = tiny_engine()
    both = engine.render(JOB.but(seeds=(3, 4), each=("a red fox", "a small blue house"))).pixels
    alone = [engine.render(JOB.but(seeds=(3,))).pixels[0], engine.render(JOB.but(prompt="a small blue house", seeds=(4,))).pixels[0]]
    assert all(np.abs(a.astype(int) - b).max() <= 2 for a, b in zip(both, alone))


def test_older_jobs_keep_their_digest_and_new_ones_come_back(tiny_engine) -> None:
    assert not {"each", "regions"} & set(JOB.to_dict())
    full = JOB.but(seeds=(1, 2), each=("a", "b"), regions=(Region("c", mask(7), 2.0),))
    assert Job.from_dict(json.loads(json.dumps(full.to_dict()))) == full and full.digest != JOB.digest


@pytest.mark.parametrize("wrong", [dict(each=("a", "b")), dict(regions=tuple(Region("a", mask()) for _ in range(17))), dict(each=("a" * 20_001,))])
def test_what_makes_no_job_is_refused(wrong: dict) -> None:
    with pytest.raises(BadInput):
        JOB.but(**wrong)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), 1e9])
def test_weights_are_above_nothing(weight: float) -> None:
    with pytest.raises(BadInput, match="weight"):
        Region("a", mask(), weight)


def test_at_full_strength_what_is_free_never_sees_the_given_picture(tiny_engine) -> None:
    """Two given pictures that differ only where everything is free give the same pixels."""
    engine = tiny_engine()
    free = mask(255, (slice(16, 48), slice(16, 48)))
    dark, light = np.full((64, 64, 3), 90, np.uint8), np.full((64, 64, 3), 90, np.uint8)
    light[16:48, 16:48] = 250
    one, other = (engine.render(JOB.but(image=Picture.from_array(p), mask=free)).pixels for p in (dark, light))
    inside = (0, slice(22, 42), slice(22, 42))       # the seam is feathered into the given picture
    assert (one[inside] == other[inside]).all()
    gentle = [engine.render(JOB.but(image=Picture.from_array(p), mask=free, strength=0.6)).pixels for p in (dark, light)]
    assert (gentle[0][inside] != gentle[1][inside]).any()
