"""A sketch is painted through one path on every kind of base: the embedded one, Stable Diffusion and SANA at tiny size."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.job import Picture
from studio.sketch.controls import ObjectWords, SketchControls
from studio.sketch.inks import BLOCK, DETAIL, OBJECTS
from studio.sketch.task import Painter, control_for, task_from
from tests.tiny_adapters import all_cases

pytestmark = pytest.mark.render
CONTROLLED = {"tiny-student": "tiny-student-scribble", "tiny-sd1": "tiny-sd1-t2i-sketch", "tiny-sana": "tiny-sana-hed"}


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, sd_folder: Path, sana_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One base of each kind with a control of its own, taken in as a user's file."""
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors"), str(sd_folder / "tiny-sd1"), str(sana_folder / "tiny-sana")],
                         device="cpu")
    folder, cases = tmp_path_factory.mktemp("controls"), all_cases()
    for base, control in CONTROLLED.items():
        with engine.registry.lease(base) as (leased, _):
            engine.catalog.add("adapter", str(cases[control].write(folder, leased)))
    yield engine
    engine.close()


def drawing(*inks: str) -> np.ndarray:
    out = np.full((512, 512, 3), 255, np.uint8)
    for i, ink in enumerate(inks):
        colour = tuple(int(ink[k:k + 2], 16) for k in (1, 3, 5))
        cv2.circle(out, (150 + 150 * i, 250), 70, colour, 24 if ink == BLOCK else 4, cv2.LINE_AA)
    return out


def painted(engine: Engine, base: str, canvas: np.ndarray, final: bool = False, painter: Painter | None = None, **settings: object):
    able = engine.catalog.able(base)
    controls = replace(SketchControls(prompt="a fox", base=base, seed=1, control=CONTROLLED[base]), **settings)
    task = task_from(controls, canvas, None, able)
    task = replace(task, job=task.job.but(steps=2))
    return (painter or Painter()).paint(engine.render, task.better(2) if final else task)


@pytest.mark.parametrize("base", CONTROLLED)
def test_the_picture_follows_the_lines(engine: Engine, base: str) -> None:
    side = engine.catalog.bases[base].native_px[0]
    one, other = (painted(engine, base, canvas) for canvas in (drawing(DETAIL), np.flip(drawing(DETAIL), (0, 1)).copy()))
    assert one.pixels.shape == (1, side, side, 3)
    assert [use.id for use in one.job.adapters] == [CONTROLLED[base]] and not np.array_equal(one.pixels, other.pixels)
    free = painted(engine, base, drawing(DETAIL), obey=0.0)
    assert free.job.adapters == () and not np.array_equal(free.pixels, one.pixels)


def test_the_control_is_chosen_by_what_it_obeys(engine: Engine) -> None:
    chosen = {base: control_for("", engine.catalog.able(base)) for base in CONTROLLED}
    assert chosen == CONTROLLED | {"tiny-student": "scribble"}, "the shipped scribble fits every embedded base by its name"


@pytest.mark.parametrize("base", CONTROLLED)
def test_the_second_pass_changes_what_lies_near_block_strokes(engine: Engine, base: str) -> None:
    canvas = drawing(DETAIL, BLOCK)
    first, second = (painted(engine, base, canvas, final=final) for final in (False, True))
    change = np.abs(first.pixels[0].astype(int) - second.pixels[0]).sum(2)
    side = change.shape[0]
    assert change[side // 2, int(side * 230 / 512)] > 0, "on the green ring"
    assert change[:side // 16].sum() == 0, "far from it"


def test_a_frame_is_painted_again_from_its_job_alone(engine: Engine) -> None:
    canvas = drawing(OBJECTS[0], OBJECTS[1])
    words = (ObjectWords(OBJECTS[0], "a house", 1), ObjectWords(OBJECTS[1], "a tree", 2))
    for result in (painted(engine, "tiny-student", drawing(DETAIL, BLOCK), final=True),
                   painted(engine, "tiny-student", canvas, mode="scene", objects=words)):
        assert np.array_equal(engine.render(result.job).pixels, result.pixels)


def test_a_reference_needs_an_adapter_that_looks(engine: Engine) -> None:
    from models.errors import BadInput
    reference = Picture.from_array(np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(BadInput, match="cannot look at a reference"):
        task_from(SketchControls(base="tiny-sana"), drawing(DETAIL), reference, engine.catalog.able("tiny-sana"))
