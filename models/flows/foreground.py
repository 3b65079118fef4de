"""A thing put into imagined places without growing there: Anywhere (Xie et al. 2024, arXiv 2404.18598) in small.

A base that paints around a cut-out likes to go on painting it. So the painted place is looked at: what hangs together with the thing but
lies outside it is over-imagined, U is its share of the thing's area (section 3.3), and it is painted away with words of the place alone,
the best of a few seeds at a time, until little is left. Last the thing is pasted in again. Places and their reasons come from rules
(models/flows/_places.py) in place of the paper's language agents.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled
from models.flows import Render
from models.flows._canvas import grown, mask_picture, over
from models.flows._cutout import SOLID
from models.flows._places import SCENES, places
from models.flows._unknown import Hand, result_of
from models.flows.behind import Behind, behind
from models.flows.cutout import NET, Look
from models.flows.outpaint import inpaint
from models.job import Job, Picture, Result
from models.nouns import words_of
from models.spec import BaseSpec

TRIES = 2                                            # seeds a repair chooses from
NEAR_SHARE = 1 / 80                                  # of the shorter side: soft edges this near to the thing are no growth
MEND_SHARE = 1 / 32                                  # so far around what has grown is painted anew
LEAST_SHARE = 0.01                                   # of the thing's area: smaller pieces are no growth
MOST_REPAIRS, MOST_PLACES = 4, 8


@dataclass(frozen=True)
class Foreground:
    """job: base, style, steps, seed; its size is the canvas. things: straight RGBA of it. words: what the thing is. repairs: how often what
    has grown may be painted away; enough: the U at which nothing needs to be. settings: of models.flows.behind, as its `suited` says."""
    job: Job
    things: Picture
    places: tuple[str, ...]
    words: str = ""
    repairs: int = 2
    enough: float = 0.03
    reasons: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.things.channels != 4 or not (self.things.array[..., 3] >= SOLID).any():
            raise BadInput("There is no thing with an outline on the canvas.", "Cut it out first.")
        if (self.things.array[..., 3] >= SOLID).all():
            raise BadInput("The thing fills the whole canvas; there is no place around it.", "Make it smaller.")
        if not 1 <= len(self.places) <= MOST_PLACES or not all(place.strip() for place in self.places):
            raise BadInput(f"1 to {MOST_PLACES} places in words are needed.", "Say where it is, for example: on a beach.")
        if not 0 <= self.repairs <= MOST_REPAIRS or not 0 <= self.enough <= 1:
            raise BadInput(f"0 to {MOST_REPAIRS} repairs can be made.")


def places_for(words: str, product: np.ndarray, spec: BaseSpec, count: int = 4) -> list[tuple[str, str]]:
    """(words of a place, a sentence that says why) for a thing, RGBA uint8 [H, W, 4], best first."""
    said = {form for word in words_of(words) for form in (word.text, word.text.removesuffix("s"))}

    def why(place: str) -> str:
        plain = next((scene for scene in SCENES if place.startswith(scene)), "")
        known = sorted(said & set(SCENES.get(plain, "").split()))
        if known:
            return f"A {known[0]} is often seen {plain}."
        return "Its colours stand out there." if "background" in place else "A place that most things can be in."
    return [(place, why(place)) for place in places(words, product, spec, count)]


def foreground(render: Render, look: Look, wanted: Foreground, hand: Hand = Hand(), progress: Progress = ignore_progress,
               cancel: Cancel = never_cancel) -> Iterator[Result]:
    """Yields the thing in each place, uint8 [1, H, W, 3]; Result.seen["growth"] is U before and after the repair."""
    steps = wanted.repairs + 1
    for number, place in enumerate(wanted.places):
        tell = lambda done, what, n=number: progress(n * steps + done, len(wanted.places) * steps, what)
        tell(0, f"painting it {place}")
        job = wanted.job.but(prompt=place, seeds=(wanted.job.seeds[0],), each=())
        painted = next(iter(behind(render, Behind(job, wanted.things, wanted.words, **wanted.settings))))
        rgb = over(painted.pixels[0], [wanted.things.array])
        rgb, growth = _repaired(render, look, wanted, job, hand, rgb, tell, cancel)
        why = wanted.reasons[number:number + 1]
        yield result_of(rgb, painted, (*why, *_told(growth)), growth=np.float32([growth[0], growth[-1]]))


def _told(growth: Sequence[float]) -> tuple[str, ...]:
    if len(growth) < 2 or growth[-1] >= growth[0]:
        return ()
    return (f"It had grown by {growth[0]:.0%}; that was painted away, {growth[-1]:.0%} is left.",)


def _repaired(render: Render, look: Look, wanted: Foreground, job: Job, hand: Hand, rgb: np.ndarray, tell: Any,
              cancel: Cancel) -> tuple[np.ndarray, list[float]]:
    """(the picture with as little growth as was found, U after each round)."""
    things = wanted.things.array
    extra = grown_parts(look, rgb, things)
    growth = [share(extra, things)]
    for round_ in range(wanted.repairs):
        if growth[-1] <= wanted.enough:
            break
        if cancel():
            raise Cancelled()
        tell(round_ + 1, "painting away what has grown")
        mask = mask_picture(grown(extra, max(2, round(MEND_SHARE * min(rgb.shape[:2])))))
        if (mask.array > 0).all():
            break
        seeds = tuple(job.seeds[0] + 101 * round_ + k for k in range(1, TRIES + 1))
        tried = [over(r.pixels[0], [things]) for r in inpaint(render, Picture.from_array(rgb), mask, job.but(seeds=seeds), hand, cancel=cancel)]
        found = [grown_parts(look, one, things) for one in tried]
        best = int(np.argmin([share(one, things) for one in found]))
        if share(found[best], things) >= growth[-1]:
            break
        rgb, extra = tried[best], found[best]
        growth.append(share(extra, things))
    return rgb, growth


def grown_parts(look: Look, rgb: np.ndarray, things: np.ndarray) -> np.ndarray:
    """Bool [H, W]: what the matting net takes for the thing (uint8 RGBA [H, W, 4], shown to it as what is to be kept) but lies outside it, in
    pieces that touch it."""
    solid = things[..., 3] >= SOLID
    near = max(1, round(NEAR_SHARE * min(rgb.shape[:2])))
    core = cv2.erode(solid.astype(np.uint8), np.ones((2 * near + 1,) * 2, np.uint8), borderValue=1) > 0
    hints = np.dstack([core.astype(np.uint8) * 255, np.zeros(core.shape, np.uint8)])
    outside = (look(NET, np.ascontiguousarray(rgb), hints=hints) >= SOLID) & ~grown(things[..., 3] > 0, near)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=8)
    touching = set(np.unique(labels[grown(things[..., 3] > 0, 2 * near + 1)]).tolist()) - {0}
    least = LEAST_SHARE * solid.sum()
    return np.isin(labels, [i for i in touching if stats[i, cv2.CC_STAT_AREA] >= least])


def share(extra: np.ndarray, things: np.ndarray) -> float:
    """U: the area of what has grown over that of the thing."""
    return float(extra.sum() / max(1, (things[..., 3] >= SOLID).sum()))


def growth(look: Look, rgb: np.ndarray, things: np.ndarray) -> float:
    """U of a picture that a thing was painted into."""
    return share(grown_parts(look, rgb, things), things)
