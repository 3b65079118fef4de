"""Annealing against closed forms, and layouts of words whose overlaps must go to zero."""
from __future__ import annotations

import numpy as np
import pytest

from models.job import Extent
from models.words.layout import LEAST_HEIGHT, anneal, apart, lined_up, outside, reversed_pairs, shared_share, words_energy

SIDE = Extent(256, 256)


def test_annealing_finds_the_minimum_of_a_bumpy_parabola() -> None:
    energy = lambda x: (x - 3) ** 2 + 2 * (1 - np.cos(4 * (x - 3)))     # its only global minimum is 0 at 3, with dips of its own around
    rng = np.random.default_rng(0)
    best, value = anneal(-6.0, energy, lambda x, heat: x + rng.normal(0, 1.5 * heat + 0.02), rng, 2000, hot=8.0)
    assert abs(best - 3) < 0.1 and value == pytest.approx(energy(best))


def test_a_cold_annealing_takes_no_step_up() -> None:
    seen = []
    anneal(0.0, lambda x: x, lambda x, heat: (seen.append(x), x + 1)[1], np.random.default_rng(0), 50, hot=1e-12)
    assert set(seen) == {0.0}


def test_overlap_is_counted_against_the_smaller_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 2, 2], [20, 20, 30, 30]], float)
    share = shared_share(boxes)
    assert share[0, 1] == 0.5 and share[0, 2] == 1.0 and not share[3].any() and not np.diag(share).any()


def test_energy_is_zero_for_a_good_layout_and_counts_what_is_wrong() -> None:
    good = np.array([[20, 20, 100, 60], [120, 20, 220, 60], [20, 100, 100, 140]], float)
    assert words_energy(good, good, SIDE) == 0
    assert outside(good, SIDE) == 0 and outside(good - [30, 0, 30, 0], SIDE) == pytest.approx(20 / 256)
    assert reversed_pairs(good) == 0 and reversed_pairs(good[::-1]) == 3
    low = good.copy()
    low[2, 3] = 110
    assert words_energy(low, low, SIDE) == pytest.approx(6 * (LEAST_HEIGHT - 10 / 256))
    moved = good + [3, 4, 3, 4]
    assert words_energy(moved, good, SIDE) == pytest.approx(0.5 * 3 * 5 / 256)


def test_overlapping_words_come_apart_and_stay_near() -> None:
    rng, clear = np.random.default_rng(0), 0
    for case in range(20):
        count = rng.integers(2, 7)
        corner, size = rng.uniform(20, 150, (count, 2)), np.stack([rng.uniform(50, 90, count), rng.uniform(26, 34, count)], 1)
        boxes = np.concatenate([corner, corner + size], 1)
        done = apart(boxes, SIDE, case)
        clear += shared_share(done).max() == 0 and outside(done, SIDE) == 0
        ratio = (done[:, 2] - done[:, 0]) / (done[:, 3] - done[:, 1])
        assert np.allclose(ratio, size[:, 0] / size[:, 1]), "words are not stretched"
    assert clear >= 19
    assert np.array_equal(apart(boxes, SIDE, 3), apart(boxes, SIDE, 3))


def test_words_are_lined_up_in_reading_order_inside_the_canvas() -> None:
    boxes = lined_up([(50, 20), (80, 20), (40, 20), (90, 20), (30, 20)], SIDE)
    assert reversed_pairs(boxes) == 0 and shared_share(boxes).max() == 0 and outside(boxes, SIDE) == 0
    assert len(np.unique(boxes[:, 1].round())) in (2, 3, 4)
    assert lined_up([(50, 20)], SIDE)[0, 2] - lined_up([(50, 20)], SIDE)[0, 0] == pytest.approx(0.86 * 256)
