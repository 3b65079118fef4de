"""Measures stroke drawings (StyleCLIPDraw): python -m models.lab stroke_scores n=10

Words and a style picture pull at the same strokes, at once (coupled) or one after the other (decoupled), in the same number of iterations.
Judge A pulls; judge B, of another form and seed, says which of all the words a drawing shows; how near the look of the style picture is, is
said by frozen ImageNet features.
"""
from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.lab.adapter_scores import write_section
from models.lab.evaluate import ASSETS, contact_sheet, machine
from models.lab.filters import FILTERS
from models.lab.items import Item
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.painter import Painter
from models.lab.pictures import over
from models.lab.style_scores import gain, to_bytes, unit, word_vectors
from models.nets.style import eye_view
from models.nets.style_judge import SIDE_PX, Judge
from models.vector.strokes import from_picture, in_colours_of, paper_of
from models.vector.strokes_raster import Draft, Pull, style_samples

HEADING = "## Stroke drawings"
WORDS = ("a red fox", "a sailboat", "a house", "a green tree", "a butterfly", "a cup of coffee", "a bicycle", "a red apple", "an owl", "a guitar",
         "a fish", "a castle", "a sunflower", "a car", "a cat face", "a rocket", "a mushroom", "an umbrella", "a piano", "a snowman")
STYLES = (("ink", "wrapped gift", "noto"), ("two-inks", "avocado", "fluent-emoji-flat"), ("blueprint", "castle", "noto"))
ITERATIONS, STROKES, DRAWN_PX = 100, 72, 80


@dataclass(frozen=True)
class Drawn:
    """One drawing, uint8 [96, 96, 3], and what was asked for."""
    rgb: np.ndarray
    words: int
    style: int
    order: str
    seconds: float


def style_pictures(items: Sequence[Item], rgba: np.ndarray) -> list[np.ndarray]:
    """A drawing in each of the looks of STYLES, uint8 [256, 256, 3]."""
    out = []
    for look_name, label, source in STYLES:
        row = next(i for i, item in enumerate(items) if (item.label, item.source) == (label, source))
        out.append(to_bytes(FILTERS[look_name].apply(unit(over(np.asarray(rgba[row]), np.uint8([255] * 3))[None])))[0])
    return out


def draw(judge: Judge, first: np.ndarray, towards: Tensor, style: np.ndarray, order: str, seed: int, iterations: int = ITERATIONS) -> np.ndarray:
    strokes = from_picture(first, STROKES, np.random.default_rng(seed), paper_of(style), style)
    shown, held = [eye_view(unit(style[None]), SIDE_PX)[0]], unit(in_colours_of(first, style)[None])[0]
    draft = Draft(strokes, judge, Pull(towards, None, style_samples(judge, shown), 1.0, order, held), iterations, DRAWN_PX, seed)
    draft.advance(iterations)
    return cv2.resize(to_bytes(draft.shown()[None])[0], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)


def rank_of(judge: Judge, drawings: Sequence[Drawn], vectors: Tensor) -> np.ndarray:
    """How many of all the words are nearer to each drawing than its own."""
    near = judge.vector(unit(np.stack([one.rgb for one in drawings]))) @ vectors.T
    own = near[torch.arange(len(drawings)), torch.tensor([one.words for one in drawings])]
    return (near > own[:, None]).sum(1).numpy()


def run_stroke_scores(painter: Painter, a: Judge, b: Judge, items: Sequence[Item], rgba: np.ndarray, command: str, n: int, sheet: Path,
                      out: Path = ASSETS / "SCORES.md") -> str:
    """Draw `n` words in every style both ways, measure, write the section and a sheet; returns it."""
    words, styles = WORDS[:n], style_pictures(items, rgba)
    firsts = painter.paint([f"{text}, on a white background" for text in words], [""] * len(words), range(len(words)), 4, "student")
    with torch.no_grad():
        towards, judged = (word_vectors(judge, words, painter.text) for judge in (a, b))
    drawn: list[Drawn] = []
    for number, first in enumerate(firsts):
        for k, style in enumerate(styles):
            for order in ("coupled", "decoupled"):
                begin = time.monotonic()
                drawn.append(Drawn(draw(a, first, towards[number], style, order, number), number, k, order, time.monotonic() - begin))
        print(f"{number + 1} of {len(words)} words drawn", flush=True)
    text = _told(drawn, firsts, words, styles, b, judged, command)
    _sheet(drawn, firsts, styles, sheet)
    write_section(out, HEADING, text)
    return text


def _told(drawn: Sequence[Drawn], firsts: np.ndarray, words: Sequence[str], styles: Sequence[np.ndarray], b: Judge, judged: Tensor, command: str) -> str:
    eyes, of = FeatureNet(), {order: [one for one in drawn if one.order == order] for order in ("coupled", "decoupled")}
    wanted = look(eyes, styles)[:, POOLED:]
    far = {order: np.array([np.abs(f - wanted[one.style]).mean() for f, one in zip(look(eyes, [d.rgb for d in some])[:, POOLED:], some)])
           for order, some in of.items()}
    ranks = {order: rank_of(b, some, judged) for order, some in of.items()}
    small = [Drawn(cv2.resize(rgb, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), i, 0, "", 0.0) for i, rgb in enumerate(firsts)]
    first = rank_of(b, small, judged)
    seconds = np.mean([one.seconds for one in drawn])
    rows = [f"| right words first among {len(words)}, by judge B ↑ | {(ranks['coupled'] == 0).mean():.2f} | {(ranks['decoupled'] == 0).mean():.2f} | "
            f"{(first == 0).mean():.2f} (the painted picture) |",
            f"| distance to the style picture's look ↓ | {far['coupled'].mean():.3g} | {far['decoupled'].mean():.3g} | "
            f"decoupled {gain(far['decoupled'], far['coupled'])} |"]
    return "\n".join([f"{len(words)} words x {len(styles)} styles, {STROKES} strokes, {ITERATIONS} iterations at {DRAWN_PX} px, {seconds:.0f} s each, "
                      f"{datetime.date.today().isoformat()}, {machine()}, {command}. Chance of the first row {1 / len(words):.2f}.", "",
                      "| | coupled | decoupled | |", "|---|---|---|---|", *rows])


def _sheet(drawn: Sequence[Drawn], firsts: np.ndarray, styles: Sequence[np.ndarray], path: Path) -> None:
    """A line a word: the painted picture, then style and drawing, coupled."""
    lines = []
    for number in range(min(len(firsts), 5)):
        mine = {one.style: one.rgb for one in drawn if one.words == number and one.order == "coupled"}
        lines += [firsts[number], *(picture for k, style in enumerate(styles) for picture in (style, mine[k]))]
    contact_sheet([cv2.resize(p, (256, 256), interpolation=cv2.INTER_CUBIC) for p in lines], [""] * len(lines), 1 + 2 * len(styles)).save(path, quality=85)
