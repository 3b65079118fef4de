"""Farther away, and ever on: zooming out of a picture, and the next tile of one that has no end."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from models import pixels
from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput
from models.flows import Render
from models.flows._unknown import Hand, result_of
from models.flows.outpaint import Margins, check_picture, outpaint
from models.job import Extent, Job, Picture, Result

LEAST_TIMES, MOST_TIMES = 1.1, 4.0
SIDES = ("left", "right", "top", "bottom")
STEP = 0.5                                           # of what a base sees, along the way: the rest is the picture that goes on
MOST_SHARE = 0.75


def zoom_out(render: Render, picture: Picture, job: Job, hand: Hand = Hand(), times: float = 1.5, same_size: bool = False,
             progress: Progress = ignore_progress, cancel: Cancel = never_cancel) -> Iterator[Result]:
    """Yields the picture seen from farther away, for every seed of `job`: every side `times` as long, or with `same_size` shrunk again to
    the size it had (then no pixel is the old one)."""
    if not LEAST_TIMES <= times <= MOST_TIMES:
        raise BadInput(f"Zooming out {times:g} times is outside {LEAST_TIMES:g} to {MOST_TIMES:g}.", "Zoom out again for more.")
    for result in outpaint(render, picture, Margins.around(picture, times), job, hand, progress, cancel):
        if same_size:
            small = pixels.resize(Picture.from_array(result.pixels[0]), Extent(picture.width, picture.height))
            result = Result(small.array[None].copy(), result.job, result.timings, result.notes, result.seen)
        yield result


def tile(render: Render, picture: Picture, side: str, job: Job, hand: Hand = Hand(), step_px: int | None = None,
         progress: Progress = ignore_progress, cancel: Cancel = never_cancel) -> Iterator[Result]:
    """Yields what comes next beyond one side, uint8 [1, H, step, 3 or 4] or [1, step, W, ...], for every seed of `job`.

    It goes on from the picture's edge, of which a strip is looked at; so the picture may be only the last piece of a long one. step_px None:
    half of what the base sees at once. The same picture, side and job give the same tile.
    """
    check_picture(picture)
    if side not in SIDES:
        raise BadInput(f'There is no side "{side}".', f"Known: {', '.join(SIDES)}.")
    along = side in ("left", "right")
    length, across = (picture.width, picture.height) if along else (picture.height, picture.width)
    step = step_px or max(8, round(STEP * across))
    strip = min(length, max(across - step, round(step * (1 - MOST_SHARE) / MOST_SHARE), 8))
    if not 8 <= step <= strip * 8:
        raise BadInput(f"A step of {step} px is outside 8..{strip * 8} px.", "Go on in smaller steps.")
    array = picture.array
    edge = {"left": array[:, :strip], "right": array[:, length - strip:], "top": array[:strip], "bottom": array[length - strip:]}[side]
    known = Picture.from_array(np.ascontiguousarray(edge))
    exact = replace(hand, feather_px=0)
    for result in outpaint(render, known, Margins(**{side: step}), job, exact, progress, cancel):
        whole = result.pixels[0]
        new = {"left": whole[:, :step], "right": whole[:, strip:], "top": whole[:step], "bottom": whole[strip:]}[side]
        yield result_of(np.ascontiguousarray(new), result)
