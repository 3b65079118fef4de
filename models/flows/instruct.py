"""One picture, one sentence: the instruction adapter (models.adapters.instruct) as a flow. What the sentence is taken for is said beside the
result; where hardly anything changed the picture's own pixels are put back, and what was cut out comes with its alpha.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.errors import BadInput
from models.flows import Render
from models.flows.tuned_edit import changed, fitted
from models.job import AdapterUse, Extent, Job, Picture, Result
from models.nets.instruct_tasks import TASKS, Understood, understood

if TYPE_CHECKING:
    from models.engine import Engine

__all__ = ["TASKS", "Instruct", "Instructed", "Understood", "available", "instruct", "understood"]
SIDE_PX, STEP_PX, MOST_PX = 256, 16, 512             # of the embedded base, which the adapter is for
WHOLE = ("edges", "restyle", "denoise", "deblur", "colourise")       # tasks after which no place is what it was
WEAK = {"deblur": "Sharpening", "colourise": "Colouring", "restyle": "Restyling"}
"""Tasks in which the adapter was no better than leaving the picture alone when it was last measured (assets/SCORES.md)."""
SURE = 0.35                                          # from here on a sentence counts as understood
KIND = "edit"


@dataclass(frozen=True)
class Instruct:
    """strength: 0 = the picture, 1 = as the sentence says. prompt: what the base itself is told, "" = the sentence."""
    instruction: str
    picture: Picture
    base: str = "embedded"
    steps: int = 2
    seeds: tuple[int, ...] = (0,)
    strength: float = 1.0
    prompt: str = ""
    style: str = ""

    def __post_init__(self) -> None:
        if len(self.instruction.strip()) < 2:
            raise BadInput("The instruction is empty.", f'Write for example: "{TASKS["recolour"].examples[0]}".')
        if not 0 <= self.strength <= 1:
            raise BadInput(f"Strength {self.strength} is outside 0..1.")


@dataclass(frozen=True, eq=False)
class Instructed:
    """picture: the given one's size; with alpha when the given one has it or it was cut out. job replays `raw`."""
    picture: Picture
    job: Job
    raw: Result | None
    understood: Understood
    notes: tuple[str, ...] = ()


def available(engine: Engine) -> str:
    """The id of an instruction adapter that is here; "" when there is none."""
    return next((spec.id for spec in engine.catalog.adapters.values() if spec.kind == KIND), "")


def instruct(render: Render, wanted: Instruct, adapter: str) -> Iterator[Instructed]:
    """One a seed. Raises what the render raises."""
    told = understood(wanted.instruction)
    job = job_of(wanted, adapter)
    if wanted.strength == 0:
        yield from (Instructed(wanted.picture, job.but(seeds=(seed,)), None, told) for seed in wanted.seeds)
        return
    raw = render(job)
    for seed, painted in zip(wanted.seeds, raw.pixels):
        picture, notes = _finished(wanted.picture, painted[..., :3], told)
        yield Instructed(picture, job.but(seeds=(seed,)), raw, told, notes)


def job_of(wanted: Instruct, adapter: str) -> Job:
    """The job that paints it."""
    extent = _extent(wanted.picture)
    use = AdapterUse(adapter, wanted.strength, fitted(wanted.picture, extent), words=wanted.instruction.strip())
    return Job(prompt=wanted.prompt.strip() or wanted.instruction.strip(), base=wanted.base, style=wanted.style, seeds=wanted.seeds, extent=extent,
               steps=wanted.steps, adapters=(use,))


def _extent(picture: Picture) -> Extent:
    scale = SIDE_PX / (picture.width * picture.height) ** 0.5
    side = lambda px: min(max(round(px * scale / STEP_PX) * STEP_PX, 4 * STEP_PX), MOST_PX)
    return Extent(side(picture.width), side(picture.height))


def _finished(given: Picture, painted: np.ndarray, told: Understood) -> tuple[Picture, tuple[str, ...]]:
    from models import pixels
    new = pixels.resize(Picture.from_array(painted), Extent(given.width, given.height)).array
    before = pixels.flatten(given).array
    clear = told.sure >= SURE
    notes = () if clear else ("The sentence is like none that was trained; it may be taken for something else.",)
    if clear and told.task in WEAK:
        notes += (f"{WEAK[told.task]} is what this adapter does badly: try the tool for it.",)
    if clear and told.task == "cutout":
        alpha = 255 - new.mean(2).round().astype(np.uint8)
        own = given.array[..., 3] if given.channels == 4 else np.full_like(alpha, 255)
        return Picture.from_array(np.dstack([given.array[..., :3] if given.channels == 4 else before, np.minimum(alpha, own)])), notes
    if not (clear and told.task in WHOLE):
        new = (before + changed(before, new)[..., None] * (new.astype(np.float32) - before)).round().clip(0, 255).astype(np.uint8)
    if given.channels == 4:
        return Picture.from_array(np.dstack([new, given.array[..., 3]])), (*notes, "The outline (alpha) of the picture was kept.")
    return Picture.from_array(new), notes
