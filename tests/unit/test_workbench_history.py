"""The history of a workbench document: a tree of steps that is checked as it comes in, and what is kept of it on disk."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import BadInput, UnknownId
from models.job import Picture
from studio.layers.pictures import UNUSED_S
from studio.workbench.documents import Documents, Stale
from studio.workbench.history import MAX_JSON_CHARS, MAX_STEPS, History, Step, about, told
from studio.workbench.routes import HISTORIES, works_at


def picture(value: int = 90, width: int = 20, height: int = 10) -> Picture:
    return Picture.from_array(np.full((height, width, 4), value, np.uint8))


def step(number: int, parent: int | None = None, **more: Any) -> Step:
    values = {"picture": picture(number % 250).digest, "width": 20, "height": 10, "title": f"Step {number}"} | more
    return Step(f"{number:012x}", parent="" if parent is None else f"{parent:012x}", **values)


FOX = step(2, 1, asked={"words": "a fox", "seed": 3}, before=(5, 0, 20, 10), notes=("A note.",))
TREE = History((step(1), FOX, step(3, 1), step(4, 3)), f"{4:012x}", {"sides": 1})


def test_a_history_comes_back_as_it_was() -> None:
    assert History.from_dict(TREE.to_dict()) == TREE and History.from_dict({}) == History() and History.from_dict(History().to_dict()) == History()
    assert [one.title for one in TREE.path(TREE.now)] == ["Step 1", "Step 3", "Step 4"]
    assert about(TREE) == {"width": 20, "height": 10, "steps": 4, "picture": picture(4).digest} and about(History())["steps"] == 0
    assert [one["title"] for one in told(TREE.path(f"{2:012x}"))] == ["Step 1", "Step 2"]
    with pytest.raises(UnknownId):
        TREE.path("f" * 12)


@pytest.mark.parametrize("wrong,says", [
    (lambda values: values["steps"][1].update(parent="f" * 12), "made from"), (lambda values: values["steps"].reverse(), "made from"),
    (lambda values: values["steps"].append(values["steps"][0]), "one id"), (lambda values: values.update(now=""), "shown"),
    (lambda values: values.update(now="f" * 12), "shown"), (lambda values: values["steps"][0].update(picture="../etc"), "picture"),
    (lambda values: values["steps"][0].update(id="x"), "id"), (lambda values: values["steps"][0].update(width=0), "large"),
    (lambda values: values["steps"][0].update(width="20"), "large"), (lambda values: values["steps"][0].update(colour=1), "colour"),
    (lambda values: values["steps"][0].update(title="x" * 500), "title"), (lambda values: values["steps"][0].update(before=[1, 2]), "before"),
    (lambda values: values["steps"][0].update(notes=[1]), "text"), (lambda values: values["steps"][0].pop("title"), "lacks"),
    (lambda values: values["steps"][0].update(more={"x": "y" * MAX_JSON_CHARS}), "characters"), (lambda values: values.update(draft=[1]), "prepared"),
    (lambda values: values.update(draft={"x": "y" * MAX_JSON_CHARS}), "prepared"), (lambda values: values.update(steps={}), "list"),
    (lambda values: values["steps"].__setitem__(0, 7), "object")])
def test_a_history_that_cannot_be_is_refused_with_a_sentence(wrong: Any, says: str) -> None:
    values = TREE.to_dict()
    wrong(values)
    with pytest.raises(BadInput, match=says):
        History.from_dict(values)


def test_a_history_has_an_end() -> None:
    with pytest.raises(BadInput, match="Go on in a new one"):
        History(tuple(step(n) for n in range(1, MAX_STEPS + 2)), f"{1:012x}")


def test_documents_keep_histories_and_only_pictures_that_are_here(tmp_path: Path) -> None:
    works = works_at(tmp_path / "work")
    assert works_at(tmp_path / "work") is works                              # all tabs take turns at one
    for number in range(1, 5):
        works.pictures.put(picture(number))
    made = works.make("Foxes", TREE)
    assert works.read(made.id) == made and made.to_dict()["history"] == TREE.to_dict() and works.cards()[0]["steps"] == 4
    later = works.write(made.id, "Foxes", History(TREE.steps[:2], f"{2:012x}"), 1)
    assert later.revision == 2 and Documents(works.folder, HISTORIES).read(made.id) == later
    with pytest.raises(Stale):
        works.write(made.id, "Mine", TREE, 1)
    with pytest.raises(BadInput, match="not in the library"):
        works.write(made.id, "Foxes", History((step(9),), f"{9:012x}"), 2)


def test_pictures_of_other_branches_stay_as_long_as_the_document(tmp_path: Path) -> None:
    works = Documents(tmp_path / "work", HISTORIES)
    ids = [works.pictures.put(picture(number)) for number in range(1, 7)]
    steps = (*TREE.steps[:3], step(4, 3, more={"others": [{"picture": ids[4]}]}))
    made = works.make("Foxes", History(steps, f"{2:012x}"))
    works.sweep(made.changed_s + 10 * UNUSED_S)
    assert [id in works.pictures for id in ids] == [True] * 5 + [False]
