"""Assets, backgrounds, things in front, scenes as layers and the light pass over a tiny base with a random transparent decoder."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput
from models.flows import Remembered
from models.flows._canvas import held, over
from models.flows._cutout import cut_out, stray_islands, touches_frame, unpapered
from models.flows._planner import plan
from models.flows.asset import Wanted, asset, job_of, suited, trimmed
from models.flows.behind import Behind, behind
from models.flows.behind import suited as suited_behind
from models.flows.harmonise import Harmony, Layered, harmonise, lit, recomposed
from models.flows.infront import Both, InFront, both, infront, taken_out
from models.flows.layered_scene import LayeredScene, layered_scene
from models.job import Extent, Job, Picture, Result, Timings
from tests.tiny_adapters import layerdiffuse

pytestmark = pytest.mark.render
JOB = Job(prompt="a red fox", base="tiny-student", extent=Extent(128, 128), steps=2, seeds=(5,))


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors"), str(sd_folder / "tiny-sd1")], device="cpu")
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(layerdiffuse.write_own(tmp_path_factory.mktemp("adapters") / "clear.safetensors", base)))
    yield engine
    engine.close()


class Counted:
    """A render that writes down the jobs that reached the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.jobs = engine, []

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        return self.engine.render(job)


def wanted(engine: Engine, **changes: object) -> Wanted:
    return replace(Wanted(JOB, **suited(engine.catalog.able("tiny-student")) | {"transparent": "clear"}), **changes)


def disc(colour: tuple[int, int, int] = (200, 40, 40), centre: tuple[int, int] = (64, 70), radius: int = 26, side: int = 128) -> np.ndarray:
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[..., :3] = colour
    alpha = np.zeros((side, side), np.uint8)
    rgba[..., 3] = cv2.circle(alpha, centre, radius, 255, -1)
    return rgba


# --- assets -------------------------------------------------------------------------------------------------------------

def test_a_whole_asset_leaves_its_frame_clear_and_every_seed_is_a_variant(engine: Engine) -> None:
    one, two = asset(engine.render, wanted(engine, job=JOB.but(seeds=(5, 6))))
    for made, seed in ((one, 5), (two, 6)):
        assert made.pixels.shape == (1, 128, 128, 4) and made.job.seeds == (seed,)
        alpha = made.pixels[0][..., 3]
        assert not alpha[:8].any() and not alpha[:, -8:].any() and alpha.any()
    assert (one.pixels != two.pixels).any()
    *_, alone = asset(engine.render, wanted(engine, job=JOB.but(seeds=(6,))))
    assert np.abs(alone.pixels.astype(int) - two.pixels).max() <= 2


def test_without_the_frame_the_picture_is_the_plain_one(engine: Engine) -> None:
    loose = wanted(engine, whole=False)
    assert job_of(loose).image is None and job_of(loose).adapters[0].id == "clear" and not job_of(loose).regions
    words = wanted(engine, known=False)
    assert job_of(words).regions[0].prompt == "a white background" and job_of(words).mask is None


@pytest.mark.parametrize("base", ["tiny-student", "tiny-sd1"])
def test_without_a_transparent_decoder_maps_cut_and_bases_of_few_steps_are_looked_at_twice(engine: Engine, base: str) -> None:
    render = Counted(engine)
    way = suited(engine.catalog.able(base)) | {"transparent": ""}
    job = JOB.but(base=base, extent=Extent(64, 64), steps=1, guidance=None if base == "tiny-student" else 1.0)
    try:
        *_, made = asset(render, Wanted(job, **way))
        assert made.pixels.shape == (1, 64, 64, 4) and not made.pixels[0][..., 3][:4].any(), "the frame is background"
    except BadInput:
        assert base == "tiny-sd1", "its random weights paint nothing that could be cut out"
    recorded = render.jobs[-1]
    assert len(render.jobs) in ((2, 4) if way["second_look"] else (1,)) and recorded.adapters[-1].id == "attention-record"
    assert (recorded.strength, recorded.steps) == ((0.4, 1) if way["second_look"] else (1.0, 1))


def test_the_last_way_is_the_paper(engine: Engine) -> None:
    def render(job: Job) -> Result:
        rgb = over(np.full((128, 128, 3), 250, np.uint8), [disc()])
        return Result(rgb[None].copy(), job, Timings())
    *_, made = asset(render, wanted(engine, transparent="", maps="", paper="on a white background"))
    assert made.job.prompt == "a red fox, on a white background" and (made.pixels[0][70, 64] == (200, 40, 40, 255)).all()
    cut, box = trimmed(made.pixels[0])
    assert abs(box[0] - 36) <= 2 and cut.shape[0] == box[3] - box[1]


