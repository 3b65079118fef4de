"""Where in a picture the thing is that words speak of: pieces that could be things, and for each how well the words fit.

Pieces come from the matting percept, taken apart where they do not touch; where it finds nothing, from attention maps and GrabCut. What a piece
is comes from three sides: judge A (models/flows/_edit_seeing.py), cross-attention of the word where the base's maps are worth it (the adapter
attention_record, on one noised step; Hertz et al. 2022, "Prompt-to-Prompt") and colours where the words name some. A score below FLOOR means
"not there".
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from models.contracts import Cancel, never_cancel
from models.errors import BadInput, Cancelled
from models.flows._canvas import grown
from models.flows._cutout import box_of
from models.flows._edit_seeing import Seer
from models.flows._edit_words import colour_share, colours_in, named, without_colours
from models.flows.cutout import Cut, cut_out
from models.flows.whole_object import alpha_of, noun_maps
from models.job import AdapterUse, Job, Picture
from models.nouns import nouns_of, words_of
from models.words.instructions import BACKGROUND, EVERYTHING, MAIN

FLOOR = 0.30                                         # a score below it means that the thing is not there
LEAST_SHARE, MOST_SHARE, MOST_PIECES = 0.002, 0.95, 12
JOIN_SHARE = 0.012                                   # of the side: pieces nearer than this are one thing
ATTENTION_AT, ATTENTION_WEIGHT = 0.5, 0.35           # the noise level, as strength, and how much maps count beside the classifier
NECKS, WIDE, PART_SHARE = (0.3, 0.45, 0.6), 0.5, 0.12 # depths, of the deepest, at which a piece may fall apart; what a part must have to be one
ALL_OF_THEM = 0.8                                    # of the best score: with a plural, pieces above it belong to the answer too


class NotThere(BadInput):
    """Words for something that was not found. `score`: 0..1 of the best guess, `best`: its mask or None."""

    def __init__(self, target: str, score: float, best: Picture | None) -> None:
        super().__init__(f'There seems to be no "{target}" in this picture.', "Use another word for it, or mark the place yourself.")
        self.target, self.score, self.best = target, score, best


@dataclass(frozen=True)
class Found:
    """mask: one channel, the size of the picture, 255 = it. score: 0..1. how: a sentence. there: whether score reached the floor."""
    mask: Picture
    score: float
    how: str
    there: bool
    notes: tuple[str, ...] = ()
    alpha: np.ndarray = field(default=None, repr=False, compare=False)              # float32 [H, W], the soft edge


@dataclass
class Searcher:
    """Looks at one picture: uint8 rgb [H, W, 3]. Pieces and maps are found once and kept."""
    engine: Any
    rgb: np.ndarray
    job: Job
    seer: Seer
    given: np.ndarray | None = None                  # the picture's own alpha, float32 [H, W]
    cancel: Cancel = never_cancel
    attends: bool = False                            # whether the base's attention says where a word is
    _pieces: list[np.ndarray] | None = None
    _maps: dict[str, np.ndarray | None] = field(default_factory=dict)

    @property
    def pieces(self) -> list[np.ndarray]:
        """Alphas float32 [H, W] of what could be things, the largest first."""
        if self._pieces is None:
            self._pieces = self._cut()
        return self._pieces

    def _cut(self) -> list[np.ndarray]:
        picture = Picture.from_array(self.rgb if self.given is None else np.dstack([self.rgb, (self.given * 255).round().astype(np.uint8)]))
        try:
            alpha = cut_out(self.engine.look, picture, Cut(decontaminate=False, islands=True), cancel=self.cancel).rgba[..., 3]
        except Cancelled:
            raise
        except BadInput:                             # one plain colour, or nothing that stands out
            return []
        alpha = alpha.astype(np.float32) / 255
        if (alpha > 0.5).mean() > MOST_SHARE and self.given is None:
            return []
        return taken_apart(alpha)

    def attention(self, words: str) -> np.ndarray | None:
        """float32 [H, W] in 0..1: where the last noun of `words` speaks; None where the base has no such maps."""
        if words not in self._maps:
            self._maps[words] = self._attended(words)
        return self._maps[words]

    def _attended(self, words: str) -> np.ndarray | None:
        job = self._looking(words)
        if job is None:
            return None
        maps = noun_maps(self.engine.render(job).seen, job.extent)
        if not len(maps):
            return None
        return cv2.resize(maps[-1], self.rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def _looking(self, words: str) -> Job | None:
        """One noised step on the picture that records attention; None where the base has no maps."""
        recorder = self.engine.catalog.able(self.job.base).granted.get("attention_maps", "")
        picture = Picture.from_array(self.rgb)
        uses = (AdapterUse(recorder),)
        return self.job.but(prompt=words, image=picture, strength=ATTENTION_AT, steps=1, mask=None, adapters=uses) if recorder else None

    def find(self, target: str) -> Found:
        """Never raises for what is not there: Found.there says so."""
        if target == EVERYTHING:
            return self._found(np.ones(self.rgb.shape[:2], np.float32), 1.0, "the whole picture")
        things = self.pieces
        if target == MAIN:
            return self._main(things)
        if target.lower() == BACKGROUND:
            union = np.max(things, 0) if things else np.zeros(self.rgb.shape[:2], np.float32)
            return self._found(1 - union, 1.0 if things else 0.5, "everything but the things")
        return self._named(target, things)

    def _main(self, things: Sequence[np.ndarray]) -> Found:
        if not things:
            return self._found(np.ones(self.rgb.shape[:2], np.float32), 0.4, "the whole picture, because no single thing stands out", there=True)
        height, width = self.rgb.shape[:2]
        y, x = np.mgrid[:height, :width]
        near = np.exp(-(((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) / 0.15)).astype(np.float32)
        best = max(things, key=lambda alpha: float((alpha * near).sum()))
        return self._found(best, 1.0 if len(things) == 1 else 0.7, "the thing that stands out most")

    def _named(self, target: str, things: Sequence[np.ndarray]) -> Found:
        colours, bare = colours_in(target), without_colours(target)
        if not things:
            return self._by_attention(target)
        scores = np.array([self.score(alpha, bare, colours) for alpha in things])
        if scores.max() < FLOOR and (parts := [part for piece in things for part in split_at_necks(piece)]):       # things that touch
            within = np.array([self.score(alpha, bare, colours) for alpha in parts])
            things, scores = (parts, within) if within.max() >= FLOOR else (things, scores)
        best = int(scores.argmax())
        chosen = things[best]
        if _plural(target):
            chosen = np.max([alpha for alpha, score in zip(things, scores) if score >= ALL_OF_THEM * scores[best]], 0)
        return self._found(chosen, float(scores[best]), f"one of {len(things)} things that stand out" if len(things) > 1 else "the only thing that stands out")

    def score(self, alpha: np.ndarray, words: str, colours: Sequence[str]) -> float:
        """How well a piece is described, 0..1."""
        score = 1.0
        if nouns_of(words) and words.split() and not {"thing", "things", "one"} >= {noun.text for noun in nouns_of(words)}:
            crop, weight = crop_of(self.rgb, alpha)
            score = self.seer.chance(crop, weight, words)
            attended = self.attention(named(words)) if self.attends and len(self.pieces) > 1 else None
            if attended is not None:
                score = score * (1 - ATTENTION_WEIGHT) + ATTENTION_WEIGHT * score * self._share_of_attention(alpha, attended)
        for colour in colours:
            score *= min(1.0, 2.5 * colour_share(self.rgb, alpha, colour))
        return score

    def _share_of_attention(self, alpha: np.ndarray, attended: np.ndarray) -> float:
        """A piece's mean attention over that of the piece that has most."""
        means = [float((attended * other).sum() / max(float(other.sum()), 1e-6)) for other in self.pieces]
        return float((attended * alpha).sum() / max(float(alpha.sum()), 1e-6)) / max(*means, 1e-6)

    def _by_attention(self, target: str) -> Found:
        """Nothing stands out: attention alone seeds GrabCut, and what comes out is judged like any piece."""
        alpha, job = np.zeros(self.rgb.shape[:2], np.float32), self._looking(named(target))
        if job is not None and int(np.ptp(self.rgb.reshape(-1, 3), axis=0).max()) > 2:
            small = cv2.resize(self.rgb, (job.extent.width, job.extent.height), interpolation=cv2.INTER_AREA)
            alpha = cv2.resize(alpha_of(small, self.engine.render(job).seen).astype(np.float32), self.rgb.shape[1::-1])
        if not LEAST_SHARE < (alpha > 0.5).mean() < MOST_SHARE:
            return self._found(alpha, 0.0, "nothing stands out in this picture")
        return self._found(alpha, self.score(alpha, without_colours(target), colours_in(target)), "where the words draw the network's attention")

    def _found(self, alpha: np.ndarray, score: float, how: str, there: bool | None = None) -> Found:
        alpha = alpha if self.given is None else np.minimum(alpha, self.given)
        inside = grown(alpha > 0.04, 1)
        mask, alpha = Picture.from_array(inside.astype(np.uint8) * 255), np.where(inside, alpha, 0).astype(np.float32)
        return Found(mask, round(score, 3), how, score >= FLOOR if there is None else there, (), alpha)


