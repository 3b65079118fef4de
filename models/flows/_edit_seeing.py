"""How well words name what a crop shows, as a chance among common things, so that something that is not there loses against them.

Judge A (the percept "judge") compares picture and words in milliseconds. Where it is not installed the base itself is asked, which takes a
second a crop and knows less: noise is put on the crop, and the name under which the base removes it best is the likeliest (Li et al. 2023,
"Your Diffusion Model is Secretly a Zero-Shot Classifier", eq. 5). On held-out drawings in scenes the judge named the right piece of a scene
in 27 of 27 cases and told present from absent names at an area under the curve of .98, the base (teacher, one noise level) at .87; the
attention maps of the embedded base pointed at the right piece no oftener than chance, so they are asked for other bases only.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from models import pixels
from models.errors import Cancelled
from models.flows import Render
from models.flows._edit_words import named
from models.job import Extent, Job, Picture

JUDGE, SHARPNESS = "judge", 12.0                     # of the softmax over cosines
ASKED = {"embedded": "embedded-teacher"}             # who is asked where there is no judge
LEVEL, BATCH, RELATIVE = 0.7, 16, 60.0               # noise, as strength; of the softmax over relative errors
KEPT = 4096
OTHERS = ("a dog", "a bird", "a fish", "a tree", "a flower", "a pizza", "a car", "a boat", "a house", "a hammer", "a smiling face", "a shirt", "a cup",
          "a book", "a guitar")


@dataclass
class Seer:
    """Answers are kept in `known` by crop and name; it may be shared by several, for a crop is looked at again after every step."""
    engine: Any
    render: Render
    job: Job
    cancel: Any = None
    known: dict[tuple[str, str, str], float] = field(default_factory=dict)

    @property
    def by_judge(self) -> bool:
        return JUDGE in self.engine.catalog.percepts

    def chance(self, crop: np.ndarray, weight: np.ndarray, words: str, among: Sequence[str] | None = None) -> float:
        """How likely uint8 crop [h, w, 3] shows `words`, 0..1, what else it could be being `among`; weight [h, w]: where to look."""
        rest = [other for other in (OTHERS if among is None else among) if differ(other, words)]
        evidence = self.evidence(crop, weight, [named(words), *rest])
        odds = np.exp(evidence - evidence.max())
        return float(odds[0] / odds.sum())

    def evidence(self, crop: np.ndarray, weight: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Log odds a name, but for a constant, float [names]."""
        if self.by_judge:
            return SHARPNESS * self._kept(JUDGE, crop, names, self._likeness)
        side = self.job.extent
        shown = cv2.resize(crop, (side.width, side.height), interpolation=cv2.INTER_AREA if crop.shape[0] > side.height else cv2.INTER_CUBIC)
        where = cv2.resize(weight.astype(np.float32), (side.width, side.height))
        errors = self._kept(self.job.base, shown, names, lambda picture, part: self._errors(picture, where, part))
        return -RELATIVE * (errors / max(float(errors.mean()), 1e-9) - 1)

    def _kept(self, who: str, crop: np.ndarray, names: Sequence[str], ask: Any) -> np.ndarray:
        picture = Picture.from_array(crop)
        key = lambda name: (who, picture.digest, name)
        new = [name for name in dict.fromkeys(names) if key(name) not in self.known]
        for start in range(0, len(new), BATCH):
            part = new[start:start + BATCH]
            self.known.update(zip(map(key, part), ask(picture, part)))
        out = np.array([self.known[key(name)] for name in names])
        while len(self.known) > KEPT:
            self.known.pop(next(iter(self.known)))
        return out

    def _likeness(self, picture: Picture, names: Sequence[str]) -> list[float]:
        """Cosines of judge A."""
        return self.engine.borrow(JUDGE, lambda judge: (judge.look(pixels.to_tensor(picture)) @ judge.read(names).T)[0].tolist())

    def _errors(self, picture: Picture, where: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Mean squared error of the base's answer a name."""
        if self.cancel is not None and self.cancel():
            raise Cancelled()
        job = self.job.but(each=tuple(names), seeds=(0,) * len(names), image=picture, strength=LEVEL, mask=None)
        off = ((self.render(job).pixels[..., :3].astype(np.float32) - picture.array[..., :3].astype(np.float32)) ** 2).mean(-1)
        return (off * where).sum((1, 2)) / max(float(where.sum()), 1e-6)


def seer(engine: Any, render: Render, job: Job, side_px: int, cancel: Any = None, known: dict | None = None) -> Seer:
    """For the base of `job`, at its native size; one step, no guidance."""
    asked = job.but(base=ASKED.get(job.base, job.base), extent=Extent(side_px, side_px), steps=1, guidance=1.0, adapters=(), regions=(), style="", negative="")
    return Seer(engine, render, asked, cancel, {} if known is None else known)


def differ(other: str, words: str) -> bool:
    """Whether two names share no word: what is asked for must not compete with itself."""
    return not {*named(other).split()[1:]} & {*named(words).split()[1:]}
