"""Runs the steps of a plan on a picture, one after another, without training anything.

Every step finds where its words speak of (or takes the user's own mask), changes that and nothing else, and yields before, after and mask. A
step that is run again gets the `before` of its first run: same step, same picture. Card 19's rollback and card 13's search are built on it
(models/flows/check_fix.py, models/flows/oir.py).
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import Cancelled
from models.flows._edit_desk import Desk, How, check_mask
from models.flows._edit_instant import instant as _instant
from models.flows._edit_masks import Found, NotThere
from models.flows._edit_tools import WORKS
from models.flows.plan_edit import Plan, Step, running
from models.job import Job, Picture

__all__ = ["Edited", "Found", "How", "NotThere", "find", "instant", "run", "run_step"]


@dataclass(frozen=True)
class Edited:
    """One step that was done. mask: one channel, the size of `before`, 255 = could change; None = the whole picture. score: how sure the mask
    is, 0..1. others: alternatives of `after`. job: the last thing that was painted for it, None when nothing was."""
    number: int
    step: Step
    before: Picture = field(repr=False)
    after: Picture = field(repr=False)
    mask: Picture | None = field(repr=False)
    score: float
    notes: tuple[str, ...] = ()
    others: tuple[Picture, ...] = field(default=(), repr=False)
    seconds: float = 0.0
    job: Job | None = field(default=None, repr=False)


def run(engine: Any, picture: Picture, plan: Plan, how: How = How(), progress: Progress = ignore_progress, cancel: Cancel = never_cancel,
        start: int = 0) -> Iterator[Edited]:
    """Yields one Edited a step that is on. start: the first step to run, `picture` being what it works on. Raises BadInput, NotThere,
    Cancelled; what was yielded before stays good."""
    for number, step in running(plan, start):
        done = run_step(engine, picture, step, how, progress, cancel, number)
        yield done
        picture = done.after


def run_step(engine: Any, picture: Picture, step: Step, how: How = How(), progress: Progress = ignore_progress, cancel: Cancel = never_cancel,
             number: int = 0) -> Edited:
    """One step alone."""
    if cancel():
        raise Cancelled()
    begin = time.perf_counter()
    desk = Desk(engine, picture, how, step, progress, cancel)
    made = WORKS[step.tool](desk)
    found = made.found
    notes = (*made.notes, *(found.notes if found else ()))
    progress(1, 1, "done")
    return Edited(number, step, picture, made.after, found.mask if found else None, found.score if found else 1.0, notes, made.others,
                  time.perf_counter() - begin, desk.jobs[-1] if desk.jobs else None)


def find(engine: Any, picture: Picture, words: str, how: How = How(), cancel: Cancel = never_cancel) -> Found:
    """Select by words. Never raises for what is not there: Found.there says so."""
    from models.words.instructions import bare
    plain = bare(words)
    return Desk(engine, picture, how, Step("cutout"), ignore_progress, cancel).searcher.find("" if plain == "it" else plain)


def instant(engine: Any, picture: Picture, source: str, target: str, how: How = How(), strength: float = 0.5, mask: Picture | None = None,
            cancel: Cancel = never_cancel) -> Picture:
    """One-step image-to-image with words for what is there and for what is wanted. Strength 0, or equal words: the picture bit for bit."""
    desk = Desk(engine, picture, how, Step("repaint", words=target), ignore_progress, cancel)
    if mask is not None:
        check_mask(mask, picture)
    where = None if mask is None else mask.array[..., 0].astype(np.float32) / 255
    if strength == 0 or source.strip() == target.strip():
        return picture
    return desk.finish(_instant(desk, source, target, strength, where), where=None if where is None else where > 0)
