"""The cut-out bench: its measures against closed forms, its clicks, and that better answers score better."""
from __future__ import annotations

import numpy as np
import pytest

from models.flows.cutout import GRABCUT, NET, PAPER
from studio.bench import cutout as bench

pytestmark = pytest.mark.render


def test_the_errors_are_those_of_the_matting_literature() -> None:
    alpha = np.zeros((100, 100), np.float32)
    alpha[:, 50:] = 1
    shifted = np.roll(alpha, 4, 1)
    shifted[:, :4] = 0
    sad, mse, gradient = bench.errors(shifted, alpha)
    assert sad == pytest.approx(0.4) and mse == pytest.approx(40)
    assert bench.errors(alpha, alpha) == (0, 0, 0)
    # a step's gradient is the bell itself, and two bells four px apart hardly overlap: 100 rows x 2 x sum(bell^2) = 200 / (2 sqrt(pi) 1.4) = 40.3,
    # less the overlap 2 x exp(-16 / (4 x 1.4^2)) of it
    assert gradient == pytest.approx(0.0403 * (1 - np.exp(-16 / (4 * 1.4 ** 2))), rel=0.05)
    ramp = np.tile(np.arange(100, dtype=np.float32) / 100, (100, 1))
    assert bench.steepness(ramp)[50, 20:80] == pytest.approx(0.01, rel=0.02), "the derivative of a ramp"


def test_a_click_lies_in_the_largest_wrong_piece() -> None:
    alpha, found = np.zeros((60, 60), np.float32), np.zeros((60, 60), np.float32)
    alpha[10:40, 10:40] = 1
    found[10:40, 30:40], found[50:55, 50:55] = 1, 1
    click = bench.next_click(found, alpha)
    (x, y), = click.points
    assert click.keep and 10 <= x < 30 and 10 <= y < 40
    assert bench.next_click(alpha, alpha) is None


def test_cases_are_what_they_say_and_a_right_eye_scores_best() -> None:
    things = bench.drawings()
    assert len(things) == 32 and all(thing.shape == (256, 256, 4) and thing[..., 3].max() == 255 for thing in things)
    few = [bench.composed(thing, other, ground, np.random.default_rng(k)) for k, (thing, other, ground)
           in enumerate(zip(things[::11], things[1::11], bench.GROUNDS))]
    assert all(0.02 < case.alpha.mean() < 0.8 and case.rgb.shape == (256, 256, 3) for case in few)
    truth = {case.rgb.tobytes(): case.alpha for case in few}
    right = lambda id, rgb, hints=None: (truth[rgb.tobytes()] * 255).round().astype(np.uint8)
    figures = bench.measured(right, few, lambda text: None)
    assert figures["pictures"] == 3 and figures[f"{NET}_0_clicks_sad"] < 0.2 < figures[f"{GRABCUT}_0_clicks_sad"]
    assert figures[f"{NET}_3_clicks_sad"] <= figures[f"{NET}_0_clicks_sad"] + 1e-6 and f"{PAPER}_0_clicks_plain_sad" in figures
