"""Block and Detail (Sarukkai et al. 2024, "Block and Detail: Scaffolding Sketch-to-Image Generation", UIST): broad blocking strokes
say roughly where something is, thin detail strokes say exactly how it looks.

Pass 1 paints with all strokes as control. Pass 2 takes that picture and frees it near the blocking strokes, without a control, so
that the shape there may become what it wants to be; near detail strokes, and far from any blocking stroke, it stays.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from models.job import AdapterUse, Job, Picture, Result

SIDE_PX = 512                                        # of the canvas that the paper's distances are given on
KEPT = 25                                            # of 255: how free the rest of the picture is (the paper's floor)
DETAIL_PX = 11                                       # what a detail stroke protects
BLUR_PX = 5
STRENGTH = 0.8                                       # how far up the second pass starts


def ellipse(px: float) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(1, round(px)) | 1,) * 2)


def allowance(block: np.ndarray, detail: np.ndarray, reach_px: float) -> np.ndarray:
    """bool [H, W] twice -> uint8 [H, W]: 255 where the second pass is free, KEPT where the picture all but stays.

    `reach_px` and the other distances count on a canvas of SIDE_PX and scale with the given one.
    """
    scale = block.shape[0] / SIDE_PX
    near = cv2.dilate(block.astype(np.uint8), ellipse(reach_px * scale)) > 0
    free = _soft(np.where(near, 255, KEPT).astype(np.uint8), scale)
    free[cv2.dilate(detail.astype(np.uint8), ellipse(DETAIL_PX * scale)) > 0] = KEPT
    return _soft(free, scale)


def _soft(free: np.ndarray, scale: float) -> np.ndarray:
    return cv2.GaussianBlur(free, (0, 0), max(0.5, BLUR_PX * scale / 2))


def second_pass(first: Result, free: np.ndarray, control: Sequence[str], sample: int = 0) -> Job:
    """The job that repaints `first` where `free` uint8 [H, W] lets it, without the adapters of `control`."""
    uses: tuple[AdapterUse, ...] = tuple(use for use in first.job.adapters if use.id not in control)
    height, width = first.pixels.shape[1:3]
    mask = Picture.from_array(cv2.resize(free, (width, height), interpolation=cv2.INTER_AREA)[..., None])
    return first.job.but(adapters=uses, image=Picture.from_array(first.pixels[sample][..., :3]), mask=mask, strength=STRENGTH,
                         seeds=(first.job.seeds[sample],))


def block_and_detail(render: Callable[[Job], Result], job: Job, block: np.ndarray, detail: np.ndarray, reach_px: float,
                     control: Sequence[str]) -> Iterator[Result]:
    """Yields the picture of the first pass, then, when something was blocked in, that of the second.

    block, detail: bool [H, W], which pixels each kind of stroke covers. control: ids of the job's adapters that obey strokes.
    """
    first = render(job)
    yield first
    if block.any():
        yield render(second_pass(first, allowance(block, detail, reach_px), control))
