"""A mask from one press on the picture: the thing that lies there, or everything around that has about its colour."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from models.errors import BadInput
from models.flows.cutout import NET, Cut, Stroke, cut_out
from models.job import Picture

TOLERANCE = 18                                       # of 255, in every channel
SEEN_PX = 768                                        # the longer side at which a thing is looked for
SURE = 0.5
HOWS = ("thing", "colour")


def press(asked: Mapping[str, Any], picture: Picture) -> tuple[int, int]:
    """(x, y) of the press in px of the picture. Raises BadInput outside of it."""
    try:
        x, y = int(asked["x"]), int(asked["y"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadInput("A press is a point x, y of the picture.") from None
    if not (0 <= x < picture.width and 0 <= y < picture.height):
        raise BadInput("That point lies outside the picture.", "Press inside it.")
    return x, y


def selected(look: Callable[..., np.ndarray], picture: Picture, asked: Mapping[str, Any]) -> Picture:
    """The mask, one channel of the picture's size. asked: x, y, how ("thing" or "colour"). Raises BadInput where nothing is found."""
    at, how = press(asked, picture), asked.get("how", "thing")
    if how not in HOWS:
        raise BadInput(f'Nothing is selected by "{str(how)[:20]}".', f"Known: {', '.join(HOWS)}.")
    mask = by_colour(picture, at) if how == "colour" else by_thing(look, picture, at)
    if not mask.any():
        raise BadInput("Nothing was found there.", "Press on the middle of the thing, or draw around it.")
    return Picture.from_array(mask)


def by_colour(picture: Picture, at: tuple[int, int], tolerance: int = TOLERANCE) -> np.ndarray:
    """uint8 [H, W], 255 where the colour of a point goes on."""
    rgb = np.ascontiguousarray(picture.array[..., :3])
    seen = np.zeros((picture.height + 2, picture.width + 2), np.uint8)
    cv2.floodFill(rgb, seen, at, (0, 0, 0), (tolerance,) * 3, (tolerance,) * 3, 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8))
    return seen[1:-1, 1:-1].copy()


def by_thing(look: Callable[..., np.ndarray], picture: Picture, at: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W] of the thing under a point; only the piece that holds the point, if it does."""
    scale = min(1.0, SEEN_PX / max(picture.width, picture.height))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = Picture.from_array(cv2.resize(np.ascontiguousarray(picture.array[..., :3]), size, interpolation=cv2.INTER_AREA))
    x, y = min(size[0] - 1, at[0] * scale), min(size[1] - 1, at[1] * scale)
    done = cut_out(look, small, Cut(NET, (Stroke(((x, y),)),), decontaminate=False, fill_holes=True))
    alpha = cv2.resize(done.rgba[..., 3], (picture.width, picture.height), interpolation=cv2.INTER_LINEAR)
    _, pieces = cv2.connectedComponents((alpha > 255 * SURE).astype(np.uint8))
    own = pieces[at[1], at[0]]
    return np.where(pieces == own, alpha, 0).astype(np.uint8) if own else alpha
