"""The Edit tab without a page: plans as JSON, masks by id, what all steps share, and the tasks over a picture that is given."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import BadInput
from models.flows import edit
from models.flows.plan_edit import TOOLS, Plan, plan_of
from models.job import Extent, Picture
from studio.edit import plans
from studio.edit.tasks import bykey, objects, run, style
from studio.layers.pictures import Pictures
from studio.workbench.history import History
from studio.workbench.task import Call


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


@pytest.fixture
def call(tiny_engine: Callable, tmp_path: Path) -> Callable[..., Call]:
    """call(asked, parts) -> what a task gets; "picture" and "half" in `asked` become ids of kept pictures, `parts` takes what it tells."""
    engine, pictures = tiny_engine(), Pictures(tmp_path / "pictures")

    def make(asked: dict[str, Any], parts: list[dict[str, Any]] | None = None) -> Call:
        rgba = np.full((40, 60, 4), (210, 40, 40, 255), np.uint8)
        rgba[:, 50:, 3] = 0
        half = np.zeros((40, 60))
        half[:, :30] = 255
        ids = {"picture": pictures.put(Picture.from_array(rgba)), "half": pictures.put(grey(half))}
        swapped = lambda value: {k: swapped(v) for k, v in value.items()} if isinstance(value, dict) else [swapped(v) for v in value] \
            if isinstance(value, list) else ids.get(value, value) if isinstance(value, str) else value
        return Call(engine, None, "tiny-student", History(), pictures, swapped(asked), part=(parts if parts is not None else []).append)
    return make


def test_a_step_changes_nothing_outside_its_mask_and_tells_what_it_did(call):
    parts: list[dict[str, Any]] = []
    step = {"tool": "recolour", "words": "blue", "mask": "half", "id": "one", "title": "x", "about": "y"}
    asked = call({"picture": "picture", "steps": [{**step, "on": False, "id": "none"}, step], "how": {"shows": "a square"}}, parts)
    assert run.run(asked) == {} and [part["id"] for part in parts] == ["one"]
    before, after, mask = (asked.pictures[parts[0][name]].array for name in ("before", "after", "mask"))
    assert (before[:, 30:] == after[:, 30:]).all() and (before[:, :30, :3] != after[:, :30, :3]).any(-1).all() and (after[..., 3] == before[..., 3]).all()
    assert (mask[:, :30, 0] == 255).all() and not mask[:, 30:, :3].any() and parts[0]["title"].startswith("Recolour")


def test_what_is_not_there_is_told_with_the_best_guess(call, monkeypatch):
    best = Picture.from_array(np.eye(40, 60, dtype=np.uint8) * 255)
    monkeypatch.setattr(edit, "run_step", lambda *given: (_ for _ in ()).throw(edit.NotThere("unicorn", 0.1, best)))
    asked = call({"picture": "picture", "steps": [{"tool": "remove", "target": "unicorn", "id": "one"}]})
    missing = run.run(asked)["missing"]
    assert missing["id"] == "one" and "unicorn" in missing["words"] and asked.pictures[missing["guess"]].array[5, 5, 0] == 255


def test_steps_without_words_are_refused_before_anything_is_done(call):
    parts: list[dict[str, Any]] = []
    first = {"tool": "recolour", "words": "blue", "mask": "half", "id": "one"}
    with pytest.raises(BadInput, match="does not say"):
        run.run(call({"picture": "picture", "steps": [first, {"tool": "replace", "mask": "half", "id": "two"}]}, parts))
    assert not parts


PAIR = {"source": "a", "target": "b"}


@pytest.mark.parametrize("asked", [{}, {"pairs": []}, {"pairs": [{"source": "a", "target": ""}]}, {"pairs": [PAIR] * 7}, {"pairs": [PAIR], "chosen": [[3, 0]]},
                                   {"pairs": [PAIR], "chosen": [[0, True]]}])
def test_rows_of_things_are_checked(call, asked):
    with pytest.raises(BadInput):
        objects.run(call({"picture": "picture", **asked}))


def test_a_style_needs_its_pictures_and_a_key_has_to_be_there(call):
    with pytest.raises(BadInput, match="not here"):
        style.run(call({"picture": "picture", "views": ["f" * 64], "style": "picture"}))
    with pytest.raises(Exception, match="no picture key"):
        bykey.run(call({"picture": "picture", "key": "none", "words": "a fox"}))
