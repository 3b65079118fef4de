"""Where product, words and logo of an advertisement go: templates, a score, and annealing. No pixels.

After PAID (2025, arXiv 2501.14316), which plans a layout before the picture is painted. Its planner is a language model; here 64
templates are jittered, scored by what a designer would check, and the best are annealed. Nothing here is learned.
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from models.job import Extent
from models.words.layout import anneal, outside, shared_share
from models.words.lettering import measure
from models.layers.stack import Text

UNIT_PX = 100.0                                      # type is measured once at this size
MARGIN, GAP = 0.06, 0.045                            # of the shorter side: to the edge; between texts
LEAST_TYPE = 0.034                                   # of the shorter side: a smaller size is not read on a phone
TALL_LINES = 4
CALL_WORDS = 3                                       # a last tagline of so few words is a call to action, on a plate
PLATE = (0.75, 0.5)                                  # how far a plate reaches out of its words, in sizes of the type
BEST, ANNEAL_MOVES = 8, 220
NEAR_BEST = 0.45                                     # in energy: a layout that is so much worse is shown only for want of better ones
SIDES = ("left", "right", "top", "bottom")           # of the canvas, where the product stands
ALIGNS = ("left", "center", "right")


@dataclass(frozen=True)
class Setting:
    """One way to break words into lines, at size 1: its ink's width and height, the box width that breaks them so, and their number."""
    width: float
    height: float
    wrap: float = 0.0
    lines: int = 1


@dataclass(frozen=True)
class Part:
    """kind: product, headline, line, call, logo. ways: how it may be set; a picture has one, of its own shape and of height 1."""
    kind: str
    ways: tuple[Setting, ...]
    words: str = ""
    font: str = ""

    @property
    def is_text(self) -> bool:
        return self.kind in ("headline", "line", "call")


@dataclass(frozen=True)
class Poster:
    """A layout: one spot (centre x, centre y, size, way) a part, in pixels; size is that of the type, or a picture's height."""
    extent: Extent
    parts: tuple[Part, ...]
    spots: np.ndarray
    side: str
    align: str

    @property
    def boxes(self) -> np.ndarray:
        """[n, 4] of (x0, y0, x1, y1); a call's with its plate."""
        return boxes_of(self.parts, self.spots)

    def ink(self, i: int) -> tuple[float, float, float, float]:
        """The box of a text's ink alone."""
        x, y, size, way = self.spots[i]
        setting = self.parts[i].ways[int(way)]
        return x - setting.width * size / 2, y - setting.height * size / 2, x + setting.width * size / 2, y + setting.height * size / 2

    def text(self, i: int, colour: str) -> Text:
        """The text layer of part i."""
        part, (_, _, size, way) = self.parts[i], self.spots[i]
        return replace(_text(part.words, part.font, self.align), size_px=float(size), colour=colour, width_px=float(part.ways[int(way)].wrap * size))


def parts_of(product: tuple[int, int], taglines: Sequence[str], fonts: tuple[str, str], logo: tuple[int, int] | None) -> tuple[Part, ...]:
    """Parts of an advertisement: sizes of the pictures in pixels, the taglines (the first is the headline), (headline, text) fonts."""
    kinds = ["headline", *["line"] * (len(taglines) - 1)]
    if len(taglines) > 1 and len(taglines[-1].split()) <= CALL_WORDS and len(taglines[-1]) <= 22:
        kinds[-1] = "call"
    texts = [Part(kind, settings(words, fonts[kind != "headline"], 1 if kind == "call" else TALL_LINES), words, fonts[kind != "headline"])
             for kind, words in zip(kinds, taglines)]
    logos = [Part("logo", (Setting(logo[0] / logo[1], 1.0),))] if logo else []
    return (Part("product", (Setting(product[0] / product[1], 1.0),)), *texts, *logos)