def test_the_frame_is_held_only_for_what_would_touch_the_edge(engine: Engine) -> None:
    jobs = []

    def render(job: Job) -> Result:
        jobs.append(job)
        reaching = disc(radius=70 if job.mask is None and job.seeds[-1] == 6 else 26)
        return Result(np.stack([disc()] * (len(job.seeds) - 1) + [reaching]), job, Timings())
    inside, framed = asset(render, wanted(engine, job=JOB.but(seeds=(5, 6))))
    assert [job.mask is None for job in jobs] == [True, False] and jobs[1].seeds == (6,) and framed.job.mask is not None
    assert inside.job.mask is None and not touches_frame(framed.pixels[0][..., 3]) and not framed.notes


def test_an_empty_picture_is_no_asset(engine: Engine) -> None:
    def render(job: Job) -> Result:
        return Result(np.zeros((1, 128, 128, 4), np.uint8), job, Timings())
    with pytest.raises(BadInput, match="Nothing was painted"):
        next(asset(render, wanted(engine)))


@pytest.mark.parametrize("wrong", [dict(job=JOB.but(prompt="  ")), dict(border=0.5), dict(softness=-1.0)])
def test_what_makes_no_asset_is_refused(engine: Engine, wrong: dict) -> None:
    with pytest.raises(BadInput):
        wanted(engine, **wrong)


def test_smears_of_paper_go_and_white_things_stay() -> None:
    thing = disc()
    smeared = thing.copy()
    smeared[60:80, 88:104] = 255
    clean = unpapered(smeared)
    assert not clean[62:78, 92:102, 3].any() and (clean[60:80, 50:80] == thing[60:80, 50:80]).all()
    white = disc((255, 255, 255))
    assert (unpapered(white) == white).all()
    assert stray_islands(smeared[..., 3]) == 0 and not touches_frame(smeared[..., 3])
    smeared[0:3, 0:3] = 255
    assert stray_islands(smeared[..., 3]) == 1 and touches_frame(smeared[..., 3])


# --- backgrounds and things -----------------------------------------------------------------------------------------------

def test_things_come_back_bit_for_bit_and_the_background_has_none_of_them(engine: Engine) -> None:
    thing = disc()
    way = suited_behind(engine.catalog.able("tiny-student"))
    first, last = behind(engine.render, Behind(JOB.but(prompt="on a beach"), Picture.from_array(thing), "a ball", **way))
    core = held(thing)
    assert (first.pixels[0][core] == (200, 40, 40)).all() and first.pixels.shape == last.pixels.shape == (1, 128, 128, 3)
    assert (last.pixels[0][70, 64] != (200, 40, 40)).any()
    far = np.ones((128, 128), bool)
    far[20:120, 14:114] = False
    assert (first.pixels[0][far] == last.pixels[0][far]).mean() > 0.9, "only the things' place is painted again"


def test_a_place_without_things_is_the_place(engine: Engine) -> None:
    nothing = Picture.from_array(np.zeros((128, 128, 4), np.uint8))
    first, last = behind(engine.render, Behind(JOB, nothing))
    assert (first.pixels == last.pixels).all()


@pytest.mark.parametrize("wrong", [dict(job=JOB.but(prompt="")), dict(around=0.0), dict(things=Picture.from_array(np.zeros((64, 64, 4), np.uint8)))])
def test_what_makes_no_background_is_refused(wrong: dict) -> None:
    with pytest.raises(BadInput):
        Behind(**dict(job=JOB, things=Picture.from_array(disc())) | wrong)


@pytest.mark.parametrize("fit", [0.0, 0.5])
def test_a_thing_in_front_leaves_the_background_outside_its_place(engine: Engine, fit: float) -> None:
    place = np.random.default_rng(0).integers(90, 110, (128, 128, 3), dtype=np.uint8)
    picture, thing = infront(engine.render, InFront(wanted(engine), Picture.from_array(place), (32, 32, 96, 112), fit=fit))
    assert picture.pixels.shape == (1, 128, 128, 3) and thing.pixels.shape == (1, 128, 128, 4)
    far = np.ones((128, 128), bool)
    far[20:124, 20:108] = False
    assert (picture.pixels[0][far] == place[far]).all() and not thing.pixels[0][far][:, 3].any() and thing.pixels[0][..., 3].any()


def test_what_a_picture_has_and_its_background_has_not_is_taken_out() -> None:
    place = np.full((128, 128, 3), (90, 150, 210), np.uint8)
    thing, free = disc(), np.zeros((128, 128), bool)
    free[30:110, 30:100] = True
    found = taken_out(over(place, [thing]), place, free)
    alpha, true = found[..., 3] > 127, thing[..., 3] > 127
    assert (alpha & true).sum() / (alpha | true).sum() > 0.93 and (found[70, 64, :3] == (200, 40, 40)).all()
    assert taken_out(place, place, free) is None


