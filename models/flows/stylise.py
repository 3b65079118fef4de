"""Pictures in the style of another: views of one thing, frames, layers, all in one manner (OSDiffST, Zuo et al. 2024; models.adapters.style).

Each picture is one job whose answer knows neither words nor seed, so the same picture comes out the same, alone or in company. Alpha is
copied from what was given; a clear picture is restyled on white paper, and its rim then takes the colours inside it, so that no paper shows.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import pixels
from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled, MissingWeights
from models.flows._cutout import SOLID, inner_colours
from models.job import AdapterUse, Extent, Job, Picture

KIND = "style"
SMALLEST_PX, LARGEST_PX = 64, 512
RIM_PX = 2                                           # as little as hides the paper: a contour may lie on the rim
NEUTRAL = Picture.from_array(np.full((16, 16, 3), 255, np.uint8))


@dataclass(frozen=True)
class Manner:
    """strength 0..1: 0 = the pictures as they are. side_px: the longer side at which they are painted; the adapter learned at 256."""
    strength: float = 1.0
    base: str = "embedded"
    adapter: str = "style-transfer"
    side_px: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise BadInput(f"Strength {self.strength} is outside 0..1.")
        if not SMALLEST_PX <= self.side_px <= LARGEST_PX:
            raise BadInput(f"A side of {self.side_px} px is outside {SMALLEST_PX}..{LARGEST_PX} px.")


@dataclass(frozen=True)
class Stylised:
    """One picture before and after, of one size and kind; `job` paints it again, None where nothing had to be painted."""
    number: int
    before: Picture
    after: Picture
    job: Job | None = None
    notes: tuple[str, ...] = ()


def available(engine: Any, base: str = "embedded", adapter: str = "style-transfer") -> str | None:
    """Why style transfer cannot be had, in a sentence; None when it can."""
    spec = engine.catalog.adapters.get(adapter)
    if spec is None:
        return "The weights of style transfer are not here. Train them with: python -m models.lab style_transfer"
    arch = engine.catalog.resolve_base(base).arch
    return None if spec.fits(arch) else f'"{spec.title}" is made for {spec.arch}, not for {arch}.'


def stylise(engine: Any, pictures: Sequence[Picture], style: Picture, manner: Manner = Manner(), progress: Progress = ignore_progress,
            cancel: Cancel = never_cancel) -> Iterator[Stylised]:
    """Yields one Stylised a picture, in order. Raises BadInput without pictures or for a style with nothing to see, MissingWeights, Cancelled."""
    if not pictures:
        raise BadInput("There are no pictures yet.", "Choose what is to be restyled.")
    _check_style(style)
    if manner.strength and (why := available(engine, manner.base, manner.adapter)):
        raise MissingWeights(why)
    for number, picture in enumerate(pictures):
        if cancel():
            raise Cancelled()
        progress(number, len(pictures), "restyling")
        yield _one(engine, number, picture, style, manner, cancel)
    progress(len(pictures), len(pictures), "done")


def _check_style(style: Picture | None) -> None:
    if style is None:
        raise BadInput("There is no style picture yet.", "Choose a picture whose style is to be taken.")
    if style.channels == 4 and not style.array[..., 3].any():
        raise BadInput("The style picture is clear all over.", "Choose one that shows something.")


def _one(engine: Any, number: int, picture: Picture, style: Picture, manner: Manner, cancel: Cancel) -> Stylised:
    if not manner.strength:
        return Stylised(number, picture, picture)
    job = job_of(picture, style, manner)
    painted = engine.render(job, cancel=cancel).pixels[0][..., :3]
    size = Extent(picture.width, picture.height)
    rgb = pixels.resize(Picture.from_array(np.ascontiguousarray(painted)), size).array
    notes = (f"It was painted at {job.extent} px and enlarged.",) if picture.width > job.extent.width else ()
    return Stylised(number, picture, _like(picture, rgb), job, notes)


def job_of(picture: Picture, style: Picture, manner: Manner) -> Job:
    """The job that restyles one picture, at a size the base can paint, the picture's shape kept as nearly as that allows."""
    scale = manner.side_px / max(picture.width, picture.height)
    side = lambda px: int(min(max(round(px * scale / 16) * 16, SMALLEST_PX), LARGEST_PX))
    extent = Extent(side(picture.width), side(picture.height))
    content = pixels.resize(pixels.flatten(picture), extent)                              # a little stretched rather than cut
    return Job(base=manner.base, extent=extent, adapters=(AdapterUse(manner.adapter, manner.strength, _style_rgb(style), (content,)),))


def _style_rgb(style: Picture) -> Picture:
    return pixels.flatten(style) if style.channels != 3 else style


def _like(picture: Picture, rgb: np.ndarray) -> Picture:
    """rgb with the channels of `picture`, and its alpha."""
    if picture.channels == 1:
        return Picture.from_array(np.ascontiguousarray(rgb.mean(2, keepdims=True).round().astype(np.uint8)))
    if picture.channels == 3:
        return Picture.from_array(rgb)
    solid = picture.array[..., 3] >= SOLID
    return Picture.from_array(np.dstack([inner_colours(rgb, solid, RIM_PX) if solid.any() else rgb, picture.array[..., 3]]))
