"""The next tile beyond one side, for a picture without an end; only the piece next to it is looked at."""
from __future__ import annotations

from typing import Any

import numpy as np

from models.errors import BadInput
from models.flows.zoom import SIDES, tile
from models.job import MAX_SIDE_PX, Picture
from studio.outpaint.tasks import _painting as painting
from studio.workbench.task import Call, Task

SEEN = 2.0                                           # of the picture's other side: so much of it is looked at


def last_piece(picture: Picture, side: str) -> Picture:
    """What lies next to a side."""
    along = picture.width if side in ("left", "right") else picture.height
    across = picture.height if side in ("left", "right") else picture.width
    seen = min(along, max(8, round(SEEN * across)))
    near, far = slice(0, seen), slice(along - seen, along)
    array = {"left": picture.array[:, near], "right": picture.array[:, far], "top": picture.array[near], "bottom": picture.array[far]}[side]
    return Picture.from_array(np.ascontiguousarray(array))


def joined(array: np.ndarray, new: np.ndarray, side: str) -> np.ndarray:
    """Both side by side, [H, W, C]; opaque where only one of them has alpha."""
    if array.shape[2] != new.shape[2]:
        array, new = (one if one.shape[2] == 4 else np.dstack([one, np.full(one.shape[:2], 255, np.uint8)]) for one in (array, new))
    first = side in ("left", "top")
    return np.concatenate([new, array] if first else [array, new], 1 if side in ("left", "right") else 0)


def run(call: Call) -> dict[str, Any]:
    """asked: side, words, and how to paint. The tile is the same for the same picture, side, words and seed."""
    picture, side = call.source(), call.choice("side", "right", SIDES)
    job = painting.job_of(call)
    result = next(iter(tile(call.render, last_piece(picture, side), side, job, painting.hand_of(call), None, call.progress, call.cancelled)))
    new = result.pixels[0]
    whole = joined(picture.array, new, side)
    if max(whole.shape[:2]) > MAX_SIDE_PX:
        raise BadInput(f"The picture has reached {MAX_SIDE_PX:,} px, which is the most.", "Keep it, and go on from a cut of its end.")
    left, top = (new.shape[1] if side == "left" else 0), (new.shape[0] if side == "top" else 0)
    return {"pictures": [call.keep(Picture.from_array(np.ascontiguousarray(whole)))], "before": [left, top, picture.width, picture.height],
            "notes": list(result.notes)}


TASK = Task("tile", "Go on", run)
