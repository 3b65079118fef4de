"""Several objects at once, and checking and fixing, over a tiny base with a judge that goes by colour, so that every answer is known."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput
from models.flows import check_fix as fixing
from models.flows._edit_seeing import Seer
from models.flows._edit_words import COLOUR_NAMES, colour_share
from models.flows.check_fix import Checked, Fact, check, check_fix, facts_of, plan_fix, related
from models.flows.edit import Edited, How, NotThere
from models.flows.oir import Candidates, Oir, Pair, oir, ranged
from models.job import Job, Picture

pytestmark = pytest.mark.render
HOW = How(Job(base="tiny-student"))
NAMES = {"apple": "red", "box": "blue", "banana": "yellow"}


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu")
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is asked what a crop shows goes by its colour alone."""
    def chance(self: Seer, crop: np.ndarray, weight: np.ndarray, words: str, among: object = None) -> float:
        colour = next((colour for name, colour in NAMES.items() if name in words), "")
        return colour_share(crop, weight * (crop.min(2) < 250), colour) if colour else 0.0
    monkeypatch.setattr(Seer, "chance", chance)


def scene(left: tuple[int, int, int] = (214, 40, 40), right: tuple[int, int, int] = (50, 110, 220), side: int = 192) -> Picture:
    y, x = np.mgrid[:side, :side] / side
    rgb = np.full((side, side, 3), (228, 232, 226), np.uint8)
    rgb[(x - 0.3) ** 2 + (y - 0.5) ** 2 < 0.16 ** 2] = left
    rgb[(np.abs(x - 0.73) < 0.13) & (np.abs(y - 0.55) < 0.15)] = right
    return Picture.from_array(rgb)


def test_every_object_has_its_strip_and_only_its_place_changes(engine: Engine) -> None:
    picture = scene()
    wanted = Oir((Pair("apple", "a banana"), Pair("box", "a star")), HOW, (0.3, 0.9), floor=0.0)
    first, second, done = oir(engine, picture, wanted)
    assert isinstance(first, Candidates) and len(first.pictures) == len(first.edit) == len(first.keep) == 2 and first.chosen in (0, 1)
    assert isinstance(done, Edited) and (done.after.array[..., 0] != picture.array[..., 0]).any()
    free = (first.mask.array[..., 0] > 0) | (second.mask.array[..., 0] > 0)
    assert np.array_equal(done.after.array[~free], picture.array[~free]) and not ((first.mask.array > 0) & (second.mask.array > 0)).any()
    for strip in (first, second):
        inside = strip.mask.array[..., 0] > 0
        assert np.array_equal(done.after.array[inside], strip.pictures[strip.chosen].array[inside])


def test_what_the_judge_does_not_believe_is_left_alone_and_the_user_may_choose_it_still(engine: Engine) -> None:
    picture, pair = scene(), (Pair("apple", "a zebra"),)
    strip, done = oir(engine, picture, Oir(pair, HOW, (0.4, 0.8)))
    assert strip.chosen is None and strip.notes and done.after == picture
    strip, done = oir(engine, picture, Oir(pair, HOW, (0.4, 0.8), chosen=((0, 1),)))
    assert strip.chosen == 1 and done.after == strip.pictures[1] != picture


def test_no_pair_is_the_picture_and_nonsense_is_refused(engine: Engine) -> None:
    done, = oir(engine, scene(), Oir((), HOW))
    assert done.after == scene()
    with pytest.raises(NotThere):
        list(oir(engine, scene(), Oir((Pair("zebra", "a cat"),), HOW)))
    with pytest.raises(BadInput, match="where another"):
        list(oir(engine, scene(), Oir((Pair("apple", "a cat"), Pair("red apple", "a dog")), HOW, (0.5,))))
    for bad in (dict(pairs=(Pair("a", ""),)), dict(pairs=(Pair("the dog", "a dog"),)), dict(pairs=(), depths=(0.0,)), dict(pairs=(), chosen=((0, 0),))):
        with pytest.raises(BadInput):
            Oir(**bad)
    assert ranged([3, 3]).tolist() == [0, 0] and ranged([1, 3, 2]).tolist() == [0, 1, 0.5]


def test_a_prompt_becomes_facts() -> None:
    assert facts_of("two red apples and a cat left of a blue car") == (
        Fact("count", "apple", "2"), Fact("there", "cat"), Fact("there", "car"), Fact("colour", "apple", "red"), Fact("relation", "cat", "left of", "car"),
        Fact("colour", "car", "blue"))
    assert Fact("relation", "cat", "left of", "car").says() == "the cat is left of the car"
    with pytest.raises(BadInput):
        facts_of("  ")


def test_facts_are_checked_where_they_stand(engine: Engine) -> None:
    seen = check(engine, scene(), "a red apple left of a blue box", HOW)
    assert seen.share == 1.0 and not seen.missing
    seen = check(engine, scene(), "a red apple right of a blue box", HOW)
    assert [seen.facts[n].kind for n in seen.missing] == ["relation"]
    seen = check(engine, scene(), "two red apples and a banana", HOW)
    assert [seen.facts[n].says() for n in seen.missing] == ["there is a banana"] and seen.holds[0] == 0.5


def test_what_is_wrong_is_mended_and_what_does_not_help_is_undone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box is to be green: its identity goes by place once it was recoloured. A thing that the tiny base cannot paint is taken back."""
    *steps, done = check_fix(engine, scene(), "a red apple and a green box", HOW)
    assert [(one.stage, one.kept) for one in steps] == [("checked", None), ("step", True)] and not done.checked.missing
    box = done.picture.array[100, 140]
    assert box[1] > box[2] and np.array_equal(done.picture.array[5:60, 5:20], scene().array[5:60, 5:20])
    *steps, done = check_fix(engine, scene(), "a red apple, a blue box and a banana", HOW)
    assert any(one.stage == "step" and one.kept is False for one in steps) and done.picture == scene() and done.notes


def test_the_plan_removes_before_it_adds_and_moves_what_stands_wrong() -> None:
    alpha = np.zeros((64, 64), np.float32)
    left, right = alpha.copy(), alpha.copy()
    left[20:40, 4:20], right[20:40, 40:60] = 1, 1
    colours = dict.fromkeys(COLOUR_NAMES, 0.0)
    pieces = (fixing.Piece(left, {"cat": 0.9, "dog": 0.1}, colours), fixing.Piece(right, {"cat": 0.1, "dog": 0.8}, colours))
    facts = (Fact("there", "bird"), Fact("relation", "cat", "right of", "dog"), Fact("colour", "dog", "red"))
    plan = plan_fix(Checked(facts, tuple(fixing._holds(fact, pieces) for fact in facts), pieces))
    told = [(step.tool, step.target or step.words, step.place) for step in plan.steps]
    assert told == [("add", "a bird", ""), ("move", "cat", "right of the dog"), ("recolour", "dog", "")]
    assert related("left of", left, right) and not related("above", left, right) and related("right", right, None)
