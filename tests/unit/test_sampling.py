"""The walk from noise to a picture against closed forms.

If pictures are Gaussian, x0 ~ N(m, c^2), the best denoiser is known: D(x, sigma) = m + c^2 / (c^2 + sigma^2) (x - m), and so is
what every deterministic and stochastic step does to the variance.
"""
from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.errors import BadInput
from models.sampling import (
    TRAIN_STEPS,
    noise,
    run,
    spaced_sigmas,
    time_of_sigma,
    vp_scales,
    vp_sigmas,
    x0_from_epsilon,
    x0_from_v,
)

TABLE = vp_sigmas()
MEAN, SPREAD = 0.7, 0.5


def gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return MEAN + SPREAD ** 2 / (SPREAD ** 2 + sigma ** 2) * (x - MEAN)


def shrink(sigma: float) -> float:
    """How much of a deviation from the mean the Gaussian denoiser keeps."""
    return SPREAD ** 2 / (SPREAD ** 2 + sigma ** 2)


@pytest.mark.parametrize("steps", [1, 2, 4, 20])
def test_ddim_of_a_gaussian_scales_each_deviation_by_the_analytic_factor(steps: int) -> None:
    sigmas = spaced_sigmas(steps, TABLE)
    x = MEAN + sigmas[0] * torch.randn(4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factor = 1.0
    for now, then in zip(sigmas, (*sigmas[1:], 0.0)):
        factor *= shrink(now) + then / now * (1 - shrink(now))
    assert torch.allclose(run(gaussian, x, sigmas), MEAN + factor * (x - MEAN), rtol=1e-9)


def test_many_ddim_steps_reach_the_variance_of_the_pictures() -> None:
    sigmas = spaced_sigmas(1000, TABLE)
    x = MEAN + math.sqrt(SPREAD ** 2 + sigmas[0] ** 2) * torch.randn(50_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out = run(gaussian, x, sigmas)
    assert out.mean().item() == pytest.approx(MEAN, abs=0.01) and out.std().item() == pytest.approx(SPREAD, rel=0.02)


def test_stochastic_steps_give_the_analytic_variance() -> None:
    sigmas = spaced_sigmas(4, TABLE)
    count = 200_000
    fresh = lambda i: noise([i + 10], (count,))[0].double()
    out = run(gaussian, MEAN + sigmas[0] * noise([0], (count,))[0].double(), sigmas, fresh)
    variance = shrink(sigmas[0]) ** 2 * sigmas[0] ** 2
    for sigma in sigmas[1:]:
        variance = shrink(sigma) ** 2 * (variance + sigma ** 2)
    assert out.var().item() == pytest.approx(variance, rel=0.02)


def test_one_step_is_the_denoiser_itself() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(run(gaussian, x, (2.0,)), gaussian(x, 2.0))
    assert torch.equal(run(gaussian, x, (2.0,), fresh=lambda i: pytest.fail("one step takes no fresh noise")), gaussian(x, 2.0))


def test_before_step_sees_every_step_and_may_stop() -> None:
    seen: list[int] = []

    def stop(i: int) -> None:
        seen.append(i)
        if i == 2:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        run(gaussian, torch.zeros(1), spaced_sigmas(5, TABLE), before_step=stop)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("sigma", [0.03, 0.5, 1.0, 14.6])
def test_epsilon_and_v_lead_back_to_x0(sigma: float) -> None:
    x0, eps = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    alpha, s = vp_scales(sigma)
    assert alpha ** 2 + s ** 2 == pytest.approx(1) and s / alpha == pytest.approx(sigma)
    x = x0 + sigma * eps
    assert torch.allclose(x0_from_epsilon(x, eps, sigma), x0)
    assert torch.allclose(x0_from_v(alpha * x, alpha * eps - s * x0, sigma), x0)


def test_the_schedule_is_the_published_one() -> None:
    assert len(TABLE) == TRAIN_STEPS and (np.diff(TABLE) > 0).all()
    assert TABLE[0] == pytest.approx(0.02917, abs=1e-4) and TABLE[-1] == pytest.approx(14.6146, abs=1e-3)


def test_times_and_sigmas_are_inverse() -> None:
    for time in (0, 1, 500, 998, 999):
        assert time_of_sigma(float(TABLE[time]), TABLE) == pytest.approx(time, abs=1e-6)
    assert time_of_sigma(1e9, TABLE) == 999 and time_of_sigma(0.0, TABLE) == 0


def test_spaced_sigmas_start_at_the_strength_and_fall() -> None:
    assert spaced_sigmas(1, TABLE)[0] == pytest.approx(TABLE[-1])
    half = spaced_sigmas(4, TABLE, strength=0.5)
    assert time_of_sigma(half[0], TABLE) == pytest.approx(0.5 * 999, abs=0.1) and list(half) == sorted(half, reverse=True)
    with pytest.raises(BadInput):
        spaced_sigmas(0, TABLE)


def test_noise_depends_on_its_own_seed_alone() -> None:
    batch = noise((3, 1, 4), (2, 5))
    for row, seed in zip(batch, (3, 1, 4)):
        assert torch.equal(row, noise((seed,), (2, 5))[0])


def test_noise_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    noise((1, 2), (8,))
    assert torch.equal(torch.rand(1), expected)


def test_streams_and_seeds_are_unrelated_unit_noise() -> None:
    rows = torch.cat([noise((0, 1, 2 ** 63 - 1), (20_000,)), noise((0, 1), (20_000,), stream=1)])
    overlap = torch.corrcoef(rows) - torch.eye(len(rows))
    assert overlap.abs().max() < 0.05 and rows.std(1).sub(1).abs().max() < 0.02
