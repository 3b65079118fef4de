"""Editing over a tiny base: bits outside the mask, strength 0, alpha, the user's mask, what is not there, cancel; and the arithmetic tools exactly."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled
from models.flows._edit_colour import recoloured
from models.flows._edit_fill import filled
from models.flows._edit_masks import split_at_necks, taken_apart
from models.flows._edit_words import COLOUR_NAMES, colour_names, colour_of, colour_share
from models.flows.edit import How, NotThere, find, instant, run, run_step
from models.flows.plan_edit import Plan, Step, plan_of
from models.job import Job, Picture

pytestmark = pytest.mark.render
HOW = How(Job(base="tiny-student"))


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu")
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture of a new thing and three other names are enough here."""
    from models.flows import _edit_seeing, _edit_tools
    monkeypatch.setattr(_edit_seeing, "OTHERS", ("a dog", "a tree", "a car"))
    monkeypatch.setattr(_edit_tools, "CANDIDATES", 1)


def scene(side: int = 256, alpha: bool = False) -> np.ndarray:
    """A shaded red ball left and a blue box right on pale paper; with alpha, on nothing."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    shade = (0.6 + 0.4 * (1 - y))[..., None]
    ball = ((x - 0.3) ** 2 + (y - 0.5) ** 2) < 0.16 ** 2
    box = (np.abs(x - 0.73) < 0.13) & (np.abs(y - 0.55) < 0.15)
    rgb = np.full((side, side, 3), (228, 232, 226), np.float32)
    rgb = np.where(ball[..., None], np.float32([220, 40, 40]) * shade, rgb)
    rgb = np.where(box[..., None], np.float32([40, 80, 200]) * shade, rgb).round().astype(np.uint8)
    return np.dstack([rgb, np.where(ball | box, 255, 0).astype(np.uint8)]) if alpha else rgb


def ball_mask(side: int = 256) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    return ((x - 0.3) ** 2 + (y - 0.5) ** 2) < 0.18 ** 2


BALL = Picture.from_array(ball_mask().astype(np.uint8) * 255)
STEPS = [Step("recolour", "", "green"), Step("replace", "", "a cat"), Step("replace", "", "a cat", strength=0.3), Step("remove"),
         Step("add", words="a star", place="top right"), Step("move", place="right", amount=0.1),
         Step("scale", amount=0.6), Step("repaint", words="a blue star"), Step("lines"), Step("restyle", words="3d")]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.tool}-{step.strength}")
@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "transparent"])
def test_outside_the_mask_every_bit_stays(engine: Engine, step: Step, alpha: bool) -> None:
    picture = Picture.from_array(scene(alpha=alpha))
    step = step if step.tool == "add" else step.but(mask=BALL)
    done = run_step(engine, picture, step, HOW)
    same = done.mask.array[..., 0] == 0
    assert same.any() and np.array_equal(done.after.array[same], picture.array[same])
    assert (done.after.width, done.after.height, done.after.channels) == (picture.width, picture.height, picture.channels)
    assert not np.array_equal(done.after.array, picture.array)
    if alpha and step.tool in ("recolour", "repaint", "restyle", "lines"):
        assert np.array_equal(done.after.array[..., 3], picture.array[..., 3])


@pytest.mark.parametrize("tool", ["recolour", "remove", "restyle", "lines", "repaint", "background"])
def test_strength_0_is_the_picture_bit_for_bit(engine: Engine, tool: str) -> None:
    picture = Picture.from_array(np.random.default_rng(0).integers(0, 256, (150, 210, 3), dtype=np.uint8))
    mask = np.zeros((150, 210), np.uint8)
    mask[30:90, 40:120] = 255
    done = run_step(engine, picture, Step(tool, words="red", strength=0.0, mask=Picture.from_array(mask)), HOW)
    assert done.after == picture


@pytest.mark.parametrize("shape", [(256, 256, 3), (190, 333, 3), (256, 256, 4), (700, 400, 3)])
def test_instant_gives_the_source_back_exactly(engine: Engine, shape: tuple[int, ...]) -> None:
    """At strength 0, and for equal words at any strength; with other words it does change something."""
    picture = Picture.from_array(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))
    assert instant(engine, picture, "a fox", "a cat", HOW, 0.0) == picture
    assert instant(engine, picture, "a fox", "a fox", HOW, 0.9) == picture
    assert instant(engine, picture, "a fox", "a cat", HOW, 0.9) != picture


def test_two_texts_that_read_alike_change_nothing_even_when_painted(engine: Engine) -> None:
    """The base really answers twice here: "a fox" and "A FOX" are the same tokens but other strings."""
    picture = Picture.from_array(scene())
    assert instant(engine, picture, "a fox", "A FOX", HOW, 0.8) == picture


def test_the_users_mask_wins_and_is_checked(engine: Engine) -> None:
    picture = Picture.from_array(scene())
    done = run_step(engine, picture, Step("recolour", "zebra", "green", mask=BALL), HOW)
    assert done.score == 1.0 and np.array_equal(done.mask.array, BALL.array)
    for mask, part in ((np.zeros((256, 256), np.uint8), "empty"), (np.full((256, 256), 255, np.uint8), "whole picture"), (np.ones((9, 9), np.uint8), "9x9")):
        with pytest.raises(BadInput, match=part):
            run_step(engine, picture, Step("remove", mask=Picture.from_array(mask)), HOW)


def test_what_is_not_there_is_said_with_the_best_guess(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.flows import _edit_masks
    monkeypatch.setattr(_edit_masks, "FLOOR", 1.1)
    with pytest.raises(NotThere, match="zebra") as caught:
        run_step(engine, Picture.from_array(scene()), Step("remove", "zebra"), HOW)
    assert caught.value.target == "zebra" and 0 <= caught.value.score <= 1 and caught.value.best.array.any() and caught.value.cure


def test_colours_tell_things_apart(engine: Engine) -> None:
    picture = Picture.from_array(scene())
    red, blue = find(engine, picture, "the red thing", HOW), find(engine, picture, "the blue thing", HOW)
    inside = ball_mask()
    assert red.there and (red.alpha > 0.5)[inside].mean() > 0.6 and not (red.alpha > 0.5)[:, 160:].any()
    assert blue.there and not (blue.alpha > 0.5)[inside].any()
    assert not find(engine, picture, "the green thing", HOW).there


def test_a_plan_runs_step_by_step_and_can_be_rerun_from_any(engine: Engine) -> None:
    picture = Picture.from_array(scene())
    plan = plan_of("make the red thing green, make the blue thing yellow")
    plan = Plan((*plan.steps, Step("remove", on=False)))
    first, second = run(engine, picture, plan, HOW)
    assert second.before == first.after and (first.number, second.number) == (0, 1)
    again, = run(engine, second.before, plan, HOW, start=1)
    assert again.after == second.after
    ball = second.after.array[ball_mask() & (scene()[..., 0] > 100) & (scene()[..., 1] < 60)]
    assert (colour_names(ball) == COLOUR_NAMES.index("green")).mean() > 0.9


def test_cancel_stops_within_a_step(engine: Engine) -> None:
    with pytest.raises(Cancelled):
        list(run(engine, Picture.from_array(scene()), plan_of("remove the red thing"), HOW, cancel=lambda: True))


@pytest.mark.parametrize("array,part", [(np.zeros((4, 4, 3), np.uint8), "too small"), (np.zeros((20, 400, 3), np.uint8), "long and thin"),
                                        (np.zeros((64, 64, 4), np.uint8), "transparent")])
def test_pictures_that_cannot_be_edited_are_refused(engine: Engine, array: np.ndarray, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        run_step(engine, Picture.from_array(array), Step("lines"), HOW)


def test_a_plain_picture_has_nothing_to_find(engine: Engine) -> None:
    plain = Picture.from_array(np.full((128, 128, 3), 200, np.uint8))
    with pytest.raises(NotThere):
        run_step(engine, plain, Step("remove", "dog"), HOW)
    with pytest.raises(BadInput):
        run_step(engine, plain, Step("remove"), HOW)


def test_cut_out_brings_alpha_and_moving_back_brings_the_picture_back(engine: Engine) -> None:
    picture = Picture.from_array(scene())
    cut = run_step(engine, picture, Step("cutout", "red thing"), HOW).after.array
    assert cut.shape[2] == 4 and cut[128, 77, 3] == 255 and cut[5, 5, 3] == 0 and cut[140, 186, 3] == 0
    moved = run_step(engine, picture, Step("move", "red thing", place="up", amount=0.25), HOW).after.array
    ball = cv2.erode(((scene()[..., 0] > 100) & (scene()[..., 1] < 60)).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.array_equal(moved[:-64][ball[64:]], scene()[64:][ball[64:]])                 # the inside of the ball, 64 px higher, to the bit
    assert np.abs(moved[128, 77].astype(int) - [228, 232, 226]).max() <= 2                   # and paper where it was


# --- arithmetic without a base -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["red", "green", "blue", "yellow", "black", "white", "purple", "orange"])
def test_recolouring_reaches_the_colour_and_keeps_light_and_shade(name: str) -> None:
    picture = Picture.from_array(scene())
    alpha = ((scene()[..., 0] > 100) & (scene()[..., 1] < 60)).astype(np.float32)
    after = recoloured(picture, alpha, name).array
    assert colour_share(after, alpha, name) > 0.75
    before_light, after_light = (cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[..., 0][alpha > 0].astype(float) for rgb in (scene(), after))
    assert name == "red" or np.corrcoef(before_light, after_light)[0, 1] > 0.9
    assert np.array_equal(after[alpha == 0], scene()[alpha == 0])


def test_colour_words() -> None:
    assert colour_of("dark blue")[2] < colour_of("blue")[2] < colour_of("light blue")[2] and colour_of("happy") is None
    with pytest.raises(BadInput, match="no colour"):
        recoloured(Picture.from_array(scene()), np.ones((256, 256), np.float32), "happy")


def test_holes_are_filled_with_what_is_around() -> None:
    """A plain ground comes back exactly, a gradient nearly, and a horizon goes on through the hole."""
    hole = np.zeros((200, 240), bool)
    hole[70:140, 90:150] = True
    plain = np.full((200, 240, 3), (90, 160, 200), np.uint8)
    shade = np.repeat(np.linspace(40, 220, 200)[:, None, None], 240, 1).repeat(3, 2).round().astype(np.uint8)
    horizon = np.where(np.arange(200)[:, None, None] < 104, np.uint8([120, 180, 240]), np.uint8([80, 150, 60])).repeat(240, 1)
    for truth, most in ((plain, 0), (shade, 3), (horizon, 12)):
        start = truth.copy()
        start[hole] = (255, 0, 255)
        out = filled(start, hole)
        assert np.array_equal(out[~hole], start[~hole])
        assert np.abs(out.astype(int) - truth)[hole].mean() <= most


def test_things_that_do_not_touch_are_taken_apart_and_such_as_do_at_their_neck() -> None:
    alpha = np.zeros((128, 128), np.float32)
    cv2.circle(alpha, (30, 60), 20, 1.0, -1)
    cv2.circle(alpha, (95, 60), 24, 1.0, -1)
    assert [round(float(part.sum())) for part in taken_apart(alpha)] == [round(float(alpha[:, 64:].sum())), round(float(alpha[:, :64].sum()))]
    cv2.rectangle(alpha, (40, 56), (80, 64), 1.0, -1)
    whole, = taken_apart(alpha)
    assert len(split_at_necks(whole)) == 2
