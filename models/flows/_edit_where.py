"""Where a new or moved thing goes: from words such as "in the top right corner" or "above the house", else where there is room."""
from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

from models.flows._canvas import Box
from models.flows._edit_desk import Desk, box_here
from models.flows._planner import GROUND, SKY, flies, size_of
from models.words.instructions import bare

SPOTS = {"left": (0.2, None), "right": (0.8, None), "top": (None, 0.2), "bottom": (None, 0.8), "up": (None, 0.2), "down": (None, 0.8),
         "middle": (0.5, 0.5), "center": (0.5, 0.5), "centre": (0.5, 0.5)}
ON = ("on", "onto", "on top of", "in", "into")
RELATIONS = ("to the left of", "to the right of", "left of", "right of", "above", "over", "below", "under", "beneath", "beside", "next to", "near", "by",
             "behind", "in front of", "on top of", "onto", "on", "into", "in", "at", "around", "between")
_NEAR = re.compile(rf"^({'|'.join(RELATIONS)})\s+(?:the |an? |its |his |her )?(.+)$")
TRIES = 9


@dataclass(frozen=True)
class Spot:
    """A square for a thing, in px; ground: it stands on the lower side. behind: lies behind the things. said: a sentence."""
    box: Box
    ground: bool
    said: str
    behind: bool = False


def spot_of(place: str) -> tuple[float | None, float | None] | None:
    """(x, y) shares of the picture that words such as "top left" mean, None where they say nothing."""
    words = [word for word in re.findall(r"[a-z]+", place.lower()) if word in SPOTS]
    if not words:
        return None
    xs, ys = ([SPOTS[word][axis] for word in words if SPOTS[word][axis] is not None] for axis in (0, 1))
    return (xs[0] if xs else None), (ys[0] if ys else None)


def place_for(desk: Desk, words: str, place: str, amount: float = 1.0) -> Spot:
    """Raises NotThere when the place names something that is not in the picture."""
    side = min(desk.picture.width, desk.picture.height)
    size = max(12, round(size_of(words) * side * amount))
    related = _NEAR.match(place.strip().lower())
    if related and spot_of(place) is None:
        return beside(desk, related[1], bare(related[2]), size, amount)
    spot = spot_of(place) if place else None
    if spot is None:
        return with_room(desk, words, size)
    x, y = spot
    y = y if y is not None else (SKY if flies(words) else GROUND - size / 2 / desk.picture.height)
    return Spot(_square(desk, (x if x is not None else 0.5) * desk.picture.width, y * desk.picture.height, size), False, f"where the words say: {place}")


def beside(desk: Desk, relation: str, other: str, size: int, amount: float = 1.0) -> Spot:
    """By a thing that is there."""
    alpha = desk.find(other if other != "it" else "").alpha
    x0, y0, x1, y1 = box_here(alpha > 0.5)
    x, wide = (x0 + x1) / 2, x1 - x0
    said = f"{relation} the {other}"
    if relation in ON:
        size = round(min(size, 0.75 * wide * amount)) if relation.startswith("on") else size
        return Spot(_square(desk, x, y0 + 0.18 * size - size / 2, size), True, said)
    if relation in ("above", "over"):
        return Spot(_square(desk, x, y0 - size * 0.6, size), False, said)
    if relation in ("below", "under", "beneath"):
        return Spot(_square(desk, x, y1 + size * 0.55, size), False, said)
    if relation in ("behind", "in front of"):
        shift = -0.12 * size if relation == "behind" else 0.15 * size
        return Spot(_square(desk, x + 0.4 * wide, y1 - size / 2 + shift, size), True, said, relation == "behind")
    left = "left" in relation or ("right" not in relation and x > desk.picture.width / 2)
    return Spot(_square(desk, (x0 - size * 0.55) if left else (x1 + size * 0.55), y1 - size / 2, size), True, said)


def with_room(desk: Desk, words: str, size: int) -> Spot:
    """The emptiest of a few places: far from every thing, on the ground unless it flies."""
    taken = np.max(desk.searcher.pieces, 0) > 0.2 if desk.searcher.pieces else np.zeros(desk.rgb.shape[:2], bool)
    width, height = desk.picture.width, desk.picture.height
    rows = (SKY,) if flies(words) else (GROUND - size / 2 / height, 0.55)
    tried = [(_square(desk, x * width, y * height, size), k) for k, y in enumerate(rows) for x in np.linspace(0.15, 0.85, TRIES)]
    busy = cv2.integral(taken.astype(np.uint8))
    covered = lambda box: float(busy[box[3], box[2]] - busy[box[1], box[2]] - busy[box[3], box[0]] + busy[box[1], box[0]])
    far = cv2.distanceTransform((~taken).astype(np.uint8), cv2.DIST_L2, 5) if taken.any() else np.full(taken.shape, size, np.float32)
    middle = lambda box: float(far[min(height - 1, (box[1] + box[3]) // 2), min(width - 1, (box[0] + box[2]) // 2)])
    best = min(tried, key=lambda one: (covered(one[0]) / size ** 2 + 0.05 * one[1] - 0.1 * min(1.0, middle(one[0]) / size)))
    return Spot(best[0], not flies(words), "where there is room")


def _square(desk: Desk, x: float, y: float, size: int) -> Box:
    """A square around (x, y), moved inside the picture."""
    width, height = desk.picture.width, desk.picture.height
    size = min(size, width, height)
    left, top = round(min(max(x - size / 2, 0), width - size)), round(min(max(y - size / 2, 0), height - size))
    return left, top, left + size, top + size
