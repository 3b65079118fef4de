"""A background for things that are there already: they are held, the place is painted around them, and then behind them too.

Masked latent blending (Avrahami et al. 2023, "Blended Latent Diffusion", section 3): the cells of the things are put back at every step, so
they do not grow (a network that is free around a cut-out likes to paint more of it), and their pixels come back bit for bit. The walk does
not start from noise but from the place painted alone, for the same reason. Where the published LayerDiffuse files for it are there
(foreground to blend, foreground and blend to background), they paint both instead.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from models import pixels
from models.catalog import Abilities
from models.errors import BadInput
from models.flows import Render
from models.flows._canvas import grown, held, mask_picture, over
from models.flows._cutout import emptied
from models.job import AdapterUse, Job, Picture, Result, Timings
from models.spec import EMBEDDED

REACH_SHARE = 1 / 16                                 # of the shorter side: how far around things the last pass mends what they left


@dataclass(frozen=True)
class Behind:
    """`job`: the words of the place, its seed, size, style, steps. things: RGBA of the whole canvas, what stands in front.

    words: what the things are; said only to the published files, because a place that hears of them paints them again. around: how free
    the place is, 0..1. empty: take what the base paints into the middle of every place out first. blend, back: ids of the published
    adapters, "" = none; frames: id of the SD 1.5 one that paints both together.
    """
    job: Job
    things: Picture
    words: str = ""
    around: float = 0.6
    empty: bool = True
    blend: str = ""
    back: str = ""
    frames: str = ""

    def __post_init__(self) -> None:
        if not self.job.prompt.strip():
            raise BadInput("There are no words for the background.", "Say where it is, for example: on a beach.")
        if self.things.channels != 4 or (self.things.width, self.things.height) != (self.job.extent.width, self.job.extent.height):
            raise BadInput(f"What stands in front must be RGBA of {self.job.extent} px.")
        if not 0 < self.around <= 1:
            raise BadInput(f"Around {self.around} is outside 0..1.")


def suited(able: Abilities) -> dict[str, Any]:
    """The settings of Behind that suit a base."""
    small = able.spec.arch == EMBEDDED
    pair = {"blend": able.granted.get("fg2ble", ""), "back": able.granted.get("fgble2bg", "")}
    pair = pair if all(pair.values()) else {"blend": "", "back": ""}
    return {"around": 0.6 if small else 0.9, "empty": small, "frames": able.granted.get("fg2bg", ""), **pair}


def behind(render: Render, wanted: Behind) -> Iterator[Result]:
    """Yields the picture with the things in it, uint8 [1, H, W, 3], and last the background alone, of the same size."""
    yield from (_published if wanted.frames or wanted.blend else _around)(render, wanted)


def paint_place(render: Render, job: Job, empty: bool) -> np.ndarray:
    """The place alone, uint8 [H, W, 3]."""
    painted = pixels.flatten(Picture.from_array(render(job).pixels[0])).array
    return emptied(painted) if empty else painted


def _around(render: Render, wanted: Behind) -> Iterator[Result]:
    job = wanted.job.but(seeds=wanted.job.seeds[:1], image=None, mask=None, strength=1.0, each=())
    place, things = paint_place(render, job, wanted.empty), wanted.things.array
    kept = held(things) if (things[..., 3] > 0).any() else np.zeros(place.shape[:2], bool)
    first = job.but(image=Picture.from_array(over(place, [things])), mask=mask_picture(~kept), strength=wanted.around)
    painted = render(first)
    yield Result(painted.pixels[:, ..., :3], first, painted.timings, painted.notes)
    yield _mended(render, wanted, job, place, painted)


def _mended(render: Render, wanted: Behind, job: Job, place: np.ndarray, painted: Result) -> Result:
    """The background without its things: under and right around them the place alone, drawn together with the rest in a light pass."""
    reach = max(2, round(REACH_SHARE * min(place.shape[:2])))
    near = grown(wanted.things.array[..., 3] > 0, reach)
    if not near.any():
        return painted
    soft = cv2.GaussianBlur(grown(near, reach // 2).astype(np.float32), (0, 0), reach / 3)[..., None]
    patched = (painted.pixels[0][..., :3] * (1 - soft) + place * soft).round().astype(np.uint8)
    last = job.but(image=Picture.from_array(patched), mask=mask_picture(grown(near, reach)), strength=0.5 * wanted.around)
    result = render(last)
    return Result(result.pixels[:, ..., :3], last, result.timings, result.notes)


def _published(render: Render, wanted: Behind) -> Iterator[Result]:
    """By LayerDiffuse. The scene is told in one sentence, the background by the words of the place."""
    job = wanted.job.but(seeds=wanted.job.seeds[:1], image=None, mask=None, strength=1.0)
    scene = ", ".join(part for part in (wanted.words.strip(), job.prompt.strip()) if part)
    if wanted.frames:
        use, seed = AdapterUse(wanted.frames, 1.0, wanted.things), job.seeds[0]
        both = render(job.but(prompt=scene, seeds=(seed, seed + 1), each=(job.prompt, scene), adapters=(*job.adapters, use)))
        yield Result(both.pixels[1:, ..., :3].copy(), both.job, both.timings, both.notes)
        yield Result(both.pixels[:1, ..., :3].copy(), both.job, Timings(), ())
        return
    blend = render(job.but(prompt=scene, adapters=(*job.adapters, AdapterUse(wanted.blend, 1.0, wanted.things))))
    yield blend
    seen = (Picture.from_array(blend.pixels[0][..., :3]),)
    yield render(job.but(adapters=(*job.adapters, AdapterUse(wanted.back, 1.0, wanted.things, seen))))