@lru_cache(256)
def settings(words: str, font: str, most_lines: int) -> tuple[Setting, ...]:
    """The ways to break `words` into 1, 2 ... lines, each as narrow as so many lines allow, no word cut."""
    out = []
    for lines in range(1, min(most_lines, len(words.split())) + 1):
        text = _balanced(replace(_text(words, font), size_px=UNIT_PX), lines)
        block = measure(text)
        if len(block.lines) == lines:
            x0, y0, x1, y1 = block.ink
            out.append(Setting((x1 - x0) / UNIT_PX, (y1 - y0) / UNIT_PX, text.width_px / UNIT_PX, lines))
    return tuple(out) or (settings(words, font, 1))


def _text(words: str, font: str, align: str = "left") -> Text:
    return Text(words, font, UNIT_PX, align=align, line_height=1.12)


def _balanced(text: Text, lines: int) -> Text:
    """`text` in the narrowest box in which it has `lines` lines; one line: no box."""
    if lines == 1:
        return text
    low, high = 0.0, measure(text).width
    while high - low > 0.5:
        middle = (low + high) / 2
        block = measure(replace(text, width_px=middle))
        low, high = (middle, high) if block.broken or len(block.lines) > lines else (low, middle)
    return replace(text, width_px=high)


def boxes_of(parts: Sequence[Part], spots: np.ndarray) -> np.ndarray:
    out = np.empty((len(parts), 4))
    for i, (part, (x, y, size, way)) in enumerate(zip(parts, spots)):
        setting = part.ways[int(way)]
        wide, high = (setting.width * size / 2, setting.height * size / 2)
        if part.kind == "call":
            wide, high = wide + PLATE[0] * size, high + PLATE[1] * size
        out[i] = x - wide, y - high, x + wide, y + high
    return out


# --- the score ----------------------------------------------------------------------------------------------------------

def terms(poster: Poster) -> dict[str, float]:
    """What is wrong with a layout, each 0 when nothing is: what the solver minimises the sum of."""
    parts, boxes, extent = poster.parts, poster.boxes, poster.extent
    side = min(extent.width, extent.height)
    texts = [i for i, part in enumerate(parts) if part.is_text]
    grown = boxes + np.array([-1, -1, 1, 1]) * 0.4 * GAP * side
    return {"overlap": 10 * float(shared_share(grown).sum()), "edge": 8 * outside(boxes, extent, MARGIN * side),
            "alignment": 4 * _unaligned(boxes[texts], poster.align) / side, "order": 2 * _disorder(boxes[texts]),
            "gaps": 1.5 * _uneven(boxes[texts], GAP * side) / side, "balance": _unbalance(boxes, extent),
            "type": _type(poster, texts, side), "pictures": _pictures(poster, boxes, side)}


def energy(poster: Poster) -> float:
    return sum(terms(poster).values())


def _unaligned(boxes: np.ndarray, align: str) -> float:
    """How far apart the edges (or middles) of the texts are that should be in line."""
    line = {"left": boxes[:, 0], "right": boxes[:, 2], "center": (boxes[:, 0] + boxes[:, 2]) / 2}[align]
    return float(line.max() - line.min())


def _disorder(boxes: np.ndarray) -> int:
    """Texts that begin above the one before them."""
    return int((np.diff(boxes[:, 1]) < 0).sum())


def _uneven(boxes: np.ndarray, wanted: float) -> float:
    return float(np.abs(boxes[1:, 1] - boxes[:-1, 3] - wanted).sum())


def _unbalance(boxes: np.ndarray, extent: Extent) -> float:
    """How far the middle of all weight is from the middle of the canvas, sideways twice as bad, as a share of its sides."""
    weight = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    middle = (weight[:, None] * (boxes[:, :2] + boxes[:, 2:]) / 2).sum(0) / weight.sum()
    dx, dy = np.abs(middle / (extent.width, extent.height) - 0.5)
    return float(2 * dx + dy)


def _type(poster: Poster, texts: Sequence[int], side: float) -> float:
    """A headline as large as can be, other type about .45 of it, none too small to read."""
    out, head = 0.0, poster.spots[texts[0], 2]
    for i in texts:
        size = poster.spots[i, 2]
        wanted = 0.15 * side if i == texts[0] else max(LEAST_TYPE * side, (0.45 if poster.parts[i].kind == "line" else 0.4) * head)
        out += 0.8 * abs(math.log(size / wanted)) + 6 * max(0.0, LEAST_TYPE - size / side)
    return out