def test_both_are_a_thing_and_a_place_around_it(engine: Engine) -> None:
    scene, back, thing = both(engine.render, Both(wanted(engine), JOB.but(prompt="on a beach"), (32, 40, 96, 112), settings={"around": 0.5}))
    assert scene.pixels.shape[-1] == back.pixels.shape[-1] == 3 and thing.pixels.shape[-1] == 4
    core = held(thing.pixels[0]) & (thing.pixels[0][..., 3] == 255)
    assert (scene.pixels[0][core] == thing.pixels[0][core][:, :3]).all()


def test_a_box_outside_the_picture_is_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="does not lie inside"):
        InFront(wanted(engine), Picture.from_array(np.zeros((64, 64, 3), np.uint8)), (0, 0, 65, 10))


# --- scenes ---------------------------------------------------------------------------------------------------------------

def scene(engine: Engine, words: str) -> LayeredScene:
    return LayeredScene(plan(words), wanted(engine, job=JOB.but(prompt=words)), JOB.but(extent=Extent(192, 128)))


def test_one_thing_is_painted_anew_while_the_others_are_held(engine: Engine) -> None:
    render = Counted(engine)
    remembered = Remembered(render)
    first = list(layered_scene(remembered, scene(engine, "a red car, a tall tree and a dog on a beach")))
    assert [part.words for part in first] == ["on a beach", "a red car", "a dog", "a tall tree"] and len({part.seed for part in first[1:]}) == 3
    count = len(render.jobs)
    second = list(layered_scene(remembered, scene(engine, "a red car, a tall tree and a cat on a beach")))
    assert {job.prompt for job in render.jobs[count:]} == {"a cat"}, "the others are remembered"
    same = [a.picture == b.picture and a.box == b.box for a, b in zip(first, second)]
    assert same == [True, True, False, True]
    assert all(0 <= part.box[0] < part.box[2] <= 192 and part.picture.channels == 4 for part in first[1:])


def test_without_a_place_there_is_paper(engine: Engine) -> None:
    place, thing = layered_scene(engine.render, scene(engine, "an apple"))
    assert (place.picture.array == 255).all() and thing.thing.words == "an apple"


def test_the_light_pass_keeps_alpha_and_can_be_turned_off(engine: Engine) -> None:
    place = Picture.from_array(np.full((128, 128, 3), (90, 150, 210), np.uint8))
    layers = (Layered(disc(centre=(40, 80)), "a ball"), Layered(disc((40, 180, 60), (90, 50), 20), "a balloon", stands=False))
    asked = Harmony(JOB.but(prompt="on a beach"), place, layers, "hold-layers", change=0.6)
    done, made = harmonise(engine.render, asked)
    assert done.job.each == ("on a beach", "a ball on a beach", "a balloon and a ball on a beach") and done.pixels.shape[0] == 3
    assert len(made.gains) == 3 and made.shadows[0].any() and not made.shadows[1].any()
    for layer, gain in zip(layers, made.gains[1:]):
        assert (lit(layer.rgba, gain)[..., 3] == layer.rgba[..., 3]).all() and gain.min() >= 0.5 and gain.max() <= 1.9
    naive = over(place.array, [layer.rgba for layer in layers])
    assert (recomposed(asked, made) != naive).any()
    *_, nothing = harmonise(engine.render, replace(asked, amount=0.0, shadow=0.0))
    assert (recomposed(asked, nothing) == naive).all()


def test_without_the_adapter_only_shadows_are_drawn(engine: Engine) -> None:
    asked = Harmony(JOB, Picture.from_array(np.full((128, 128, 3), 200, np.uint8)), (Layered(disc(), "a ball"),))
    (made,) = harmonise(engine.render, asked)
    assert (made.gains[1] == 1).all() and made.shadows[0][92:100, 50:80, 3].max() > 60 and not made.shadows[0][:70, :, 3].any()


@pytest.mark.parametrize("wrong", [dict(layers=()), dict(layers=(Layered(disc()),) * 17), dict(change=1.5), dict(amount=float("nan"))])
def test_what_cannot_be_harmonised_is_refused(wrong: dict) -> None:
    with pytest.raises(BadInput):
        Harmony(**dict(job=JOB, background=Picture.from_array(np.zeros((128, 128, 3), np.uint8)), layers=(Layered(disc()),)) | wrong)


def test_paper_that_is_not_plain_is_not_cut_by_its_colour() -> None:
    assert cut_out(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)) is None
