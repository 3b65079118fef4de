"""The layers bench end to end over a tiny base, and its measures against pictures whose answers are known."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.flows import Remembered
from models.job import Extent, Job
from studio.bench import layers as bench
from tests.tiny_adapters import layerdiffuse

pytestmark = pytest.mark.render


def test_it_measures_and_writes_crops(tiny_engine, tmp_path: Path) -> None:
    engine = tiny_engine()
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(layerdiffuse.write_own(tmp_path / "clear.safetensors", base)))
    able, render = engine.catalog.able("tiny-student"), Remembered(engine.render)
    able.granted["rgba"] = "clear"                   # random, not the shipped one
    job = Job(base="tiny-student", steps=1, extent=Extent(128, 128))
    found = bench.assets(render, job, able, bench.WORDS[:1], 1)
    assert {f"{way}_empty_share" for way in ("native", "free", "maps", "matte")} < set(found) and found["matte_empty_share"] == 1.0
    assert {f"native_{what}_share" for what in ("touch", "cut", "island")} < set(found)
    assert found["native_touch_share"] == 0.0
    grown = bench.growth(render, job, able, 1)
    assert grown["thing_kept_bit_for_bit_share"] == 1.0 and grown["behind_growth_share"] >= 0
    out = bench.scenes(render, job, able, tmp_path / "crops", 1, 2)
    rows = json.loads((tmp_path / "crops" / "index.json").read_text())
    assert out["judged_crops"] == len(rows) == 6 and {row["way"] for row in rows} == {"layers", "single"}
    for row in rows:
        assert cv2.imread(str(tmp_path / "crops" / row["file"])).shape == (256, 256 * row["crops"], 3)


def test_growth_is_the_share_of_area_more() -> None:
    thing = np.zeros((128, 128, 4), np.uint8)
    thing[40:80, 40:80] = (200, 30, 30, 255)
    place = np.full((128, 128, 3), (90, 150, 220), np.uint8)
    place[40:80, 40:80] = (200, 30, 30)
    assert abs(bench.grows(place, thing)) < 0.05
    place[40:80, 80:88] = (200, 30, 30)
    assert bench.grows(place, thing) == pytest.approx(0.2, abs=0.06)


def test_flat_cuts_are_long_straight_runs_on_the_border_of_the_free_part() -> None:
    alpha = np.zeros((100, 100), np.uint8)
    cv2.circle(alpha, (50, 50), 38, 255, -1)
    assert not bench.cut_flat(alpha, 0.1)
    alpha[:10] = alpha[-10:] = alpha[:, :10] = alpha[:, -10:] = 0
    cv2.circle(alpha, (50, 50), 46, 255, -1)
    alpha[:10] = alpha[-10:] = alpha[:, :10] = alpha[:, -10:] = 0
    assert bench.cut_flat(alpha, 0.1) and not bench.cut_flat(alpha, 0.0)
    assert bench.longest(np.array([1, 1, 0, 1, 1, 1], bool)) == 3 and bench.longest(np.zeros(4, bool)) == 0


def test_a_harder_edge_has_a_higher_ratio() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(100, 120, (64, 64, 3), dtype=np.uint8)
    seen = np.zeros((64, 64), np.float32)
    seen[20:44, 20:44] = 1
    soft, hard = picture.copy(), picture.copy()
    soft[20:44, 20:44], hard[20:44, 20:44] = soft[20:44, 20:44] + 20, hard[20:44, 20:44] + 120
    assert bench.edge_ratio(hard, seen) > 2 * bench.edge_ratio(soft, seen)
    assert bench.psnr(picture, picture) == bench.MOST_DB and bench.psnr(picture, hard) < 30


def test_sentences_name_what_is_asked_for() -> None:
    for count in range(1, 6):
        words, names = bench.sentences(count, 2)
        assert len(set(names)) == count and all(name in words for name in names)
        assert len(bench.plan(words).things) == count and bench.plan(words).background == bench.PLACES[2]
