"""The annotators without weights: where they see lines, and where they see none."""
from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.lines import agreement, edges
from models.percepts.canny import canny
from models.percepts.lines import lines


def disc(ink: tuple[int, int, int], paper: int = 255, noise: float = 0.0) -> np.ndarray:
    """uint8 [256, 256, 3]: a disc of radius 60 in the middle."""
    picture = np.full((256, 256, 3), paper, np.uint8)
    cv2.circle(picture, (128, 128), 60, ink, -1)
    return (picture + np.random.default_rng(0).normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)


def off_the_rim(found: np.ndarray) -> np.ndarray:
    ys, xs = np.nonzero(found)
    return np.abs(np.hypot(xs - 128, ys - 128) - 60)


@pytest.mark.parametrize("find", [lines, canny])
@pytest.mark.parametrize("picture", [disc((40, 90, 220)), disc((250, 250, 60), 0), disc((20, 20, 20), noise=6.0), disc((255, 0, 0), noise=3.0)],
                         ids=["blue", "on black", "noisy", "red"])
def test_a_disc_is_seen_at_its_rim_and_nowhere_else(find, picture: np.ndarray) -> None:
    found = find(picture)
    assert found.dtype == bool and off_the_rim(found).max() < 4
    angles = np.unique(np.round(np.degrees(np.arctan2(*(np.argwhere(found) - 128).T)) / 5))
    assert len(angles) >= 70, "all around, in steps of five degrees"


@pytest.mark.parametrize("find", [lines, canny])
def test_colours_of_one_lightness_are_told_apart(find) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = (200, 0, 0), (0, 102, 0)
    assert np.abs(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int).max() - cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).min()) <= 1
    found = find(picture)
    assert found[8:56, 29:35].any(1).all() and not found[:, :24].any() and not found[:, 40:].any()


@pytest.mark.parametrize("find", [lines, canny])
def test_blank_and_shaded_paper_has_no_lines(find) -> None:
    shade = np.repeat(np.linspace(120, 230, 256)[None, :, None], 256, 0).repeat(3, 2).astype(np.uint8)
    assert not find(np.full((40, 60, 3), 200, np.uint8)).any() and not find(shade).any()


def test_a_pale_shape_is_seen_where_there_is_little_else() -> None:
    pale = disc((228, 236, 240))
    assert not edges(pale).any() and lines(pale).sum() > 300 and off_the_rim(lines(pale)).max() < 4


def test_faint_texture_is_left_out_of_a_busy_picture() -> None:
    rng = np.random.default_rng(1)
    cloth = cv2.GaussianBlur(rng.normal(0, 60, (256, 256, 3)).astype(np.float32), (0, 0), 2)
    busy = (disc((20, 20, 20), 200).astype(np.float32) + cloth).clip(0, 255).astype(np.uint8)
    assert (lines(busy) == edges(busy)).all() and edges(busy, 30).sum() > 3 * edges(busy).sum()


def test_shading_beside_a_clear_line_is_no_second_line() -> None:
    picture = disc((20, 30, 120))
    cv2.circle(picture, (128, 128), 56, (45, 55, 150), -1)
    assert (off_the_rim(edges(picture, 30)) > 3).any() and off_the_rim(lines(picture)).max() < 4


def test_cannys_threshold_follows_the_picture() -> None:
    """The same drawing with a sixth of its contrast has the same edges."""
    strong = cv2.GaussianBlur(disc((0, 0, 0)), (0, 0), 1)
    weak = (255 - (255 - strong.astype(int)) // 6).astype(np.uint8)
    assert agreement(canny(strong), canny(weak), within_px=1.5)[2] == 1
    assert agreement(canny(strong), edges(weak), within_px=1.5)[2] < 0.5, "a fixed threshold loses it"
