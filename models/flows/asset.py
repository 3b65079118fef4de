"""One thing with a transparent background from words: a sticker, an icon, a layer.

Bases that have a transparent decoder paint alpha themselves. Others paint on plain paper and are cut out: along attention maps
(models/flows/whole_object.py, Alfie) where there are any, else by the paper's colour. "Whole" keeps a frame around the thing clear, so that
nothing of it is cut off by the edge.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.catalog import Abilities
from models.errors import BadInput
from models.flows import Render
from models.flows._cutout import SOLID, box_of, cut_out, tidied, touches_frame, unpapered
from models.flows.whole_object import BORDER, SOFTNESS, alpha_of, frame, grabbed, paper_around, rectangle
from models.job import AdapterUse, Extent, Job, Picture, Result
from models.spec import EMBEDDED

EMPTY = "Nothing was painted that could be told from its background. Try another seed, or say it in other words."
CUT_OFF = "It reaches the edge of its picture and may be cut off there."
SECOND_LOOK = 0.4                                    # the noise level, as strength, at which a one-step base is asked for its maps
LAST_LEVEL = 0.98                                    # maps of the last steps say nothing (Alfie skips t <= 20 of 1000)
PAPER_STYLE = "on a white background"


@dataclass(frozen=True)
class Wanted:
    """`job`: the thing's words, and one seed for every variant.

    transparent: id of an adapter that paints alpha, "" = cut out. maps: id of an adapter that records attention, "" = none. paper: words
    that ask for plain paper, added to the prompt of bases that have to be cut out. whole, border: keep a frame of this share of each side
    clear. known: the frame is paper itself, its latents being held, and is used only where a thing would touch the edge without it; else
    the frame follows words for paper at every step. softness: Alfie's k. second_look: maps are recorded in a pass of their own, for bases
    that paint in a few steps.
    """
    job: Job
    transparent: str = ""
    maps: str = ""
    whole: bool = True
    border: float = BORDER
    known: bool = False
    softness: float = SOFTNESS
    second_look: bool = False
    paper: str = PAPER_STYLE

    def __post_init__(self) -> None:
        if not self.job.prompt.strip():
            raise BadInput("There are no words yet.", "Say what to make.")
        if not 0.02 <= self.border <= 0.3:
            raise BadInput(f"A border of {self.border:.0%} of each side is outside 2 % to 30 %.")
        if not 0 <= self.softness <= 20:
            raise BadInput(f"Softness {self.softness} is outside 0..20.")


def suited(able: Abilities) -> dict[str, Any]:
    """The settings of Wanted that suit a base.

    The embedded base fills its 16 latent cells; one cell of held paper on every side keeps things whole (a frame of words alone tints the
    paper, because it was never shown "a white background" as words). Its maps are 8x8, so things are made more solid than Alfie's k does.
    """
    small = able.spec.arch == EMBEDDED
    frame_share, softness = (1 / 16, 4.0) if small else (BORDER, SOFTNESS)
    return {"transparent": able.granted.get("rgba", ""), "maps": able.granted.get("attention_maps", ""), "known": small,
            "border": frame_share, "softness": softness, "second_look": not able.spec.negative_prompt, "paper": "" if small else PAPER_STYLE}


def asset(render: Render, wanted: Wanted) -> Iterator[Result]:
    """Yields one Result a seed: straight RGBA uint8 [1, H, W, 4] on the job's canvas, its job painting that very variant's picture.

    A known frame cuts off what would reach into it, so it is used only for variants that touch the edge without it.
    """
    first = replace(wanted, whole=False) if wanted.whole and wanted.known else wanted
    job = job_of(first)
    painted = render(job)
    for number, seed in enumerate(job.seeds):
        own = job.but(seeds=(seed,))
        rgba, result = _with_alpha(render, first, own, painted, number), painted
        if first is not wanted and touches_frame(rgba[..., 3]):
            own = job_of(wanted).but(seeds=(seed,))
            result = render(own)
            rgba = _with_alpha(render, wanted, own, result, 0)
        if not (rgba[..., 3] >= SOLID).any():
            raise BadInput(EMPTY)
        notes = (CUT_OFF,) if touches_frame(rgba[..., 3]) else ()
        yield Result(rgba[None], own, result.timings, (*result.notes, *notes))


def job_of(wanted: Wanted) -> Job:
    """The job that paints the picture before anything is cut out."""
    job, cuts = wanted.job, not wanted.transparent
    uses = () if cuts else (AdapterUse(wanted.transparent),)
    if cuts and wanted.maps and not wanted.second_look:
        uses = (AdapterUse(wanted.maps, stop=LAST_LEVEL),)
    words = ", ".join(part for part in (job.prompt.strip(), wanted.paper if cuts else "") if part)
    job = job.but(prompt=words, adapters=(*job.adapters, *uses), image=None, mask=None, strength=1.0)
    if not wanted.whole:
        return job
    if not wanted.known:
        return job.but(regions=(*job.regions, paper_around(job.extent, wanted.border)))
    inside = Picture.from_array(255 - frame(job.extent, wanted.border))
    return job.but(image=clear_paper(job.extent), mask=inside)


def clear_paper(extent: Extent) -> Picture:
    """White that cannot be seen: its colour is what a network sees, its alpha what comes back."""
    return Picture(extent.width, extent.height, 4, b"\xff\xff\xff\0" * (extent.width * extent.height))


def _with_alpha(render: Render, wanted: Wanted, job: Job, painted: Result, number: int) -> np.ndarray:
    """Straight RGBA [H, W, 4] of one variant."""
    picture = painted.pixels[number]
    if wanted.transparent:
        return tidied(unpapered(picture))
    return _by_maps(render, wanted, job, painted, number) if wanted.maps else _by_paper(picture)


def _by_maps(render: Render, wanted: Wanted, job: Job, painted: Result, number: int) -> np.ndarray:
    """Cut out by Alfie's formula."""
    rgb, border = painted.pixels[number], wanted.border if wanted.whole else 0.0
    if not wanted.second_look:
        alpha = alpha_of(rgb, painted.seen, number, wanted.softness, border)
    else:
        look = job.but(image=Picture.from_array(rgb), strength=SECOND_LOOK, steps=1, mask=None, regions=(), adapters=(AdapterUse(wanted.maps),))
        alpha = alpha_of(rgb, render(look.but(prompt=wanted.job.prompt)).seen, 0, wanted.softness, border)
    return tidied(np.dstack([rgb[..., :3], (alpha * 255).round().astype(np.uint8)]))


def _by_paper(rgb: np.ndarray) -> np.ndarray:
    """Cut out by the colour of the paper; where it is not plain, by GrabCut from a rectangle."""
    cut = cut_out(rgb[..., :3])
    if cut is not None:
        return cut
    alpha = grabbed(rgb[..., :3], rectangle(rgb.shape)).astype(np.uint8) * 255
    return tidied(np.dstack([rgb[..., :3], alpha]))


def trimmed(rgba: np.ndarray, margin_px: int = 2) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """(the picture cut to what can be seen and a margin, its box x0, y0, x1, y1 on the whole)."""
    x0, y0, x1, y1 = box_of(rgba[..., 3] > 0)
    x0, y0 = max(0, x0 - margin_px), max(0, y0 - margin_px)
    x1, y1 = min(rgba.shape[1], x1 + margin_px), min(rgba.shape[0], y1 + margin_px)
    return np.ascontiguousarray(rgba[y0:y1, x0:x1]), (x0, y0, x1, y1)
