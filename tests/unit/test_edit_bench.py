"""The scenes of the bench of edits have exact truths, and its figures say what they should of edits that are known."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import BadInput
from models.flows.check_fix import facts_of
from models.lab.edit_scores import _crop, outside, run_edit_scores
from models.lab.edit_things import NAMES, write_things
from models.lab.items import Item
from models.lab.metrics.features import FeatureNet
from studio.bench.edit import Log, overlap, prompts, psnr
from studio.bench._edit_scenes import THINGS, scene, things


def test_every_drawing_has_a_name_and_stands_alone() -> None:
    pool = things()
    assert len(pool) == len({thing.name for thing in pool}) == 48 and THINGS.stat().st_size < 300_000
    assert all((thing.rgba[..., 3] > 128).mean() > 0.03 for thing in pool)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_scene_is_its_ground_and_its_things_and_always_the_same(number: int) -> None:
    one, again = scene(number, things(), 2), scene(number, things(), 2)
    assert np.array_equal(one.rgb, again.rgb) and len(set(one.names)) == 2
    first, second = one.names
    only_ground = one.alpha(first) + one.alpha(second) == 0
    assert np.array_equal(one.rgb[only_ground], one.ground[only_ground])
    far = one.alpha(first) == 0
    assert np.array_equal(one.without(first)[far], one.rgb[far]) and not np.array_equal(one.without(first), one.rgb)
    assert not one.alpha("nobody").any()


def test_figures() -> None:
    a = np.zeros((8, 8), np.float32)
    a[:4] = 1
    assert overlap(a, a) == 1 and overlap(a, 1 - a) == 0 and overlap(a, np.ones_like(a)) == 0.5
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(grey, grey) == 60 and psnr(grey, grey + 10) == pytest.approx(28.13, abs=0.01)
    assert psnr(grey, np.where(a[..., None] > 0, grey, 0), a > 0) == 60
    assert all(len(facts_of(prompt)) in (4, 5) for prompt in prompts(20)) and len(set(prompts(40))) == 40


def test_features_see_only_what_lies_outside() -> None:
    rng, net = np.random.default_rng(0), FeatureNet()
    before = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 4)
    free = np.zeros((256, 256), bool)
    free[80:176, 80:176] = True
    far = before.copy()
    far[:60] = 255 - far[:60]
    assert outside(net, before, before, free) == 0 < outside(net, before, far, free)


def test_scores_need_pictures_and_crops_are_centred(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no edits"):
        run_edit_scores(tmp_path, tmp_path, "`x`")
    log = Log(tmp_path / "pack")
    log.keep("remove", "fox", before=np.zeros((4, 4, 3), np.uint8), mask=np.zeros((4, 4), np.uint8))
    log.write()
    row, = json.loads((tmp_path / "pack" / "index.json").read_text())
    assert row["words"] == "fox" and (tmp_path / "pack" / row["before"]).is_file()
    mask = np.zeros((64, 64, 1), bool)
    mask[2:12, 50:60] = True
    crop = _crop(np.zeros((64, 64, 3), np.uint8), mask)
    assert crop.shape[0] == crop.shape[1] and (crop == 0).sum() == 300


def test_only_held_out_drawings_are_taken(tmp_path: Path) -> None:
    item = lambda label, split: Item("noto", label, label, "style", split, "objects", "Apache-2.0")
    rgba = np.full((3, 256, 256, 4), 200, np.uint8)
    assert NAMES[0] == "backpack" and write_things([item("backpack", "train"), item("fox", "val"), item("chair", "val")], rgba, tmp_path / "a.webp") == 1
    assert json.loads((tmp_path / "a.json").read_text()) == ["fox"]
    with pytest.raises(BadInput):
        write_things([item("backpack", "train")], rgba, tmp_path / "b.webp")