def taken_apart(alpha: np.ndarray) -> list[np.ndarray]:
    """float32 [H, W] of several things -> one alpha for each that does not touch another, the largest first."""
    side = min(alpha.shape)
    solid = (alpha > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(grown(solid > 0, max(1, round(JOIN_SHARE * side / 2))).astype(np.uint8), connectivity=8)
    areas = [(int((solid[labels == k]).sum()), k) for k in range(1, count)]
    kept = [k for area, k in sorted(areas, reverse=True) if area >= LEAST_SHARE * alpha.size][:MOST_PIECES]
    reach = max(2, round(JOIN_SHARE * side))
    own = lambda k: grown(labels == k, reach) & ((labels == k) | (labels == 0))
    return [np.where(own(k), alpha, 0).astype(np.float32) for k in kept]


def split_at_necks(alpha: np.ndarray) -> list[np.ndarray]:
    """Things that touch: the piece cut where it is narrow between wide parts (watershed over the distance to its edge); [] when it has none."""
    solid = alpha > 0.5
    deep = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    for level in NECKS:
        count, cores = cv2.connectedComponents((deep > level * deep.max()).astype(np.uint8))
        large = [k for k in range(1, count) if float(deep[cores == k].max()) > WIDE * deep.max()]
        if len(large) >= 2:
            _, nearest = cv2.distanceTransformWithLabels((~np.isin(cores, large)).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
            parts = [np.where(nearest == nearest[cores == k][0], alpha, 0).astype(np.float32) for k in large]
            return [part for part in parts if (part > 0.5).sum() >= PART_SHARE * solid.sum()]
    return []


def crop_of(rgb: np.ndarray, alpha: np.ndarray, margin: float = 0.12) -> tuple[np.ndarray, np.ndarray]:
    """A piece in the middle of a square of the picture's own, what is around it replaced by its mean colour: (uint8 [s, s, 3], weight [s, s])."""
    x0, y0, x1, y1 = box_of(alpha > 0.3) if (alpha > 0.3).any() else (0, 0, alpha.shape[1], alpha.shape[0])
    side = max(8, round(max(x1 - x0, y1 - y0) * (1 + 2 * margin)))
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    around = np.float32([255, 255, 255])
    out, weight = np.empty((side, side, 3), np.float32), np.zeros((side, side), np.float32)
    out[:] = around
    a, b, c, d = max(0, left), max(0, top), min(rgb.shape[1], left + side), min(rgb.shape[0], top + side)
    here = alpha[b:d, a:c, None]
    out[b - top:d - top, a - left:c - left] = rgb[b:d, a:c] * here + around * (1 - here)
    weight[b - top:d - top, a - left:c - left] = alpha[b:d, a:c]
    reach = max(3, round(side * 0.06)) | 1
    return out.round().astype(np.uint8), cv2.dilate(weight, np.ones((reach, reach)))


def _plural(target: str) -> bool:
    last = words_of(target)[-1].text if words_of(target) else ""
    return last.endswith("s") and not last.endswith(("ss", "us"))
