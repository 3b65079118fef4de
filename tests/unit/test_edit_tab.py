"""The Edit tab without a page: plans as JSON, masks by id, what all steps share, and the tasks over a picture that is given."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput
from models.flows.plan_edit import TOOLS, Plan, plan_of
from models.job import Extent, Picture
from studio.edit import plans


def grey(values: np.ndarray) -> Picture:
    """A mask as the page keeps it: opaque grey RGBA."""
    return Picture.from_array(np.dstack([values.astype(np.uint8)] * 3 + [np.full(values.shape, 255, np.uint8)]))


@pytest.fixture
def kept():
    """Pictures by id: half = the left half white, none, all."""
    half = np.zeros((40, 60))
    half[:, :30] = 255
    return {"half": grey(half), "none": grey(np.zeros((40, 60))), "all": grey(np.full((40, 60), 255))}


def test_words_become_steps_that_come_back_as_they_were(kept):
    told = plans.routed("make the hat red and remove the tree")
    assert [step["tool"] for step in told["steps"]] == ["recolour", "remove"] and all(step["title"] and step["why"] for step in told["steps"])
    steps = plans.steps_in(told["steps"], kept)
    assert Plan(steps, told["instruction"]) == Plan(plan_of(told["instruction"]).steps, told["instruction"])
    again = plans.steps_in([{**step, "mask": "half"} for step in told["steps"]], kept)
    assert all(step.mask.channels == 1 and step.mask.array[0, 0, 0] == 255 and step.mask.array[0, 50, 0] == 0 for step in again)


@pytest.mark.parametrize("mask,says", [("none", "marks nothing"), ("all", "whole picture"), ("gone", "not here any more")])
def test_a_mask_of_nothing_or_everything_is_refused_with_the_number_of_its_step(kept, mask, says):
    one = plans.routed("remove the tree")["steps"][0]
    with pytest.raises(BadInput, match=f"step 2 .*{says}|step 2 {says}"):
        plans.steps_in([one, {**one, "mask": mask}], kept)


def test_a_mask_follows_the_size_of_the_picture(kept):
    step = plans.step_in({**plans.routed("remove the tree")["steps"][0], "mask": "half"}, kept)
    twice = plans.fitted(step, Extent(120, 80)).mask
    assert (twice.width, twice.height) == (120, 80) and twice.array[:, :58].min() == 255 and twice.array[:, 62:].max() == 0
    assert plans.fitted(step, Extent(60, 40)) is step


@pytest.mark.parametrize("words", ["", "make the hat red and make the hat blue", "qwrt zxcv"])
def test_what_cannot_be_planned_is_said(words):
    with pytest.raises(BadInput):
        plans.routed(words)


@pytest.mark.parametrize("steps", [None, [], [3], [{"tool": "fly"}], [{"tool": "remove", "wings": 2}], [{"tool": "remove"}] * 25])
def test_steps_of_strangers_are_refused(steps, kept):
    with pytest.raises(BadInput):
        plans.steps_in(steps, kept)


def test_the_menu_lists_every_tool_with_its_sliders():
    told = {tool["id"]: tool for tool in plans.tools()}
    assert set(told) == set(TOOLS) and told["scale"]["amount"][0] < 1 < told["scale"]["amount"][1] and told["recolour"]["finds"]


class Spec:
    id, min_steps, max_steps, default_steps, native_px, styles = "embedded", 1, 4, 1, (256, 256), ()


def test_what_all_steps_share_is_checked():
    how = plans.how_in({"seed": 9, "strict": False, "shows": " a dog ", "variants": 3, "style": ""}, Spec)
    assert (how.job.seeds, how.strict, how.shows, how.variants, how.job.steps) == ((9,), False, "a dog", 3, 4)
    for wrong in ({"seed": -1}, {"style": "gothic"}, {"variants": 99}, {"steps": True}, {"shows": 3}, []):
        with pytest.raises(BadInput):
            plans.how_in(wrong, Spec)
