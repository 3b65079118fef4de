"""One picture out of several that were painted for the same places: for every place the one that was chosen."""
from __future__ import annotations

from typing import Any

import numpy as np

from models.errors import BadInput
from models.job import Picture
from studio.workbench.task import Call, Task, plain


def mixed(first: np.ndarray, labels: np.ndarray, chosen: list[np.ndarray]) -> np.ndarray:
    """`first` [H, W, C] with place n (1...) of `labels` [H, W] from chosen[n - 1]."""
    out = first.copy()
    for number, other in enumerate(chosen, 1):
        out[labels == number] = other[labels == number]
    return out


def run(call: Call) -> dict[str, Any]:
    """asked: picture (what is outside of all places), labels (id), chosen (ids, one a place)."""
    first, labels, ids = call.picture("picture"), call.picture("labels").array[..., 0], call.asked.get("chosen")
    if not isinstance(ids, list) or not ids or not all(isinstance(id, str) and id in call.pictures for id in ids):
        raise BadInput("One of these alternatives is not here any more.", "Paint them again.")
    others = [call.pictures[id] for id in ids]
    if any((one.width, one.height) != (first.width, first.height) for one in others) or labels.shape != (first.height, first.width):
        raise BadInput("These alternatives are not of one size.", "Paint them again.")
    return {"pictures": [call.keep(plain(Picture.from_array(mixed(first.array, labels, [one.array for one in others]))))]}


TASK = Task("mix", "Choose by place", run)
