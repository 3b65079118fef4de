"""Several things changed at once, each from its own best depth of noise: object-aware inversion and reassembly.

After OIR (Yang et al. 2024, arXiv 2310.12149), in the form for few-step bases: there is nothing to invert, so the noise level from which a
thing is painted again is what is searched. For every pair of words candidates are painted from all depths; judge A says how well the target
words fit what stands in the mask (against the source words too, or a taxi left as it was would pass for a bus), and the change around it,
in dB, how much else was disturbed. Both are brought to 0..1 over the candidates and added (its eq. 5); a pair whose best candidate the judge
does not believe is left as it was, because the best of all bad ones is bad too. Then the regions are put together, each inside its own mask,
and may be drawn together by a light pass over all of them.
"""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled
from models.flows._edit_desk import Desk, How
from models.flows._edit_instant import close_up, instant
from models.flows._edit_masks import Found, crop_of
from models.flows._edit_seeing import OTHERS
from models.flows._edit_words import named
from models.flows.edit import Edited
from models.flows.plan_edit import Step
from models.job import Picture
from models.words.instructions import bare

DEPTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FLOOR = 0.2                                          # the judge's chance that the best candidate must reach
MOST_PAIRS, MOST_DEPTHS, SHARED = 8, 16, 0.1         # the share of the smaller mask that two may have in common; the later one loses it
NOT_BELIEVED = "No depth made it look like {target}, so it was left as it was."


@dataclass(frozen=True)
class Pair:
    """What is there -> what it becomes; mask: the user's own, None = found by words."""
    source: str
    target: str
    mask: Picture | None = None


@dataclass(frozen=True)
class Oir:
    """scene: words of the whole picture, for the pass that draws the regions together. seams: how far up the noise that starts, 0 = none.
    chosen: (pair, depth) numbers that the user picked instead of the search. floor: see FLOOR."""
    pairs: tuple[Pair, ...]
    how: How = How()
    depths: tuple[float, ...] = DEPTHS
    scene: str = ""
    seams: float = 0.0
    floor: float = FLOOR
    chosen: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if len(self.pairs) > MOST_PAIRS:
            raise BadInput(f"{len(self.pairs)} changes at once are more than {MOST_PAIRS}.", "Do them in two goes.")
        if not 1 <= len(self.depths) <= MOST_DEPTHS or not all(0 < depth <= 1 for depth in self.depths):
            raise BadInput(f"Depths must be 1 to {MOST_DEPTHS} numbers above 0 and at most 1.")
        if not 0 <= self.seams <= 1 or not 0 <= self.floor <= 1:
            raise BadInput("Seams and floor must lie in 0..1.")
        for pair in self.pairs:
            if not pair.source.strip() or not pair.target.strip():
                raise BadInput("Each row needs both words: what is there, and what it becomes.")
            if bare(pair.source).lower() == bare(pair.target).lower():
                raise BadInput(f'"{pair.source}" becomes itself.', "Name another thing.")
        if bad := [(p, d) for p, d in self.chosen if not (0 <= p < len(self.pairs) and 0 <= d < len(self.depths))]:
            raise BadInput(f"There is no candidate {bad[0]}.")


@dataclass(frozen=True)
class Candidates:
    """The strip of one pair. pictures: the whole picture with that change, one a depth; edit: how well the target fits, 0..1; keep: what
    stayed around the mask, in dB; score: both, brought to 0..1 and added. chosen: number of a depth, None = rejected."""
    number: int
    pair: Pair
    mask: Picture = field(repr=False)
    depths: tuple[float, ...]
    pictures: tuple[Picture, ...] = field(repr=False)
    edit: tuple[float, ...]
    keep: tuple[float, ...]
    score: tuple[float, ...]
    chosen: int | None
    notes: tuple[str, ...] = ()


def oir(engine: Any, picture: Picture, wanted: Oir, progress: Progress = ignore_progress, cancel: Cancel = never_cancel) -> Iterator[Candidates | Edited]:
    """Yields Candidates a pair, then one Edited with everything together; without pairs only that, and it is the picture. Raises NotThere."""
    begin, desk = time.perf_counter(), Desk(engine, picture, wanted.how, Step("repaint", words="-"), progress, cancel)
    masks = _masks(desk, wanted.pairs)
    out, union, notes = desk.rgb.copy(), np.zeros(desk.rgb.shape[:2], np.float32), ()
    for number, (pair, found) in enumerate(zip(wanted.pairs, masks)):
        progress(number, len(masks), f"{pair.source} -> {pair.target}")
        strip = _strip(desk, wanted, number, found)
        yield strip
        notes = (*notes, *strip.notes)
        if strip.chosen is not None:
            inside = found.alpha > 0
            out[inside] = _rgb(strip.pictures[strip.chosen])[inside]
            union = np.maximum(union, found.alpha)
    after = _together(desk, wanted, out, union)
    step = Step("repaint", ", ".join(bare(pair.source) for pair in wanted.pairs), ", ".join(pair.target for pair in wanted.pairs), why="Object by object.")
    mask = Picture.from_array(np.where(union > 0, np.uint8(255), np.uint8(0))) if wanted.pairs else None
    yield Edited(0, step, picture, after, mask, min((found.score for found in masks), default=1.0), notes, (), time.perf_counter() - begin,
                 desk.jobs[-1] if desk.jobs else None)


