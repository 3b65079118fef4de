"""The benches of sketched scenes and of colouring: their measures on pictures whose answer is known, and both with few cases."""
from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from models.flows.sketched_scene import Scene, SceneObject
from models.job import Job, Picture
from studio.bench import colour, scene
from studio.bench._score import interval
from studio.settings import Settings
from tests.bases_here import shipped_adapters, shipped_bases

HERE = {adapter for adapter, _ in shipped_adapters()}
painted = pytest.mark.skipif("embedded" not in shipped_bases() or not {"scribble", "image-prompt"} <= HERE, reason="the embedded base is not shipped yet")


def box(x0: int, y0: int, x1: int, y1: int) -> SceneObject:
    canvas = np.zeros((512, 512), np.uint8)
    cv2.rectangle(canvas, (2 * x0, 2 * y0), (2 * x1, 2 * y1), 255, 3)
    return SceneObject(Picture.from_array(canvas[..., None]))


def white(**things: tuple[int, int, int, int]) -> np.ndarray:
    picture = np.full((256, 256, 3), 255, np.uint8)
    for x0, y0, x1, y1 in things.values():
        picture[y0:y1, x0:x1] = (200, 40, 40)
    return picture


SCENE = Scene(Job(), (box(20, 60, 100, 160), box(150, 60, 230, 160)), "scribble")


def test_objects_that_fill_their_outlines_score_full_marks() -> None:
    both = scene.judged(SCENE, white(a=(20, 60, 100, 160), b=(150, 60, 230, 160)))
    assert all(o.iou > 0.88 and o.inside for o in both)


def test_one_thing_across_both_places_lies_in_neither() -> None:
    both = scene.judged(SCENE, white(one=(20, 60, 230, 160)))
    assert not any(o.inside for o in both)


def test_a_missing_object_and_a_small_one_are_seen() -> None:
    first, second = scene.judged(SCENE, white(a=(20, 60, 50, 90)))
    assert first.iou < 0.2 and not first.inside and second == scene.Judged(0.0, False)


def test_a_scene_without_paper_has_no_object_inside() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert not any(o.inside for o in scene.judged(SCENE, noise))


def test_palettes_pair_their_colours_in_any_order() -> None:
    left, right = white(a=(40, 40, 120, 200)), white(a=(40, 40, 200, 200))
    left[40:200, 120:200], right[40:200, 40:120] = (30, 60, 200), (30, 60, 200)
    other = white(a=(40, 40, 200, 200))
    other[40:200, 40:120] = (40, 180, 60)
    assert colour.palette_distance(left, right) < 8 < 25 < colour.palette_distance(left, other)
    assert colour.palette_distance(left, left) == 0


def test_the_interval_holds_the_mean_and_narrows() -> None:
    few, many = (np.random.default_rng(0).normal(1, 1, n) for n in (10, 1000))
    for values in (few, many):
        low, high = interval(values)
        assert low < values.mean() < high
    assert np.ptp(interval(many)) < np.ptp(interval(few)) / 3


@painted
@pytest.mark.render
def test_scenes_are_measured_three_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scene, "SCENES", 2)
    figures = scene.run(Settings(cache_dir=tmp_path))
    with Image.open(tmp_path / "bench-sheets" / "scene.webp") as sheet:
        assert sheet.width > sheet.height > 300
    assert figures["scenes"] == 2 and figures["objects"] == 5 and all(math.isfinite(v) for v in figures.values())
    assert all(0 <= figures[f"{way}_{what}"] <= 1 for way in ("blended", "collage", "whole_sketch") for what in ("outline_iou", "inside_share"))


@painted
@pytest.mark.render
def test_colouring_is_measured_with_both_references(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(colour, "CASES", 2)
    figures = colour.run(Settings(cache_dir=tmp_path))
    assert (tmp_path / "bench-sheets" / "colour.webp").stat().st_size > 2000
    assert figures["cases"] == 2 and all(math.isfinite(v) for v in figures.values())
    assert figures["right_reference_lab"] > 0 and 0 <= figures["edge_f1"] <= 1
