"""A thing for a background that is there already: painted into it, and taken out of it again with its own alpha.

The background is held (masked latent blending, as in models/flows/behind.py) but for the place where the thing is to be. Small bases start
from the thing painted alone and only fit it in, others from noise. What the picture then has that the background has not is the thing: the
difference seeds GrabCut. Where the published LayerDiffuse files are there (background to blend, background and blend to foreground),
they paint both instead. `both` makes a thing and a background around it at once.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from models.catalog import Abilities
from models.errors import BadInput
from models.flows import Render
from models.flows._canvas import Box, grown, held, mask_picture, over, put
from models.flows._cutout import SOLID, inner_colours, lab, without_specks
from models.flows.asset import Wanted, asset
from models.flows.behind import Behind, behind
from models.flows.whole_object import grabbed
from models.job import AdapterUse, Job, Picture, Result, Timings
from models.spec import EMBEDDED

SEEN, SURE = 6.0, 25.0                               # differences in L*a*b*: may be the thing, is the thing
LEAST, MOST = 0.02, 0.97                             # of the free place: a thing that covers less or more was not painted or not told apart
MARGIN_SHARE = 1 / 32
NOT_TOLD = "It could not be told from the background, so it was painted alone and put there."


@dataclass(frozen=True)
class InFront:
    """`thing`: what to paint, with its settings for being painted alone (models.flows.asset.suited). place: words of the background, ""
    where it has none. background: RGB of the whole canvas; box: where the thing is to be, in its pixels.

    fit: how free the fitting is, 0..1; 0 only puts the thing there. alone: start from the thing painted alone, not from noise. blend, fore:
    ids of the published adapters, "" = none; frames: id of the SD 1.5 one that paints both together.
    """
    thing: Wanted
    background: Picture
    box: Box
    place: str = ""
    fit: float = 0.4
    alone: bool = True
    ground: bool = True
    blend: str = ""
    fore: str = ""
    frames: str = ""

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 <= self.background.width and 0 <= y0 < y1 <= self.background.height):
            raise BadInput(f"The place {self.box} does not lie inside the picture of {self.background.width}x{self.background.height} px.")
        if not 0 <= self.fit <= 1:
            raise BadInput(f"Fit {self.fit} is outside 0..1.")

    @property
    def scene(self) -> Job:
        """The job of the whole canvas: what the thing's job shares with it, in the background's size."""
        job, size = self.thing.job, type(self.thing.job.extent)(self.background.width, self.background.height)
        words = " ".join(part for part in (job.prompt.strip(), self.place.strip()) if part)
        return job.but(prompt=words, seeds=job.seeds[:1], extent=size, image=None, mask=None, strength=1.0)


def suited(able: Abilities) -> dict[str, Any]:
    """The settings of InFront that suit a base.

    The embedded base's latents of 16 px are too coarse to fit a thing of 100 px in: by eye every pass makes it worse than the thing painted
    alone and put there, so it puts it there; models/flows/harmonise.py brings the light over.
    """
    small = able.spec.arch == EMBEDDED
    pair = {"blend": able.granted.get("bg2ble", ""), "fore": able.granted.get("bgble2fg", "")}
    pair = pair if all(pair.values()) else {"blend": "", "fore": ""}
    return {"alone": small, "fit": 0.0 if small else 1.0, "frames": able.granted.get("bg2fg", ""), **pair}


def infront(render: Render, wanted: InFront) -> Iterator[Result]:
    """Yields the picture with the thing in it, uint8 [1, H, W, 3], and last the thing alone, uint8 [1, H, W, 4], both on the canvas."""
    if wanted.frames or wanted.blend:
        yield from _published(render, wanted)
        return
    background = np.ascontiguousarray(wanted.background.array[..., :3])
    first = _alone(render, wanted) if wanted.alone or wanted.fit == 0 else None
    free = _free_place(wanted, first)
    if wanted.fit == 0:
        yield Result(over(background, [first])[None], wanted.scene, Timings())
        yield Result(first[None], wanted.scene, Timings())
        return
    start = background if first is None else over(background, [first])
    painted = render(wanted.scene.but(image=Picture.from_array(start), mask=mask_picture(free), strength=wanted.fit))
    picture = painted.pixels[0][..., :3]
    yield Result(picture[None].copy(), painted.job, painted.timings, painted.notes)
    rgba, notes = taken_out(picture, background, free, first), ()
    if rgba is None:
        rgba, notes = first if first is not None else _alone(render, wanted), (NOT_TOLD,)
    yield Result(rgba[None], painted.job, Timings(), notes)


def _alone(render: Render, wanted: InFront) -> np.ndarray:
    """The thing painted alone, in its box, uint8 [H, W, 4]."""
    *_, made = asset(render, replace(wanted.thing, job=wanted.thing.job.but(seeds=wanted.thing.job.seeds[:1])))
    return put(made.pixels[0], wanted.box, wanted.scene.extent, wanted.ground)


def _free_place(wanted: InFront, first: np.ndarray | None) -> np.ndarray:
    """Bool [H, W]: where the picture may change."""
    size = wanted.background.height, wanted.background.width
    margin = max(2, round(MARGIN_SHARE * min(size)))
    if first is not None:
        return grown(first[..., 3] > 0, margin)
    free = np.zeros(size, bool)
    x0, y0, x1, y1 = wanted.box
    free[y0:y1, x0:x1] = True
    return free


def taken_out(picture: np.ndarray, background: np.ndarray, free: np.ndarray, first: np.ndarray | None = None) -> np.ndarray | None:
    """What `picture` has and `background` has not (both uint8 [H, W, 3]) inside `free` as straight RGBA [H, W, 4]; None when that is next
    to nothing or all of it. `first`: the thing the picture was made from, whose inside is the thing whatever the difference says."""
    differs = cv2.GaussianBlur(np.linalg.norm(lab(picture) - lab(background), axis=2), (0, 0), 1)
    labels = np.full(free.shape, cv2.GC_BGD, np.uint8)
    labels[free] = cv2.GC_PR_BGD
    labels[free & (differs > SEEN)] = cv2.GC_PR_FGD
    labels[free & (differs > SURE)] = cv2.GC_FGD
    if first is not None:
        labels[free & (first[..., 3] < SOLID) & (differs <= SURE)] = cv2.GC_PR_BGD
        labels[free & grown(held(first), -2)] = cv2.GC_FGD
    thing = without_specks(grabbed(picture, labels) & free)
    if not LEAST < thing.sum() / max(1, free.sum()) < MOST:
        return None
    alpha = cv2.GaussianBlur(cv2.erode(thing.astype(np.float32), np.ones((3, 3))), (0, 0), 0.8)
    return np.dstack([inner_colours(picture, thing), (alpha * 255).round().astype(np.uint8)])


def _published(render: Render, wanted: InFront) -> Iterator[Result]:
    """By LayerDiffuse."""
    job, back = wanted.scene, wanted.background
    if wanted.frames:
        seed, each = job.seeds[0], (wanted.thing.job.prompt, job.prompt)
        two = render(job.but(seeds=(seed, seed + 1), each=each, adapters=(*job.adapters, AdapterUse(wanted.frames, 1.0, back))))
        yield Result(two.pixels[1:, ..., :3].copy(), two.job, two.timings, two.notes)
        yield Result(two.pixels[:1].copy(), two.job, Timings())
        return
    blend = render(job.but(adapters=(*job.adapters, AdapterUse(wanted.blend, 1.0, back))))
    yield blend
    seen = (Picture.from_array(blend.pixels[0][..., :3]),)
    yield render(job.but(prompt=wanted.thing.job.prompt, adapters=(*job.adapters, AdapterUse(wanted.fore, 1.0, back, seen))))


@dataclass(frozen=True)
class Both:
    """A thing in `box` and a place around it. place_job: words, seed and size of the place; settings: of Behind; frames: id of the
    published adapter that paints thing, place and scene together, "" = one after the other."""
    thing: Wanted
    place_job: Job
    box: Box
    ground: bool = True
    frames: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def both(render: Render, wanted: Both) -> Iterator[Result]:
    """Yields the scene uint8 [1, H, W, 3], the background alone, and last the thing alone, uint8 [1, H, W, 4], all on the canvas."""
    if wanted.frames:
        yield from _joint(render, wanted)
        return
    *_, made = asset(render, replace(wanted.thing, job=wanted.thing.job.but(seeds=wanted.thing.job.seeds[:1])))
    thing = put(made.pixels[0], wanted.box, wanted.place_job.extent, wanted.ground)
    yield from behind(render, Behind(wanted.place_job, Picture.from_array(thing), wanted.thing.job.prompt, **wanted.settings))
    yield Result(thing[None], made.job, made.timings, made.notes)


def _joint(render: Render, wanted: Both) -> Iterator[Result]:
    """Frames of one batch, in the order of the file: thing, place, scene."""
    job, words = wanted.place_job, wanted.thing.job.prompt.strip()
    scene, seed = f"{words} {job.prompt.strip()}", wanted.place_job.seeds[0]
    each = (words, job.prompt, scene)
    three = render(job.but(prompt=scene, seeds=(seed, seed + 1, seed + 2), each=each, adapters=(*job.adapters, AdapterUse(wanted.frames))))
    for number, channels in ((2, 3), (1, 3), (0, 4)):
        yield Result(three.pixels[number:number + 1, ..., :channels].copy(), three.job, three.timings if number == 2 else Timings(), three.notes)
