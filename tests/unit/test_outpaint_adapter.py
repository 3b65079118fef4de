"""What the outpainting adapter is shown: the known part by itself, where it lies, and what it refuses."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.adapters.outpaint import WHOLE, anchor_of, box_of, canvas_of
from models.engine import Engine
from models.errors import BadInput
from models.job import AdapterUse, Extent, Job, Picture
from tests.tiny_adapters import outpaint as tiny

RNG = np.random.default_rng(0)


def masked(rgb: np.ndarray, free: slice) -> Job:
    mask = np.zeros(rgb.shape[:2], np.uint8)
    mask[:, free] = 255
    return Job(base="tiny-student", extent=Extent(rgb.shape[1], rgb.shape[0]), image=Picture.from_array(rgb), mask=Picture.from_array(mask))


def test_what_is_masked_is_unknown_and_nothing_is_known_without_a_mask() -> None:
    job = masked(RNG.integers(0, 256, (64, 96, 3), dtype=np.uint8), slice(48, None))
    canvas = canvas_of(job).array
    assert (canvas[:, :48, 3] == 255).all() and not canvas[:, 48:, 3].any() and (canvas[:, :48, :3] == job.image.array[:, :48]).all()
    part, box = anchor_of(canvas_of(job))
    assert (part.width, part.height) == (48, 64) and box == (0, 0, 0.5, 1)
    assert not canvas_of(job.but(mask=None)).array[..., 3].any() and anchor_of(canvas_of(job.but(mask=None)))[1] == WHOLE


def test_boxes() -> None:
    assert box_of("") == WHOLE and box_of("-0.5 0 0.5 1") == (-0.5, 0, 0.5, 1)
    for words in ("a cat", "0 0 1", "0 0 0 1", "nan 0 1 1", "0 0 1 900", "1 1 0 0"):
        with pytest.raises(BadInput, match="no box"):
            box_of(words)


@pytest.fixture
def engine(tiny_engine: Callable[..., Engine], tmp_path: Path) -> Engine:
    opened = tiny_engine()
    with opened.registry.lease("tiny-student") as (base, _):
        opened.catalog.add("adapter", str(tiny.write(tmp_path / "grow.safetensors", base)))
    return opened


def test_what_is_known_decides_what_is_painted_and_comes_back(engine: Engine) -> None:
    assert engine.catalog.able("tiny-student").granted["outpainting"] in ("grow", "outpaint")
    rgb = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    uses = (AdapterUse("grow"),)
    one, other = (engine.render(masked(picture, slice(32, None)).but(adapters=uses)).pixels[0] for picture in (rgb, 255 - rgb))
    assert (one[:, :32] == rgb[:, :32]).all() and np.abs(one[:, 48:].astype(int) - other[:, 48:]).mean() > 0.5
    hidden = rgb.copy()
    hidden[:, 32:] = 7
    again = engine.render(masked(hidden, slice(32, None)).but(adapters=uses)).pixels[0]
    assert (again[:, 48:] == one[:, 48:]).all(), "what lies under the mask is never looked at"


def test_the_anchor_and_its_box_are_what_the_known_part_would_be(engine: Engine) -> None:
    job = masked(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), slice(32, None))
    part, box = anchor_of(canvas_of(job))
    by_itself, told = (engine.render(job.but(adapters=(use,))).pixels for use in (
        AdapterUse("grow"), AdapterUse("grow", image=part, words=" ".join(map(str, box)))))
    moved = engine.render(job.but(adapters=(AdapterUse("grow", image=part, words="0.5 0 1 1"),))).pixels
    assert (by_itself == told).all() and (moved != told).any()


def test_several_seeds_and_regions_are_painted_alike(engine: Engine) -> None:
    job = masked(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), slice(32, None)).but(adapters=(AdapterUse("grow"),), steps=2)
    both = engine.render(job.but(seeds=(1, 2))).pixels
    for number, seed in enumerate((1, 2)):
        alone = engine.render(job.but(seeds=(seed,))).pixels[0]
        assert np.abs(both[number].astype(int) - alone).max() <= 2
