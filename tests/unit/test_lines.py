"""Lines: a picture becomes strokes, and part of them becomes the control picture of an unfinished drawing."""
from __future__ import annotations

import cv2
import numpy as np
import pytest

from models import lines


def disc(radius: int = 60) -> np.ndarray:
    picture = np.full((256, 256, 3), 255, np.uint8)
    cv2.circle(picture, (128, 128), radius, (40, 90, 220), -1)
    return picture


def test_a_disc_becomes_one_closed_stroke_on_its_rim() -> None:
    strokes = lines.strokes_of(lines.edges(disc()))
    assert len(strokes) == 1
    distance = np.hypot(*(strokes[0] - 128).T)
    assert np.abs(distance - 60).max() < 4 and len(strokes[0]) > 250
    assert np.abs(strokes[0][0] - strokes[0][-1]).max() <= 3


def test_blank_paper_has_no_lines() -> None:
    blank = np.full((64, 48, 3), 200, np.uint8)
    assert not lines.edges(blank).any() and lines.strokes_of(lines.edges(blank)) == []
    assert not lines.control_picture(blank).any() and lines.control_picture(blank).shape == (64, 48, 3)


def test_thinning_leaves_one_pixel_and_the_shape() -> None:
    bar = np.zeros((40, 80), bool)
    bar[15:22, 10:70] = True
    thin = lines.thinned(bar)
    assert thin.sum(0).max() == 1 and 50 <= thin.sum() <= 60 and not (thin & ~bar).any()


def test_every_edge_pixel_of_a_long_line_is_in_exactly_one_stroke() -> None:
    thin = lines.edges(disc(80))
    points = np.concatenate(lines.strokes_of(thin, shortest_px=1))
    assert len(points) == len({tuple(p) for p in points}) == thin.sum()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_a_share_of_the_drawing_has_that_share_of_the_ink(share: float) -> None:
    strokes = lines.strokes_of(lines.edges(disc()))
    part = lines.partial(strokes, share, np.random.default_rng(0))
    assert sum(map(len, part)) == pytest.approx(share * sum(map(len, strokes)), abs=2)


def test_the_hand_is_repeatable_and_near_the_line() -> None:
    one, again, other = (lines.control_picture(disc(), 1.0, seed) for seed in (1, 1, 2))
    assert (one == again).all() and (one != other).any()
    ys, xs = np.nonzero(one[..., 0] > 128)
    assert np.abs(np.hypot(xs - 128, ys - 128) - 60).max() < 14


def test_agreement_counts_what_lies_near() -> None:
    wanted, found = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    wanted[20, 10:50] = True
    assert lines.agreement(wanted, wanted) == (1.0, 1.0, 1.0)
    found[22, 10:30] = True
    recall, precision, f1 = lines.agreement(wanted, found, within_px=3)
    assert 0.5 <= recall <= 0.6 and precision == 1.0 and f1 == pytest.approx(2 * recall / (recall + 1))
    found[60, 10:30] = True
    assert lines.agreement(wanted, found, within_px=3)[1] == 0.5
    assert lines.agreement(wanted, np.zeros_like(wanted)) == (0.0, 0.0, 0.0)
    assert lines.agreement(np.zeros_like(wanted), np.zeros_like(wanted)) == (1.0, 1.0, 1.0)


def test_chamfer_is_the_distance_between_parallel_lines_and_tells_empty_from_equal() -> None:
    one, other, none = np.zeros((3, 64, 64), bool)
    one[20, 10:50], other[26, 10:50] = True, True
    assert lines.chamfer(one, one) == 0 and abs(lines.chamfer(one, other) - 6) < 0.3
    assert lines.chamfer(none, none) == 0 and lines.chamfer(one, none) == lines.chamfer(none, one) == np.hypot(64, 64)


def test_a_line_goes_straight_on_where_another_meets_it() -> None:
    """A slanted line of long steps, met from above: at the fork the last step alone would lead astray."""
    thin = np.zeros((120, 200), bool)
    for x in range(10, 190):
        thin[60 + x // 8, x] = True
    thin[20:60 + 100 // 8, 100] = True
    strokes = lines.strokes_of(lines.thinned(thin))
    assert len(strokes) == 2 and sorted(np.ptp(s[:, 0]) for s in strokes) == [0, 179]


def test_ends_that_face_each_other_are_joined_and_others_are_not() -> None:
    left, right = np.int32([(x, 50) for x in range(10, 48)]), np.int32([(x, 51) for x in range(52, 90)])
    up, beside = np.int32([(50, y) for y in range(10, 47)]), np.int32([(x, 54) for x in range(10, 47)])
    joined = lines.joined([left, up, right, beside])
    assert len(joined) == 3 and np.ptp(joined[0][:, 0]) == 79 and len(joined[0]) == len(left) + len(right)
    assert (np.abs(np.diff(joined[0], axis=0)).max(1) <= 5).all(), "in drawing order"
    assert len(lines.joined([left, right], gap_px=3)) == 2
    assert lines.joined([]) == [] and len(lines.joined([left])) == 1


def test_joining_never_closes_a_ring_and_loses_no_point() -> None:
    turn = np.linspace(0, 2 * np.pi, 5)
    arcs = [np.int32(np.stack([100 + 60 * np.cos(a), 100 + 60 * np.sin(a)], 1))
            for a in (np.linspace(start + 0.02, stop - 0.02, 80) for start, stop in zip(turn, turn[1:]))]
    joined = lines.joined(arcs)
    assert len(joined) == 1 and len(joined[0]) == sum(map(len, arcs))
    assert sorted(map(tuple, joined[0])) == sorted(tuple(p) for arc in arcs for p in arc)


def test_short_side_branches_are_cut_and_nothing_else() -> None:
    thin = np.zeros((80, 200), bool)
    thin[40, 10:190] = True
    plain = thin.copy()
    thin[35:40, 60] = thin[41:45, 120] = True
    thin[10:40, 150] = True                          # long enough to be meant
    thin[5, 5:9] = True                              # short, but not a branch of anything
    cut = lines.pruned(thin, 8)
    plain[10:40, 150] = plain[5, 5:9] = True
    assert (cut == plain).all()
