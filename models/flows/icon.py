"""Icons: from words, going on from a beginning, a region written anew, and words between words.

After Wu et al. 2023 ("IconShop"), sections 5.2 to 5.5. What is not valid (a sequence that does not end, or draws nothing) is dropped and
asked for again with another seed; how often that was is told. They come in the order of how much the words made them
likelier (models.vector.writing.Written.fit); with `of` > 1 more are written than are kept, which the judge of assets/SCORES.md calls a tie.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled
from models.job import MAX_SEED
from models.vector.gaps import ROUNDING, changes, filled, gap_in
from models.vector.pathtokens import BACK, END, FILL, SHEET, STROKE, Icon, drawing_of, icon_of, read_tokens, tokens_of
from models.vector.vectors import Drawing, draw, read, write
from models.vector.writing import Bounds, Manner

Borrow = Callable[[str, Callable[[Any], Any]], Any]  # Engine.borrow
PERCEPT = "icons"
MODES = {"stroke": STROKE, "fill": FILL}
MOST = 16
ROUNDS = 3
VISIBLE = 0.004                                      # of the sheet that an icon covers at least
Region = tuple[float, float, float, float]           # left, top, right, bottom in shares of the sheet, 0..1


@dataclass(frozen=True)
class Wish:
    """What an icon is to be: words (phrases with commas), blended with `other` words by `blend` in [0, 1]; mode: "stroke" or "fill"; of:
    so many are written for each that is kept."""
    words: str
    mode: str = "stroke"
    other: str = ""
    blend: float = 0.0
    manner: str = "any"
    top_p: float = 0.6
    guidance: float = 1.5
    colour: str = "#000000"
    of: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadInput(f'"{self.mode}" is no way to draw an icon.', f"Known: {', '.join(MODES)}.")
        if not re.fullmatch("#[0-9a-fA-F]{6}", self.colour):
            raise BadInput(f'"{self.colour[:20]}" is not a colour.', "Write it as #rrggbb.")
        if not 1 <= self.of <= 16:
            raise BadInput(f"{self.of} written for each that is kept is outside 1..16.")
        if not 0 <= self.blend <= 1:
            raise BadInput(f"A blend of {self.blend} is outside 0..1.")


@dataclass(frozen=True)
class Drawn:
    """One icon and the seed it came from."""
    svg: str
    seed: int


@dataclass(frozen=True)
class Drawings:
    """icons: as many as were valid, at most as many as asked for; tried, valid: sequences written, and how many were icons."""
    icons: tuple[Drawn, ...]
    tried: int
    valid: int


@dataclass(frozen=True)
class _Order:
    """One thing to write: what is given, how it ends, and what makes a drawing of what was written, or raises BadInput."""
    given: Sequence[int]
    ends_with: int
    drawing: Callable[[tuple[int, ...]], Drawing]
    digits: int = 2
    bounds: Bounds = Bounds()


def icons(borrow: Borrow, wish: Wish, count: int = 8, seed: int = 0, progress: Progress = ignore_progress, cancel: Cancel = never_cancel) -> Drawings:
    """`count` icons for words; the same seed, the same icons. Raises BadInput without words, Cancelled."""
    return _written(borrow, wish, _Order([MODES[wish.mode]], END, lambda tokens: drawing_of(read_tokens(tokens), wish.colour)), count, seed, progress, cancel)


def finish(borrow: Borrow, svg: str, wish: Wish, count: int = 4, seed: int = 0, progress: Progress = ignore_progress,
           cancel: Cancel = never_cancel) -> Drawings:
    """Icons that begin with what `svg` draws, which stays as it is, rounded to the grid."""
    begun = icon_of(read(svg))
    return _written(borrow, wish, _Order(tokens_of(begun)[:-1], END, lambda tokens: drawing_of(_more(read_tokens(tokens), begun), wish.colour)),
                    count, seed, progress, cancel)


def _more(icon: Icon, begun: Icon) -> Icon:
    if len(icon.units) <= len(begun.units):
        raise BadInput("Nothing was added.")
    return icon


def repaint(borrow: Borrow, svg: str, region: Region, wish: Wish, count: int = 4, seed: int = 0, progress: Progress = ignore_progress,
            cancel: Cancel = never_cancel) -> Drawings:
    """The drawing with what lies in `region` written anew, in its own colours. The sub-paths inside are replaced; or, where that is more,
    what one path draws there, from where it enters the region to where it leaves it. Where there is nothing, something is added. Outside
    nothing changes."""
    if not (0 <= region[0] < region[2] <= 1 and 0 <= region[1] < region[3] <= 1):
        raise BadInput("The region lies outside the icon.", "Draw a box over a part of it.")
    drawing = read(svg)
    gap = gap_in(drawing, region)
    order = _Order(gap.given, BACK, lambda tokens: _kept(filled(gap, tokens), drawing, region), 4, gap.bounds)
    return _written(borrow, wish, order, count, seed, progress, cancel)


def _kept(new: Drawing, old: Drawing, region: Region) -> Drawing:
    """The new one, unless it looks the same, or ink left the region, as the long corners of sharp lines can."""
    within, outside = changes(new, old, region)
    if outside > ROUNDING or within <= ROUNDING:
        raise BadInput("The new part leaves its region, or is what was there.")
    return new


def _written(borrow: Borrow, wish: Wish, order: _Order, count: int, seed: int, progress: Progress, cancel: Cancel) -> Drawings:
    """Up to ROUNDS batches, until enough are valid; of them the `count` that fit their words best, best first."""
    if not 1 <= count <= MOST:
        raise BadInput(f"{count} icons at once is outside 1..{MOST}.")
    found: dict[tuple[int, ...], tuple[float, Drawn]] = {}
    tried, valid, wanted = 0, 0, count * wish.of
    for _ in range(ROUNDS * wish.of):
        progress(min(len(found), wanted), wanted, "drawing")
        seeds = [(seed + tried + i) % (MAX_SEED + 1) for i in range(count)]
        rows = borrow(PERCEPT, lambda percept: _batch(percept, wish, order, seeds, cancel))
        tried += count
        for row, own in zip(rows, seeds, strict=True):
            if drawing := _drawing(row, order):
                valid += 1
                found.setdefault(row.tokens, (row.fit, Drawn(write(drawing, order.digits), own)))
        if len(found) >= wanted or (tried >= wanted and len(found) >= count):
            break
        if cancel():
            raise Cancelled()
    best = sorted(found.values(), key=lambda one: -one[0])[:count]
    progress(wanted, wanted, "done")
    return Drawings(tuple(one for _, one in best), tried, valid)


def _batch(percept: Any, wish: Wish, order: _Order, seeds: Sequence[int], cancel: Cancel) -> list[Any]:
    text = percept.vector(wish.words)
    if wish.other.strip() and wish.blend > 0:
        text = percept.between(text, percept.vector(wish.other), weights=(1 - wish.blend, wish.blend))
    manner = Manner(wish.top_p, wish.guidance, percept.manner(wish.manner))
    return percept.write(text, order.given, seeds, manner, order.ends_with, cancel, order.bounds)


def _drawing(row: Any, order: _Order) -> Drawing | None:
    """What was written as a drawing, None when it is not valid."""
    try:
        drawing = order.drawing(row.tokens) if row.ended else None
    except BadInput:
        return None
    return drawing if drawing and (draw(drawing, 48) > 127).mean() > VISIBLE else None


def region_of(points: Sequence[float]) -> Region:
    """A box in units of the icon's sheet as shares of it."""
    left, top, right, bottom = (min(max(v / SHEET, 0.0), 1.0) for v in points)
    return left, top, right, bottom
