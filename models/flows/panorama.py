"""A picture as a loop without a seam: cut, its halves moved to the outside, and the gap between them painted.

After "Painting Outside as Inside" (Kim et al. 2021, arXiv 2010.01810): what is to be painted on both outer sides becomes a gap in the
middle, known on either side of it, and the place where the loop closes lies inside what is painted at once. The picture is cut at the
column with least edges across it, so that no thing is split (ours: the paper cuts in the middle).
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput
from models.flows import Render
from models.flows._unknown import Canvas, Hand, paint_unknown, result_of
from models.flows.outpaint import OPAQUE, check_canvas, check_picture, colours_of, is_clear, plain, with_picture
from models.job import Extent, Job, Picture, Result

LEAST, MOST = 0.25, 3.0                              # of the picture's side that is added
CUT_FROM, CUT_TO = 0.35, 0.65                        # of the side, where it may be cut


def panorama(render: Render, picture: Picture, job: Job, hand: Hand = Hand(), wider: float = 1.0, progress: Progress = ignore_progress,
             cancel: Cancel = never_cancel, axis: str = "x") -> Iterator[Result]:
    """Yields the loop, uint8 [1, H, W, 3 or 4], for every seed of `job`; the picture lies in its middle. `wider`: how much is added, of its
    own width (its height, for axis "y")."""
    looped_extent(picture, wider, axis)
    across = axis == "y"
    rgb = turned(colours_of(picture), across)
    length, gap = rgb.shape[1], added_px(rgb.shape[1], wider)
    cut = quietest_column(rgb)
    blank = np.zeros((rgb.shape[0], gap, 3), np.uint8)
    canvas = Canvas(np.concatenate([rgb[:, cut:], blank, rgb[:, :cut]], 1), np.ones((rgb.shape[0], length + gap), bool))
    canvas.known[:, length - cut:length - cut + gap] = False
    start = gap // 2                                 # of the picture in the loop
    here = (slice(start, start + picture.height), slice(None)) if across else (slice(None), slice(start, start + picture.width))
    for whole, painted in paint_unknown(render, plain(job), canvas, hand, progress, cancel):
        loop = turned(np.roll(whole, start + cut, 1), across)
        yield result_of(with_picture(loop, picture, here), painted, (OPAQUE,) if is_clear(picture) else ())


def looped_extent(picture: Picture, wider: float, axis: str = "x") -> Extent:
    """The size of the loop. Raises BadInput with its cure for what cannot be one."""
    check_picture(picture)
    if axis not in ("x", "y"):
        raise BadInput(f'A loop runs along x or y, not "{axis}".')
    if not LEAST <= wider <= MOST:
        raise BadInput(f"A loop needs {LEAST:.0%} to {MOST:.0%} of the picture's side more, not {wider:.0%}.")
    width, height = picture.width, picture.height
    size = (width + added_px(width, wider), height) if axis == "x" else (width, height + added_px(height, wider))
    check_canvas(*size)
    return Extent(*size)


def added_px(length: int, wider: float) -> int:
    return max(2, round(length * wider))


def turned(rgb: np.ndarray, across: bool) -> np.ndarray:
    """With rows and columns swapped, or as it is."""
    return np.ascontiguousarray(rgb.swapaxes(0, 1)) if across else rgb


def quietest_column(rgb: np.ndarray) -> int:
    """Between CUT_FROM and CUT_TO of the width, where the picture changes least from one column to the next."""
    width = rgb.shape[1]
    low, high = max(1, round(CUT_FROM * width)), max(2, round(CUT_TO * width))
    part = rgb[:, low - 1:high].astype(np.float32)
    energy = np.abs(np.diff(part, axis=1)).sum((0, 2))
    smooth = np.convolve(np.pad(energy, 2, mode="edge"), np.ones(5) / 5, "valid")
    return low + int(smooth.argmin())


def wrap_error(rgb: np.ndarray) -> float:
    """The mean step from the last column to the first, over the median of the mean steps between neighbours; 1 = no seam."""
    f = rgb[..., :3].astype(np.float32)
    steps = np.abs(np.diff(f, axis=1)).mean((0, 2))
    return float(np.abs(f[:, 0] - f[:, -1]).mean() / max(float(np.median(steps)), 1e-3))