def _masks(desk: Desk, pairs: Sequence[Pair]) -> list[Found]:
    """One a pair, none over another. Raises NotThere, and BadInput when two are nearly the same."""
    out: list[Found] = []
    taken = np.zeros(desk.rgb.shape[:2], bool)
    for pair in pairs:
        desk.step = Step("repaint", bare(pair.source), "-", mask=pair.mask)
        found = desk.find()
        inside = found.alpha > 0.04
        if (inside & taken).sum() > SHARED * max(1, inside.sum()):
            raise BadInput(f'"{pair.source}" lies where another change is.', "Mark the two places yourself, or do one after the other.")
        alpha = np.where(taken, 0, found.alpha).astype(np.float32)
        out.append(Found(Picture.from_array(np.where(alpha > 0, np.uint8(255), np.uint8(0))), found.score, found.how, True, (), alpha))
        taken |= inside
    return out


def _strip(desk: Desk, wanted: Oir, number: int, found: Found) -> Candidates:
    pair, where = wanted.pairs[number], found.alpha
    rows, columns = close_up(where, desk.rgb.shape)
    around = (1 - where)[rows, columns]
    pictures, edit, keep = [], [], []
    for depth in wanted.depths:
        if desk.cancel():
            raise Cancelled()
        free = instant(desk, named(pair.source), named(pair.target), depth, _window(where, rows, columns))
        off = ((free[rows, columns].astype(np.float32) - desk.rgb[rows, columns]) ** 2).mean(-1)
        keep.append(float(10 * np.log10(255 ** 2 / max(float((off * around).sum() / max(float(around.sum()), 1e-6)), 0.1))))
        mixed = (desk.rgb + (free.astype(np.float32) - desk.rgb) * where[..., None]).round().astype(np.uint8)
        pictures.append(desk.finish(mixed, where=where > 0))
        edit.append(desk.searcher.seer.chance(*crop_of(mixed, where), pair.target, (*OTHERS, named(pair.source))))
    score = tuple(float(v) for v in ranged(edit) + ranged(keep))
    own = dict(wanted.chosen).get(number)
    best = int(np.argmax(score)) if own is None else own
    believed = own is not None or edit[best] >= wanted.floor
    if not believed and max(edit) >= wanted.floor:                   # a deeper one that the judge does believe
        best, believed = int(np.argmax(np.where(np.array(edit) >= wanted.floor, score, -1))), True
    notes = () if believed else (NOT_BELIEVED.format(target=pair.target),)
    return Candidates(number, pair, found.mask, wanted.depths, tuple(pictures), tuple(edit), tuple(keep), score, best if believed else None, notes)


def _window(where: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """All of the square around a mask: what the change does to its surroundings is to be seen."""
    out = np.zeros_like(where)
    out[rows, columns] = 1
    return out if (out == 0).any() else np.ones_like(where)


def ranged(values: Sequence[float]) -> np.ndarray:
    """To 0..1 by least and most; equal ones become 0."""
    v = np.asarray(values, float)
    return (v - v.min()) / (v.max() - v.min()) if v.max() > v.min() else np.zeros_like(v)


def _together(desk: Desk, wanted: Oir, rgb: np.ndarray, union: np.ndarray) -> Picture:
    """The regions in one picture, and the light pass if there is to be one."""
    where = union > 0
    if not where.any():
        return desk.picture
    whole = desk.finish(rgb, where=where)
    if wanted.seams == 0:
        return whole
    before = wanted.scene or " and ".join(named(pair.source) for pair in wanted.pairs)
    after = before
    for pair in wanted.pairs:
        after = after.replace(bare(pair.source), bare(pair.target))
    step = Step("repaint", words="-")
    last = Desk(desk.engine, whole, wanted.how, step, desk.progress, desk.cancel)
    return last.finish(instant(last, before, after, wanted.seams, union), where=where)


def _rgb(picture: Picture) -> np.ndarray:
    return np.repeat(picture.array, 3, 2) if picture.channels == 1 else picture.array[..., :3]
