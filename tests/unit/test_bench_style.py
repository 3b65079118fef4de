"""The arithmetic of the bench of style, on pictures whose answer is known."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models.job import Picture
from studio.bench.style import PANS, apart, sheet, ssim


def test_views_of_one_place_that_agree_are_not_apart() -> None:
    wide = np.random.default_rng(0).integers(0, 200, (64, 64 + max(PANS), 3), dtype=np.uint8)
    views = [wide[:, x:x + 64] for x in PANS]
    assert apart(views) == 0
    assert apart([views[0], *[view + 7 for view in views[1:]]]) == 7


def test_structure_is_one_with_itself_and_little_with_noise() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
    assert abs(ssim(one, one) - 1) < 1e-6 and ssim(one, other) < 0.2


def test_the_sheet_is_as_wide_as_its_longest_row(tmp_path: Path) -> None:
    picture = Picture.from_array(np.full((50, 50, 3), 90, np.uint8))
    sheet([[None, picture], [picture, picture, picture]], tmp_path / "s.webp")
    assert Image.open(tmp_path / "s.webp").size == (3 * 96 + 4, 2 * 96 + 4)
