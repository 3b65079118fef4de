"""A picture that goes on beyond its edges, at any size and in one go, and holes in it painted anew.

After PQDiff (Zhang et al. 2024, arXiv 2401.15652): the base sees what is known and where it lies (models/adapters/outpaint.py) and paints
the whole canvas in one run, whatever the factor. Bases without such an adapter hold the known cells at every step instead (Avrahami et al.
2023, "Blended Latent Diffusion"), starting from known colours that run out. The known pixels come back bit for bit.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from models import pixels
from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput
from models.flows import Render
from models.flows._unknown import MOST_FEATHER_PX, Canvas, Hand, depth_of, paint_unknown, result_of, smooth, suited
from models.job import MAX_SIDE_PX, Extent, Job, Picture, Result
from models.layers.edges import pad_rgb

__all__ = ["Hand", "Margins", "check", "check_canvas", "check_mask", "check_picture", "inpaint", "outpaint", "suited"]
LEAST_PX = 8
MOST_TIMES = 16.0                                    # as large in one go: a quarter of each side is known then
MOST_RATIO = 8.0                                     # of a canvas's sides
CONTEXT = 1.0                                        # of a hole's sides: so much is seen around it, on either side
MARKED = 128
OPAQUE = "What was transparent stays so; what is new is opaque."


@dataclass(frozen=True)
class Margins:
    """What is added on each side, px of the picture."""
    top: int = 0
    right: int = 0
    bottom: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        if min(self.top, self.right, self.bottom, self.left) < 0:
            raise BadInput("A margin cannot be below 0.", "Crop the picture to make it smaller.")

    def size(self, picture: Picture) -> tuple[int, int]:
        return picture.width + self.left + self.right, picture.height + self.top + self.bottom

    def extent(self, picture: Picture) -> Extent:
        """Of the new canvas. Raises BadInput when it is too large."""
        return Extent(*self.size(picture))

    def area(self, picture: Picture) -> float:
        """How many times as large the canvas becomes."""
        width, height = self.size(picture)
        return width * height / (picture.width * picture.height)

    def extended(self, **sides: int) -> Margins:
        """With other px on the sides that are named."""
        return replace(self, **sides)

    @classmethod
    def around(cls, picture: Picture, times: float) -> Margins:
        """Every side `times` as long, the picture in the middle."""
        across, down = (max(0, round(side * times) - side) for side in (picture.width, picture.height))
        return cls(down // 2, across - across // 2, down - down // 2, across // 2)

    @classmethod
    def centred(cls, picture: Picture, wide: float, high: float) -> Margins:
        """The least that brings the picture, in the middle, to the ratio wide : high."""
        if not (wide > 0 and high > 0):
            raise BadInput(f"{wide}:{high} is no ratio of sides.", "Write for example 16:9.")
        across = max(0, round(picture.height * wide / high) - picture.width)
        down = max(0, round(picture.width * high / wide) - picture.height)
        return cls(down // 2, across - across // 2, down - down // 2, across // 2)


def check(picture: Picture, margins: Margins, feather_px: int = 8) -> None:
    """Raises BadInput with its cure for what cannot be extended."""
    check_picture(picture)
    if not 0 <= feather_px <= MOST_FEATHER_PX:
        raise BadInput(f"A seam of {feather_px} px is outside 0..{MOST_FEATHER_PX} px.")
    if margins == Margins():
        raise BadInput("All four margins are 0: there is nothing to add.", "Drag a side outwards, or write how many px.")
    check_canvas(*margins.size(picture))
    if margins.area(picture) > MOST_TIMES:
        raise BadInput(f"The canvas would be {margins.area(picture):.0f} times as large as the picture; {MOST_TIMES:.0f} times is the most in one go.",
                       "Extend it in two goes.")


def check_canvas(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE_PX:
        raise BadInput(f"A canvas of {width}x{height} px is larger than {MAX_SIDE_PX} px a side.", "Choose smaller margins, or shrink the picture first.")
    if max(width, height) > MOST_RATIO * min(width, height):
        raise BadInput(f"A canvas of {width}x{height} px is too narrow: one side may be {MOST_RATIO:.0f} times the other.", "Extend the shorter side too.")


def check_picture(picture: Picture) -> None:
    """Raises BadInput for what holds too little to go on from."""
    if min(picture.width, picture.height) < LEAST_PX:
        raise BadInput(f"This picture is {picture.width}x{picture.height} px: too little to go on from.", f"Use one of at least {LEAST_PX} px a side.")
    if picture.channels == 4 and picture.array[..., 3].max() == 0:
        raise BadInput("This picture is fully transparent; there is nothing to go on from.", "Choose another one.")


def outpaint(render: Render, picture: Picture, margins: Margins, job: Job, hand: Hand = Hand(), progress: Progress = ignore_progress,
             cancel: Cancel = never_cancel) -> Iterator[Result]:
    """Yields the whole canvas, uint8 [1, H, W, 3 or 4], for every seed of `job`, whose prompt may be empty."""
    check(picture, margins, hand.feather_px)
    width, height = margins.size(picture)
    here = slice(margins.top, margins.top + picture.height), slice(margins.left, margins.left + picture.width)
    rgb, known = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    rgb[here], known[here] = colours_of(picture), True
    for whole, painted in paint_unknown(render, plain(job), Canvas(rgb, known), hand, progress, cancel):
        yield result_of(with_picture(whole, picture, here), painted, (OPAQUE,) if is_clear(picture) else ())


def plain(job: Job) -> Job:
    """Only what says how to paint."""
    return job.but(image=None, mask=None, strength=1.0, regions=())


def is_clear(picture: Picture) -> bool:
    return picture.channels == 4 and int(picture.array[..., 3].min()) < 255


def colours_of(picture: Picture) -> np.ndarray:
    """uint8 [H, W, 3]; under what is transparent the colours around flow in."""
    if not is_clear(picture):
        return pixels.flatten(picture).array
    array = picture.array
    alpha = array[..., 3].astype(np.float32) / 255
    return (pad_rgb(array[..., :3].astype(np.float32) / 255, alpha) * 255).round().astype(np.uint8)


def with_picture(whole: np.ndarray, picture: Picture, here: tuple[slice, slice]) -> np.ndarray:
    """The painted canvas with the alpha of the picture that lies in it, and its own colours wherever it is not opaque."""
    if picture.channels != 4:
        return whole
    out = np.dstack([whole, np.full(whole.shape[:2], 255, np.uint8)])
    part, own = out[here], picture.array
    part[..., 3] = own[..., 3]
    part[own[..., 3] < 255] = own[own[..., 3] < 255]
    return out


# --- holes --------------------------------------------------------------------------------------------------------------

def check_mask(picture: Picture, mask: Picture) -> None:
    """Raises BadInput with its cure for a mask that cannot be painted."""
    check_picture(picture)
    if (mask.width, mask.height) != (picture.width, picture.height):
        raise BadInput(f"The mask has {mask.width}x{mask.height} px, the picture {picture.width}x{picture.height}.")
    marked = mask.array[..., 0] >= MARKED
    if not marked.any():
        raise BadInput("Nothing is marked.", "Brush over what is to be painted anew.")
    if marked.all():
        raise BadInput("Everything is marked: nothing would be left to go on from.", "Leave some of it, or paint a new picture.")


def inpaint(render: Render, picture: Picture, mask: Picture, job: Job, hand: Hand = Hand(), progress: Progress = ignore_progress,
            cancel: Cancel = never_cancel, change: float | None = None) -> Iterator[Result]:
    """Yields the picture with what `mask` marks (first channel, 128 and more) painted anew, for every seed of `job`.

    change: 1 = from nothing, less = from what is there; None = from nothing, as the base does it best. Outside the mask every bit stays;
    with change below 1 the seam lies inside it. Places far apart are painted one by one, each with some of what lies around it.
    """
    check_mask(picture, mask)
    if change is not None and not 0 < change <= 1:
        raise BadInput(f"Change {change} is outside 0..1.")
    marked = mask.array[..., 0] >= MARKED
    rgb, places = colours_of(picture), windows_of(marked, hand)
    strict = replace(hand, feather_px=0, **({"change": change} if change else {}))
    for seed in job.seeds:
        whole, notes = rgb.copy(), ()
        for number, here in enumerate(places):
            progress(number, len(places), "painting" if len(places) == 1 else f"painting place {number + 1} of {len(places)}")
            part = Canvas(whole[here], ~marked[here], whole[here] if change and change < 1 else None)
            one = plain(job).but(seeds=(seed,), each=())
            (made, painted), = paint_unknown(render, one, part, strict, ignore_progress, cancel)
            whole[here] = _seam_inside(made, rgb[here], marked[here], hand.feather_px if change and change < 1 else 0)
            notes = tuple(dict.fromkeys((*notes, *painted.notes)))
        yield result_of(_with_own_alpha(whole, picture, marked), replace(painted, notes=notes))


def windows_of(marked: np.ndarray, hand: Hand) -> list[tuple[slice, slice]]:
    """Rows and columns around every marked place with CONTEXT of what lies about it; windows that meet become one."""
    height, width = marked.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=8)
    boxes = [_around(stat[:4], width, height, hand) for stat in stats[1:]]
    joined = True
    while joined:
        joined = False
        for i, one in enumerate(boxes):
            meets = next((j for j in range(i + 1, len(boxes)) if _meet(one, boxes[j])), None)
            if meets is not None:
                other = boxes.pop(meets)
                boxes[i] = (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
                joined = True
                break
    return [(slice(y0, y1), slice(x0, x1)) for x0, y0, x1, y1 in boxes]


def _around(box: np.ndarray, width: int, height: int, hand: Hand) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of a window about square, at least the base's own size, moved inwards where the picture ends."""
    x, y, wide, high = map(int, box)
    side = max(hand.native_px, round((1 + 2 * CONTEXT) * max(wide, high)))
    span = lambda start, length, limit: (s := int(np.clip(start + length // 2 - side // 2, 0, max(0, limit - side))), min(limit, s + side))
    (x0, x1), (y0, y1) = span(x, wide, width), span(y, high, height)
    return x0, y0, x1, y1


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _seam_inside(made: np.ndarray, given: np.ndarray, marked: np.ndarray, feather_px: int) -> np.ndarray:
    """`made` where marked, going over into `given` within `feather_px` inside."""
    if not feather_px:
        return np.where(marked[..., None], made, given)
    share = smooth(depth_of(marked) / (feather_px + 1))[..., None] * marked[..., None]
    return np.where(marked[..., None], (given + share * (made.astype(np.float32) - given)).round().astype(np.uint8), given)


def _with_own_alpha(whole: np.ndarray, picture: Picture, marked: np.ndarray) -> np.ndarray:
    """What is marked becomes opaque; elsewhere every channel is the picture's own. Grey pictures become RGB."""
    if picture.channels != 4:
        return whole
    rgba = np.dstack([whole, np.full(marked.shape, 255, np.uint8)])
    return np.where(marked[..., None], rgba, picture.array)