def _pictures(poster: Poster, boxes: np.ndarray, side: float) -> float:
    """A product that takes three tenths of the canvas; a small logo in a corner."""
    out = 0.0
    for i, part in enumerate(poster.parts):
        x0, y0, x1, y1 = boxes[i]
        if part.kind == "product":
            out += 1.2 * abs(math.log((x1 - x0) * (y1 - y0) / (0.3 * poster.extent.width * poster.extent.height)))
        elif part.kind == "logo":
            near = min(x0, poster.extent.width - x1) + min(y0, poster.extent.height - y1) - 2 * MARGIN * side
            out += abs(math.log(math.sqrt((x1 - x0) * (y1 - y0)) / (0.13 * side))) + 3 * abs(near) / side
    return out


# --- templates and the search -------------------------------------------------------------------------------------------

def templates(extent: Extent, parts: tuple[Part, ...]) -> list[Poster]:
    """64 starts: the product's side, how texts align, how large the product is, and where in their part the texts stand."""
    ways = itertools.product(SIDES, ALIGNS, (0.5, 0.6), (0.0, 0.35, 0.65))
    return [_template(extent, parts, *way) for way in itertools.islice(ways, 72) if way[1] != "right" or way[0] == "left" or way[3] > 0][:64]


def _template(extent: Extent, parts: tuple[Part, ...], side: str, align: str, share: float, at: float) -> Poster:
    """The canvas cut in two: the product fills `share` of it, the texts stand in the rest, `at` of the spare room from its top."""
    size = np.array([extent.width, extent.height], float)
    margin = MARGIN * size.min()
    field, room = _halves(size, side, share)
    spots = np.zeros((len(parts), 4))
    for i, part in enumerate(parts):
        if part.kind == "product":
            wide, high_ = field[1] - field[0]
            spots[i] = *(field[0] + field[1]) / 2, min(high_, wide / part.ways[0].width) * 0.96, 0
        elif part.kind == "logo":
            height = 0.13 * size.min() / math.sqrt(part.ways[0].width)
            spots[i] = size[0] - margin - part.ways[0].width * height / 2, size[1] - margin - height / 2, height, 0
    _stack_texts(parts, spots, room, align, at, size.min())
    return Poster(extent, parts, spots, side, align)


