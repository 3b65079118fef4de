"""Sketched scenes over a tiny base with random control and transparent adapters: what is painted, where it lands, what is painted again."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput, Incompatible
from models.flows import Remembered
from models.flows.sketched_scene import MOST_OBJECTS, Scene, SceneObject, filling, own_canvas, place, sketched_scene, softness, suited
from models.job import Extent, Job, Picture, Result
from tests.tiny_adapters import controlnet, layerdiffuse, lora

pytestmark = pytest.mark.render
CANVAS = 256
JOB = Job(prompt="on a field", base="tiny-student", extent=Extent(128, 128), steps=4, seeds=(5,))


def lines(*polygons: list[tuple[int, int]], side: int = CANVAS) -> Picture:
    canvas = np.zeros((side, side), np.uint8)
    for polygon in polygons:
        cv2.polylines(canvas, [np.int32(polygon).reshape(-1, 1, 2)], True, 255, 3)
    return Picture.from_array(canvas[..., None])


HOUSE = lines([(20, 100), (70, 40), (120, 100), (110, 100), (110, 170), (30, 170), (30, 100)])
TREE = lines([(160, 60), (220, 60), (220, 130), (160, 130)], [(182, 130), (198, 130), (198, 190), (182, 190)])
NOTHING = lines()
OBJECTS = (SceneObject(HOUSE, "a house", 1), SceneObject(TREE, "a tree", 2))


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu")
    folder = tmp_path_factory.mktemp("adapters")
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(controlnet.write_own(folder / "scribbles.safetensors", base)))
        engine.catalog.add("adapter", str(layerdiffuse.write_own(folder / "clear.safetensors", base)))
    yield engine
    engine.close()


class Counted:
    """A render that writes down the jobs that reached the engine."""

    def __init__(self, engine: Engine) -> None:
        self.jobs: list[Job] = []
        self.engine = engine

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        return self.engine.render(job)


@pytest.fixture
def counted(engine: Engine) -> Counted:
    return Counted(engine)


def scene(**changes: object) -> Scene:
    return replace(Scene(JOB, OBJECTS, "scribbles", transparent="clear"), **changes)


def test_a_look_named_in_the_background_words_reaches_the_objects(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(lora.write(tmp_path / "etched.safetensors", base, "kohya", seed=9)))
    seen: list[Job] = []

    def render(job: Job) -> Result:
        seen.append(job)
        return engine.render(job)
    house, *_ = sketched_scene(render, scene(objects=OBJECTS[:1], job=JOB.but(prompt="a field <lora:etched:0.7>")))
    assert [use.id for use in house.job.adapters if use.id == "etched"] == ["etched"] and house.job.prompt == "a house"
    assert "<lora:etched:0.7>" in seen[0].prompt


def test_every_object_the_collage_and_the_blend_are_yielded(engine: Engine) -> None:
    house, tree, collage, blended = sketched_scene(engine.render, scene())
    assert house.pixels.shape == tree.pixels.shape == (1, 128, 128, 4) and house.job.prompt == "a house" and tree.job.seeds == (2,)
    assert collage.pixels.shape == blended.pixels.shape == (1, 128, 128, 3)
    assert blended.job.prompt == "a house on the left and a tree on the right, on a field"
    assert (blended.pixels != collage.pixels).any()


def test_the_same_scene_gives_the_same_pixels(engine: Engine) -> None:
    once, again = ([r.pixels for r in sketched_scene(engine.render, scene())] for _ in range(2))
    assert all((a == b).all() for a, b in zip(once, again, strict=True))


def test_what_is_yielded_can_be_painted_again_from_its_job(engine: Engine) -> None:
    *_, collage, blended = sketched_scene(engine.render, scene())
    for result in (collage, blended):
        assert (engine.render(Job.from_dict(result.job.to_dict())).pixels == result.pixels).all()


def test_without_blending_the_collage_is_the_last_and_the_engine_is_not_asked(counted: Counted) -> None:
    results = list(sketched_scene(counted, scene(blend=0.0)))
    assert len(results) == 3 and len(counted.jobs) == 3 and all(job.mask is None for job in counted.jobs)
    *_, collage, _ = sketched_scene(counted, scene())
    assert (results[-1].pixels == collage.pixels).all()


@pytest.mark.parametrize("change", [dict(words="a tower"), dict(seed=9), dict(lines=TREE)])
def test_changing_one_object_repaints_it_and_the_blend_only(counted: Counted, change: dict) -> None:
    render = Remembered(counted)
    first = list(sketched_scene(render, scene()))
    assert len(counted.jobs) == 4
    list(sketched_scene(render, scene()))
    assert len(counted.jobs) == 4, "nothing changed, nothing is painted"
    second = list(sketched_scene(render, scene(objects=(replace(OBJECTS[0], **change), OBJECTS[1]))))
    assert len(counted.jobs) == 6 and counted.jobs[-2].extent == JOB.extent and counted.jobs[-1].mask is not None
    assert (first[1].pixels == second[1].pixels).all() and (first[0].pixels != second[0].pixels).any()


def test_objects_stand_where_they_were_drawn(engine: Engine) -> None:
    *_, collage = sketched_scene(engine.render, scene(blend=0.0, transparent="", job=JOB.but(prompt="")))
    drawn = (collage.pixels[0] != 255).any(2)
    assert drawn[50:64, 20:50].mean() > 0.5 and drawn[35:60, 82:108].mean() > 0.5
    outside = np.ones_like(drawn)
    outside[18:87, 8:62] = outside[28:97, 78:112] = False
    assert not drawn[outside].any()


def test_later_objects_stand_in_front(engine: Engine) -> None:
    same = (SceneObject(HOUSE, "a house", 1), SceneObject(HOUSE, "a castle", 3))
    *_, front, collage = sketched_scene(engine.render, scene(objects=same, blend=0.0, transparent=""))
    alone = place(front.pixels[0], HOUSE.array[..., 0] > 64, JOB.extent)
    solid = alone[..., 3] == 255
    assert solid.sum() > 200 and (collage.pixels[0][solid] == alone[solid][:, :3]).all()
    assert len(list(sketched_scene(engine.render, scene(objects=same)))) == 4


def test_objects_without_strokes_are_left_out_and_said(engine: Engine) -> None:
    results = list(sketched_scene(engine.render, scene(objects=(OBJECTS[0], SceneObject(NOTHING, "a ghost")))))
    assert len(results) == 3 and "Object 2 has no strokes" in results[-1].notes[0]
    alone = list(sketched_scene(engine.render, scene(objects=())))
    assert len(alone) == 1 and alone[0].pixels.shape == (1, 128, 128, 3)


def test_strokes_without_words_are_painted_from_the_empty_prompt(counted: Counted) -> None:
    *_, last = sketched_scene(counted, scene(objects=(SceneObject(HOUSE), OBJECTS[1])))
    assert counted.jobs[0].prompt == "" and last.job.prompt == "a tree on the right, on a field"


def test_without_words_for_it_the_background_is_white_paper(counted: Counted) -> None:
    *_, collage = sketched_scene(counted, scene(job=JOB.but(prompt="  "), blend=0.0))
    assert len(counted.jobs) == 2 and (collage.pixels[0][:15, :15] == 255).all()


def test_without_alpha_and_without_plain_paper_the_lines_cut(engine: Engine) -> None:
    house, *_, last = sketched_scene(engine.render, scene(objects=OBJECTS[:1], transparent=""))
    assert house.pixels.shape[-1] == 4 and 0.2 < (house.pixels[..., 3] > 127).mean() < 0.7
    assert "cut out along the drawn lines" in last.notes[0]


def test_what_all_share_reaches_every_job(counted: Counted) -> None:
    list(sketched_scene(counted, scene(job=JOB.but(style="flat", seeds=(5, 6), image=HOUSE, strength=0.4))))
    assert {job.style for job in counted.jobs} == {"flat"} and all(len(job.seeds) == 1 for job in counted.jobs)
    assert [job.image is None for job in counted.jobs] == [True, True, True, False]
    assert [sorted(use.id for use in job.adapters) for job in counted.jobs] == [["clear", "scribbles"]] * 2 + [[]] * 2


def test_settings_suit_the_base(engine: Engine) -> None:
    bases = engine.catalog.bases
    assert suited(bases["tiny-student"]) == {"object_px": 256, "empty": True, "blend": 0.0}
    assert suited(bases["sd15"])["blend"] > 0 and not suited(bases["sd15"])["empty"] and suited(bases["sd15"])["object_px"] == 512
    Scene(JOB, OBJECTS, "scribbles", **suited(bases["sd15"]))


@pytest.mark.parametrize("wrong", [dict(objects=OBJECTS * MOST_OBJECTS), dict(blend=1.1), dict(blend=float("nan")),
                                   dict(objects=(SceneObject(Picture(64, 32, 1, bytes(64 * 32))),))])
def test_what_makes_no_scene_is_refused(wrong: dict) -> None:
    with pytest.raises(BadInput):
        scene(**wrong)


def test_lines_have_one_channel() -> None:
    with pytest.raises(BadInput, match="one channel"):
        SceneObject(Picture.from_array(np.zeros((8, 8, 3), np.uint8)))


def test_an_adapter_of_another_base_is_refused_by_the_engine(engine: Engine) -> None:
    with pytest.raises(Incompatible):
        next(sketched_scene(engine.render, scene(transparent="layerdiffuse-sdxl")))


# --- the parts ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("side", [64, 128, 256])
def test_an_objects_own_canvas_holds_all_of_it_at_the_width_of_a_scribble(side: int) -> None:
    canvas = own_canvas(HOUSE.array[..., 0] > 64, side)
    ys, xs = np.nonzero(canvas[..., 0] > 127)
    assert canvas.shape == (side, side, 3) and min(xs.min(), ys.min()) >= side // 20 and max(xs.max(), ys.max()) < side - side // 20
    assert max(np.ptp(xs), np.ptp(ys)) > 0.75 * side


@pytest.mark.parametrize("point", [(0, 0), (255, 255), (128, 3)])
def test_a_single_dot_has_a_canvas_too(point: tuple[int, int]) -> None:
    dot = np.zeros((256, 256), bool)
    dot[point[1], point[0]] = True
    assert own_canvas(dot, 64).any()
    rgba = np.full((64, 64, 4), 255, np.uint8)
    assert place(rgba, dot, Extent(128, 128)).shape == (128, 128, 4)


def test_a_thing_fills_its_box_but_is_not_stretched_far() -> None:
    assert filling((0, 0, 100, 100), (10.0, 20.0, 60.0, 75.0)) == (10, 20, 60, 75)
    x0, y0, x1, y1 = filling((0, 0, 100, 100), (0.0, 0.0, 200.0, 50.0))
    assert (y0, y1) == (0, 50) and x1 - x0 == 65 and x0 == 68


def test_the_blend_is_free_at_rims_and_holds_what_lies_inside() -> None:
    from models.flows.sketched_scene import Placed
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[60:200, 60:200] = 255
    free = softness([Placed(rgba, "a box")], Extent(256, 256))
    assert free[60, 130] > 200 and free[55, 130] == 255 and free[130, 130] < 30 and 130 < free[5, 5] < 200
