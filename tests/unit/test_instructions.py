"""What instructions are understood as, what is refused and how, and plans as JSON."""
from __future__ import annotations

import json
import time

import numpy as np
import pytest

from models.errors import BadInput
from models.flows._edit_chat import chat_from
from models.flows.plan_edit import TOOLS, Plan, Step, plan_of, running
from models.job import Picture
from models.words.instructions import read

UNDERSTOOD = [
    ("make the hat red", [("recolour", "hat", "red", "")]),
    ("Replace the dog by a cat.", [("replace", "dog", "a cat", "")]),
    ("watercolour", [("restyle", "everything", "watercolour", "")]),
    ("please remove the tree and the car", [("remove", "tree", "", ""), ("remove", "car", "", "")]),
    ("add a balloon", [("add", "", "a balloon", "")]),
    ("turn it into lines", [("lines", "everything", "", "")]),
    ("upscale", [("upscale", "everything", "", "")]),
    ("make it bigger", [("scale", "", "", "")]),
    ("move left", [("move", "", "", "left")]),
    ("put a red hat on the dog", [("add", "", "a red hat", "on the dog")]),
    ("give the dog a hat", [("add", "", "a hat", "on the dog")]),
    ("put the dog on the left", [("move", "dog", "", "at left")]),
    ("put it on a beach", [("background", "background", "on a beach", "")]),
    ("make the background blue", [("recolour", "background", "blue", "")]),
    ("remove the background", [("cutout", "", "", "")]),
    ("make the hat red and the tree green", [("recolour", "hat", "red", ""), ("recolour", "tree", "green", "")]),
    ("paint the car green and move it to the left", [("recolour", "car", "green", ""), ("move", "car", "", "at left")]),
    ("make the hat red, remove the tree, then add a balloon above the house",
     [("recolour", "hat", "red", ""), ("remove", "tree", "", ""), ("add", "", "a balloon", "above the house")]),
    ("turn the dog into a cat", [("replace", "dog", "a cat", "")]),
    ("make it a watercolour", [("restyle", "everything", "watercolour", "")]),
    ("make the picture black and white", [("recolour", "everything", "black-and-white", "")]),
    ("make the dog happy", [("repaint", "dog", "a happy dog", "")]),
    ("a cat instead of the dog", [("replace", "dog", "a cat", "")]),
    ("cut out the fox", [("cutout", "fox", "", "")]),
]


@pytest.mark.parametrize("text,expected", UNDERSTOOD, ids=[text for text, _ in UNDERSTOOD])
def test_an_instruction_becomes_steps(text: str, expected: list[tuple[str, ...]]) -> None:
    assert [(one.tool, one.target, one.words, one.place) for one in read(text)] == expected


@pytest.mark.parametrize("text,amount", [("upscale 4x", 4), ("make the tree twice as large", 2), ("shrink the tree by 0.5", 0.5),
                                         ("move it left by 10 %", 0.1)])
def test_amounts_are_read(text: str, amount: float) -> None:
    assert read(text)[0].amount == amount


@pytest.mark.parametrize("text,part", [
    ("", "no instruction"), ("  ... !", "no instruction"), ("asdf qwer", "not clear"), ("make the hat red and blue", "contradict"),
    ("make it bigger and make it smaller", "contradict"), ("remove the dog and make the dog red", "contradict"),
    ("replace the dog by the dog", "by itself"), ("add a tree and remove the tree", "contradict"), ("x " * 2000, "at most"),
    ("; ".join(["remove the tree"] * 20), "too many")])
def test_what_cannot_be_done_is_said_with_a_cure(text: str, part: str) -> None:
    with pytest.raises(BadInput, match=part) as caught:
        read(text)
    assert caught.value.cure


def test_no_text_takes_long_to_read() -> None:
    for text in ("make the " + "a " * 900, "put " + "the on " * 250, "red and the " * 150, "move " + "to the " * 250):
        start = time.perf_counter()
        try:
            read(text)
        except BadInput:
            pass
        assert time.perf_counter() - start < 1.5, text[:20]


def test_every_step_says_why_and_what() -> None:
    plan = plan_of("make the hat red and upscale")
    assert [step.title() for step in plan.steps] == ["Recolour the hat: red", "Upscale: 2 times"]
    assert all(step.why and step.id for step in plan.steps) and plan.by == "rules"


def test_a_plan_survives_json_with_its_mask() -> None:
    mask = Picture.from_array(np.eye(8, dtype=np.uint8) * 255)
    plan = plan_of("make the hat red, remove the tree")
    plan = Plan((plan.steps[1].but(mask=mask, strength=0.4, seed=3), plan.steps[0].but(on=False)), "turned round")
    again = Plan.from_json(plan.to_json())
    assert again == plan and [number for number, _ in running(again)] == [0]


@pytest.mark.parametrize("told", [
    "not json", "[]", '{"steps": 3}', '{"steps": [{"tool": "explode"}]}', '{"steps": [{"tool": "remove", "strength": 2}]}',
    '{"steps": [{"tool": "remove", "strength": true}]}', '{"steps": [{"tool": "remove", "evil": 1}]}', '{"steps": [{"tool": "scale", "amount": 1e9}]}',
    '{"steps": [{"tool": "remove", "target": 5}]}', '{"steps": [], "evil": 1}', '{"steps": [{"tool": "remove", "mask": {"size": "2x2x1", "data": "AA=="}}]}',
    '{"steps": [{"tool": "remove", "seed": -1}]}', '{"steps": [{"tool": "remove", "on": "yes"}]}', "[" * 100_000])
def test_a_plan_that_nobody_wrote_is_refused(told: str) -> None:
    with pytest.raises(BadInput):
        Plan.from_json(told)


def test_a_plan_without_a_step_to_run_or_without_words_is_refused() -> None:
    with pytest.raises(BadInput, match="no step"):
        running(Plan((Step("remove", "dog", on=False),)))
    with pytest.raises(BadInput, match="does not say"):
        running(Plan((Step("replace", "dog"),)))


def test_a_chat_is_believed_only_as_far_as_it_passes_the_checks() -> None:
    good = plan_of("do something", lambda text: json.dumps({"steps": [{"tool": "recolour", "target": "the hat", "words": "red", "on": False}]}))
    assert good.by == "chat" and good.steps[0].target == "hat" and good.steps[0].on and good.steps[0].why
    for answer in ("I am a poet", "{}", '{"steps": []}', '{"steps": [{"tool": "rm -rf"}]}', '{"steps": [{"tool": "add"}]}'):
        plan = plan_of("remove the tree", lambda text, answer=answer: answer)
        assert plan.by == "rules" and plan.steps[0].tool == "remove" and "language model" in plan.notes[0]


def test_the_chat_is_off_unless_it_is_named_and_its_absence_is_no_failure() -> None:
    assert chat_from({}) is None
    with pytest.raises(BadInput):
        chat_from({"ONESTROKE_CHAT_URL": "file:///etc/passwd"})
    plan = plan_of("remove the tree", chat_from({"ONESTROKE_CHAT_URL": "http://127.0.0.1:9"}))
    assert plan.by == "rules" and plan.notes and plan.steps[0].tool == "remove"


def test_all_tools_can_be_planned_and_told() -> None:
    for tool in TOOLS.values():
        step = Step(tool.id, words="red")
        assert tool.title in step.title() and tool.about and set(tool.fields) <= {"target", "words", "place", "amount", "strength"}
