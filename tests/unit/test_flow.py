"""Flow matching and TrigFlow in the engine's one convention x = x0 + sigma * noise, against closed forms."""
from __future__ import annotations

import math

import pytest
import torch

from models.bases.sana import FIRST_TIME, flow_sigmas, sprint_sigmas
from models.sampling import SIGMA_MAX, flow_time, noise, run, sigma_of_angle, sigma_of_flow, x0_from_flow

TIMES, ANGLES, SIGMA_DATA = (0.001, 0.3, 0.5, 0.9, 0.999), (0.01, 0.7, math.pi / 4, 1.3, 1.56), 0.5
X0, EPS = noise((1, 2), (2, 4, 4)).double()
MEAN, SPREAD = 0.7, 0.5


@pytest.mark.parametrize("t", TIMES)
def test_flow_time_and_sigma_are_each_others_inverse(t: float) -> None:
    sigma = sigma_of_flow(t)
    assert flow_time(sigma) == pytest.approx(t)
    assert torch.allclose((X0 + sigma * EPS) / (1 + sigma), (1 - t) * X0 + t * EPS)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_shift_of_time_is_a_factor_of_sigma(t: float, shift: float) -> None:
    shifted = shift * t / (1 + (shift - 1) * t)
    assert sigma_of_flow(t, shift) == pytest.approx(sigma_of_flow(shifted)) == pytest.approx(shift * sigma_of_flow(t))


@pytest.mark.parametrize("t", TIMES)
def test_the_velocity_of_a_flow_gives_x0(t: float) -> None:
    sigma = sigma_of_flow(t)
    assert torch.allclose(x0_from_flow(X0 + sigma * EPS, EPS - X0, sigma), X0)


def test_where_sigma_is_infinite_it_is_capped() -> None:
    assert sigma_of_flow(1.0) == sigma_of_flow(1 - 1e-9) == sigma_of_angle(math.pi / 2) == sigma_of_angle(1.5708) == SIGMA_MAX
    assert torch.allclose(x0_from_flow(X0 + SIGMA_MAX * EPS, EPS - X0, SIGMA_MAX), X0)


@pytest.mark.parametrize("angle", ANGLES)
def test_an_angle_of_trigflow_is_a_sigma_whatever_the_spread_of_its_pictures(angle: float) -> None:
    in_trigflow = math.cos(angle) * SIGMA_DATA * X0 + math.sin(angle) * SIGMA_DATA * EPS
    assert torch.allclose(in_trigflow / (math.cos(angle) * SIGMA_DATA), X0 + sigma_of_angle(angle) * EPS)


@pytest.mark.parametrize("angle", ANGLES)
def test_a_flow_network_read_in_trigflow_gives_the_same_x0(angle: float) -> None:
    """As the network of SANA-Sprint is wrapped: input and answer are rescaled so that it becomes F with x0 = cos x - sin sigma_data F."""
    cos, sin, sigma = math.cos(angle), math.sin(angle), sigma_of_angle(angle)
    x, answer = X0 + sigma * EPS, torch.sin(3 * EPS)                         # whatever the network says
    in_trigflow, t = x * cos * SIGMA_DATA, sin / (sin + cos)
    root = math.sqrt(t ** 2 + (1 - t) ** 2)
    fed = in_trigflow / SIGMA_DATA * root
    wrapped = ((1 - 2 * t) * fed + (1 - 2 * t + 2 * t ** 2) * answer) / root
    assert t == pytest.approx(flow_time(sigma)) and torch.allclose(fed, x / (1 + sigma))
    assert torch.allclose((cos * in_trigflow - sin * SIGMA_DATA * wrapped) / SIGMA_DATA, x0_from_flow(x, answer, sigma))


def test_the_walk_of_a_flow_model_is_its_own_euler_method() -> None:
    """Gaussian pictures: the exact velocity, stepped in flow time as rectified flows are, ends where our walk ends."""
    def x0(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return MEAN + SPREAD ** 2 / (SPREAD ** 2 + sigma ** 2) * (x - MEAN)

    sigmas = flow_sigmas(8, 3.0)
    ours = run(x0, sigmas[0] * EPS, sigmas)
    x, times = flow_time(sigmas[0]) * EPS, [*map(flow_time, sigmas), 0.0]
    for t, following in zip(times, times[1:], strict=False):
        in_sigma = x / (1 - t)
        clean = x0(in_sigma, t / (1 - t))
        x = x + (following - t) * ((in_sigma - clean) * (1 - t) / t - clean)
    assert torch.allclose(ours, x)


def test_a_flow_walk_is_that_of_the_published_scheduler() -> None:
    from models.compat import mend_torchvision
    mend_torchvision()
    from diffusers import DPMSolverMultistepScheduler
    for steps in (1, 2, 20):
        theirs = DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
        theirs.set_timesteps(steps)
        assert [flow_time(sigma) for sigma in flow_sigmas(steps, 3.0)] == pytest.approx(theirs.sigmas[:-1].tolist(), abs=1e-6)
    assert flow_sigmas(20, 3.0)[0] == pytest.approx(3 * 999) and flow_sigmas(4, 1.0, 0.5)[0] == pytest.approx(sigma_of_flow(FIRST_TIME / 2))


def test_a_sprint_walk_is_that_of_the_published_scheduler() -> None:
    from models.compat import mend_torchvision
    mend_torchvision()
    from diffusers import SCMScheduler
    for steps in (1, 2, 3, 4):
        theirs = SCMScheduler()
        theirs.set_timesteps(steps, intermediate_timesteps=1.3 if steps == 2 else None)
        assert list(map(math.atan, sprint_sigmas(steps))) == pytest.approx(theirs.timesteps[:-1].tolist(), abs=2e-4)
    assert sprint_sigmas(1) == (SIGMA_MAX,) and sprint_sigmas(2)[1] == pytest.approx(math.tan(1.3))
    assert sprint_sigmas(2, 0.5) == pytest.approx((math.tan(0.7854), math.tan(0.65)))
