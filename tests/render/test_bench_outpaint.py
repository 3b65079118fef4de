"""The outpainting bench end to end over a tiny base, its measures against known answers, and the lab's table of what it wrote."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.flows import Remembered
from models.flows.outpaint import Hand
from models.job import Job
from models.lab import outpaint_scores as scores
from models.lab.metrics.features import POOLED, TEXTURE
from studio.bench import outpaint as bench
from tests.tiny_adapters import outpaint as tiny

pytestmark = pytest.mark.render


@pytest.fixture
def setup(tiny_engine, tmp_path: Path) -> tuple:
    engine = tiny_engine()
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(tiny.write(tmp_path / "grow.safetensors", base)))
    return engine, Job(base="tiny-student", steps=1), Hand(native_px=64, max_px=128, adapter="grow", change=1.0)


def test_it_measures_and_the_lab_reads_what_it_wrote(setup: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, job, hand = setup
    monkeypatch.setattr(bench, "AREAS", (2.25, 5.0))
    folder = tmp_path / "canvases"
    out = bench.compared(Remembered(engine.render), job, hand, folder, 3, say=lambda text: None)
    rows = json.loads((folder / "index.json").read_text())
    assert len(rows) == 2 * 5 * 3 and {row["way"] for row in rows} == {"once", "held", "steps", "mirror", "truth"}
    assert out["mirror_2.25x_seam_ratio"] < 3 and out["once_5x_share_of_steps"] > 0
    assert {"same_place_psnr_db", "autoencoder_psnr_db", "aside_gain_low_db"} < set(bench.by_position(engine, job, hand, 1))
    assert bench.looped(engine.render, job, hand, 1)["loop_moved_wrap_ratio"] > 0
    assert bench.placed(engine, job, hand, 1)["place_repaired_growth_share"] >= 0

    class Eyes(torch.nn.Module):
        """Mean colours in place of a network's features."""
        device = torch.device("cpu")

        def look(self, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            small = torch.nn.functional.adaptive_avg_pool2d(rgb, 20).flatten(1)[:, :POOLED]
            return torch.nn.functional.pad(small, (0, POOLED - small.shape[1])), torch.zeros(len(rgb), TEXTURE)
    sheet, table = tmp_path / "sheet.webp", tmp_path / "SCORES.md"
    text = scores.run_outpaint_scores(folder, "`test`", table, sheet, Eyes)
    assert all(title in text for title in scores.TITLES.values()) and scores.HEADING in table.read_text()
    assert 0 < sheet.stat().st_size < scores.MOST_BYTES


def test_the_true_canvas_is_at_no_distance() -> None:
    x = np.random.default_rng(0).normal(size=(20, 8))
    assert scores.paired_distance(x, x).value == 0
    assert scores.paired_distance(x + 1, x).value == pytest.approx(8 ** 0.5)


def test_a_seam_is_seen_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(100, 110, (96, 96, 3), dtype=np.uint8)
    framed = picture.copy()
    framed[30:60, 30:60] += 60
    assert bench.seam(picture, (30, 30, 60, 60)) < 1.5 and bench.seam(framed, (30, 30, 60, 60)) > 10


def test_going_step_by_step_ends_at_the_whole_canvas() -> None:
    case = bench.cases(1, 11.7)[0]
    grown = []

    def render(job: Job):
        from models.job import Result, Timings
        grown.append(job)
        return Result(job.image.array[None, ..., :3].copy(), job, Timings())
    picture = bench.step_by_step(render, Job(), Hand(feather_px=0), case)
    x0, y0, x1, y1 = case.box
    assert picture.shape == case.truth.shape and (picture[y0:y1, x0:x1] == case.known.array).all() and 4 <= len(grown) <= 12
    assert bench.parts(0, 40, 10) == (0, 10) and bench.parts(3, 3, 100) == (3, 3)


def test_canvases_that_are_not_there(tmp_path: Path) -> None:
    from models.errors import BadInput
    with pytest.raises(BadInput, match="no canvases"):
        scores.run_outpaint_scores(tmp_path, "")
