"""Frozen values: equality, hashing, the round trip through JSON, and limits that are refused by name."""
from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from models.errors import BadInput
from models.job import MAX_BATCH, MAX_PROMPT_CHARS, MAX_SEED, MAX_STEPS, AdapterUse, Extent, Job, Picture, Result, Timings

RGB = Picture.from_array(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3))
MASK = Picture.from_array(np.full((2, 3), 255, np.uint8))
FULL = Job(prompt="ein Fuchs 狐 🦊", base="b", style="flat", negative="blur", seeds=(1, MAX_SEED), extent=Extent(64, 128), steps=4,
           guidance=2.5, adapters=(AdapterUse("a", 0.5), AdapterUse("c", 1.0, RGB)), image=RGB, strength=0.25, mask=MASK)


def test_equal_jobs_have_one_hash_and_one_digest() -> None:
    again = Job.from_dict(FULL.to_dict())
    assert again == FULL and hash(again) == hash(FULL) and again.digest == FULL.digest
    assert len({FULL, again, FULL.but(steps=3)}) == 2


def test_round_trip_through_json_text() -> None:
    assert Job.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL
    assert Job.from_dict({}) == Job()


@pytest.mark.parametrize("change", [dict(prompt="x"), dict(seeds=(2,)), dict(extent=Extent(128, 64)), dict(steps=3), dict(guidance=None),
                                    dict(strength=0.5), dict(adapters=()), dict(mask=None), dict(style=""), dict(negative=""), dict(base="d"),
                                    dict(image=Picture.from_array(np.zeros((2, 3, 3), np.uint8)))])
def test_every_field_decides_the_digest(change: dict) -> None:
    assert FULL.but(**change).digest != FULL.digest


def test_digest_is_the_same_in_another_process() -> None:
    code = "from models.job import Job; print(Job(prompt='fox', seeds=(1, 2)).digest)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7", "PATH": ""})
    assert out.stdout.strip() == Job(prompt="fox", seeds=(1, 2)).digest


def test_unknown_fields_are_named() -> None:
    with pytest.raises(BadInput, match="Unknown job field colour, size"):
        Job.from_dict({"prompt": "x", "size": 1, "colour": 2})


def test_a_picture_kept_by_hash_cannot_be_replayed() -> None:
    small = FULL.to_dict(pictures="digest")
    assert len(json.dumps(small)) < 2000 and small["image"]["sha256"] == RGB.digest
    with pytest.raises(BadInput, match="by its hash only"):
        Job.from_dict(small)


@pytest.mark.parametrize("bad", [dict(steps=0), dict(steps=MAX_STEPS + 1), dict(seeds=()), dict(seeds=(0,) * (MAX_BATCH + 1)), dict(seeds=(-1,)),
                                 dict(seeds=(MAX_SEED + 1,)), dict(strength=-0.1), dict(strength=1.1), dict(strength=float("nan")),
                                 dict(guidance=float("nan")), dict(guidance=-1.0), dict(guidance=1e9),
                                 dict(prompt="x" * (MAX_PROMPT_CHARS + 1)), dict(mask=MASK)])
def test_values_outside_their_limits_are_refused(bad: dict) -> None:
    with pytest.raises(BadInput):
        Job(**bad)


def test_ten_thousand_characters_are_a_valid_prompt() -> None:
    assert Job(prompt="ж" * 10_000).prompt


@pytest.mark.parametrize("text, size", [("256x192", (256, 192)), ("64X64", (64, 64)), ("320×240", (320, 240))])
def test_extents_are_read(text: str, size: tuple[int, int]) -> None:
    extent = Extent.parse(text)
    assert (extent.width, extent.height) == size and Extent.parse(str(extent)) == extent


@pytest.mark.parametrize("text", ["", "256", "axb", "0x64", "64x100000", "-1x5", "1x2x3"])
def test_bad_extents_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Extent.parse(text)


def test_pictures_keep_their_pixels_and_cannot_be_written() -> None:
    array = RGB.array
    assert array.shape == (2, 3, 3) and array[1, 2, 2] == 17
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1
    assert MASK.array.shape == (2, 3, 1)


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.float32), np.zeros(4, np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((1, 2, 2, 3), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(array: np.ndarray) -> None:
    with pytest.raises(BadInput):
        Picture.from_array(array)


def test_result_pixels_are_read_only() -> None:
    result = Result(np.zeros((1, 2, 2, 3), np.uint8), Job(), Timings(total_ms=1.234))
    with pytest.raises(ValueError, match="read-only"):
        result.pixels[0] = 1
    assert result.timings.to_dict()["total_ms"] == 1.23