def _halves(size: np.ndarray, side: str, share: float) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(product's field, texts' field), each (upper left, lower right corner)."""
    axis, first, gap = 0 if side in ("left", "right") else 1, side in ("left", "top"), GAP * size.min()
    low, high = np.zeros(2) + MARGIN * size.min(), size - MARGIN * size.min()
    cut = low[axis] + (share if first else 1 - share) * (high[axis] - low[axis])
    upper, lower = high.copy(), low.copy()
    upper[axis], lower[axis] = (cut, cut + gap) if first else (cut - gap, cut)
    return ((low, upper), (lower, high))[::1 if first else -1]


def _stack_texts(parts: Sequence[Part], spots: np.ndarray, room: tuple[np.ndarray, np.ndarray], align: str, at: float, side: float) -> None:
    """Write the spots of the texts: under each other in `room`, as large as all of them fit."""
    (x0, y0), (x1, y1) = room
    texts = [i for i, part in enumerate(parts) if part.is_text]
    share = {"headline": 1.0, "line": 0.45, "call": 0.42}
    for head in np.geomspace(0.2 * side, 0.02 * side, 18):
        for i in texts:
            size = max(LEAST_TYPE * side, share[parts[i].kind] * head)
            fits = [k for k, way in enumerate(parts[i].ways) if way.width * size <= x1 - x0 - (2 * PLATE[0] * size if parts[i].kind == "call" else 0)]
            spots[i] = 0, 0, size, fits[0] if fits else len(parts[i].ways) - 1
        boxes = boxes_of(parts, spots)[texts]
        wide, high = (boxes[:, 2] - boxes[:, 0]).max(), (boxes[:, 3] - boxes[:, 1]).sum() + GAP * side * (len(texts) - 1)
        if wide <= x1 - x0 and high <= y1 - y0:
            break
    y = y0 + at * max(0.0, y1 - y0 - high)
    for i, (bx0, by0, bx1, by1) in zip(texts, boxes):
        w, h = bx1 - bx0, by1 - by0
        spots[i, :2] = {"left": x0 + w / 2, "right": x1 - w / 2, "center": (x0 + x1) / 2}[align], y + h / 2
        y += h + GAP * side


def moved(poster: Poster, heat: float, rng: np.random.Generator) -> Poster:
    """One proposal: shift, resize or re-break one part, or shift all texts together."""
    spots, side = poster.spots.copy(), min(poster.extent.width, poster.extent.height)
    i, kind = rng.integers(len(spots)), rng.random()
    texts = [k for k, part in enumerate(poster.parts) if part.is_text]
    if kind < 0.4:
        spots[i, :2] += rng.normal(0, 0.05 * side * (0.2 + heat), 2)
    elif kind < 0.7:
        spots[i, 2] *= math.exp(rng.normal(0, 0.12 * (0.3 + heat)))
    elif kind < 0.8:
        spots[i, 3] = rng.integers(len(poster.parts[i].ways))
    else:
        spots[texts, :2] += rng.normal(0, 0.05 * side * (0.2 + heat), 2)
    return replace(poster, spots=spots)


def settled(poster: Poster) -> Poster:
    """Texts brought exactly in line and onto whole pixels."""
    texts = [i for i, part in enumerate(poster.parts) if part.is_text]
    spots, boxes = poster.spots.copy(), poster.boxes
    line = {"left": boxes[texts, 0].mean(), "right": boxes[texts, 2].mean(), "center": boxes[texts][:, [0, 2]].mean()}[poster.align]
    for i in texts:
        now = {"left": boxes[i, 0], "right": boxes[i, 2], "center": boxes[i, [0, 2]].mean()}[poster.align]
        spots[i, 0] += line - now
    return replace(poster, spots=spots)


def is_clear(poster: Poster) -> bool:
    """Nothing overlaps and nothing leaves the canvas."""
    return shared_share(poster.boxes).max(initial=0) == 0 and outside(poster.boxes, poster.extent) == 0


def layouts(extent: Extent, parts: tuple[Part, ...], count: int, seed: int = 0) -> list[Poster]:
    """`count` good layouts that differ in the product's side or the alignment, best first, all of them clear; fewer where there is no
    room. Deterministic."""
    rng = np.random.default_rng(seed)
    starts = sorted((moved(t, 0.5, rng) if rng.random() < 0.3 else t for t in templates(extent, parts)), key=energy)
    best: dict[tuple[str, str], Poster] = {}
    for start in starts:
        best.setdefault((start.side, start.align), start)
    solved = [settled(anneal(start, energy, lambda p, heat: moved(p, heat, rng), rng, ANNEAL_MOVES, hot=0.3)[0]) for start in list(best.values())[:BEST]]
    clear = sorted((p for p in solved if is_clear(p)), key=energy)
    if not clear:
        clear = [p for p in map(settled, sorted(templates(extent, parts), key=energy)) if is_clear(p)]
    return _varied(clear)[:count]


def _varied(posters: Sequence[Poster]) -> list[Poster]:
    """Those near the best first; among them another side of the product, then another alignment, then the rest."""
    near = [p for p in posters if energy(p) <= energy(posters[0]) + NEAR_BEST]
    far = [p for p in posters if all(p is not q for q in near)]
    return _turns(near) + _turns(far)


def _turns(posters: Sequence[Poster]) -> list[Poster]:
    out: list[Poster] = []
    for key in (lambda p: p.side, lambda p: p.align, id):
        for poster in posters:
            if all(poster is not p and key(poster) != key(p) for p in out):
                out.append(poster)
    return out
