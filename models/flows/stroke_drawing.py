"""Drawings of strokes pulled towards words and, at the same time, towards the look of a picture: StyleCLIPDraw (Schaldenbrand et al. 2022).

The first strokes are laid over a picture that the base paints of the words, in the colours of the style picture, and coarsely that picture is
held (ours: far sooner there than from chance, and a small judge alone is soon pleased by scribbles). Then the judge of pictures and words
(models.percepts.judge) pulls at points, widths and colours. It is borrowed for a second at a time, so that live frames
are painted in between. What comes out is SVG with one element a stroke, bottom to top.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models import pixels
from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled, MissingWeights
from models.job import MAX_SEED, Extent, Job, Picture
from models.lines import silhouette
from models.vector.strokes import Strokes, at_random, from_picture, in_colours_of, paper_of, svg_of

PERCEPT = "judge"
ORDERS, STARTS = ("coupled", "decoupled"), ("picture", "random")
LIMITS = {"style_weight": (0.0, 4.0), "strokes": (8, 256), "iterations": (10, 600), "size_px": (48, 160), "seed": (0, MAX_SEED)}
ON_PAPER = "on a white background"


@dataclass(frozen=True)
class Wish:
    """What is to be drawn. style: a picture whose manner it takes, with style_weight 0..4. avoid: words to stay away from. start: "picture"
    (the base paints one first, in its style `look`) or "random". order: "coupled", or "decoupled" as the paper's baseline."""
    words: str
    style: Picture | None = None
    style_weight: float = 1.0
    strokes: int = 96
    iterations: int = 200
    size_px: int = 96
    seed: int = 0
    avoid: tuple[str, ...] = ()
    start: str = "picture"
    base: str = "embedded"
    look: str = ""
    order: str = "coupled"

    def __post_init__(self) -> None:
        if not self.words.strip():
            raise BadInput("There are no words yet.", "Say what to draw.")
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"{name} {getattr(self, name)} is outside {low}..{high}.")
        for name, known in (("start", STARTS), ("order", ORDERS)):
            if getattr(self, name) not in known:
                raise BadInput(f'"{str(getattr(self, name))[:40]}" is no {name} of a drawing.', f"Known: {', '.join(known)}.")


@dataclass(frozen=True)
class Sketch:
    """The drawing after so many iterations. preview: RGB of size_px a side; told: "words" (cosine of the judge that pulls, no score) and
    "style" (distance), where they were looked at."""
    iteration: int
    iterations: int
    svg: str = field(repr=False)
    preview: Picture = field(repr=False)
    told: dict[str, float] = field(default_factory=dict)
    done: bool = False


def draw(engine: Any, wish: Wish, progress: Progress = ignore_progress, cancel: Cancel = never_cancel, every: int = 10) -> Iterator[Sketch]:
    """Yields the first strokes, then a Sketch every so many iterations, the last one done. Raises MissingWeights without the judge,
    Cancelled within one iteration of cancel()."""
    if PERCEPT not in engine.catalog.percepts:
        raise MissingWeights("The judge of pictures and words is not here.", "Train it with: python -m models.lab judge_towers")
    progress(0, wish.iterations, "first strokes")
    style = None if wish.style is None or not wish.style_weight else pixels.flatten(wish.style).array[..., :3]
    strokes, held = _first(engine, wish, style, cancel)
    draft = engine.borrow(PERCEPT, lambda judge: judge.begin(strokes, wish.words.strip(), [w for w in wish.avoid if w.strip()], style, wish.style_weight,
                                                             wish.order, wish.iterations, wish.size_px, wish.seed, held))
    yield _sketch(engine, draft)
    while draft.done < wish.iterations:
        engine.borrow(PERCEPT, lambda judge: draft.advance(max(1, every), cancel))
        if cancel():
            raise Cancelled()
        progress(draft.done, wish.iterations, "drawing")
        yield _sketch(engine, draft)


def stroke_drawing(engine: Any, wish: Wish, progress: Progress = ignore_progress, cancel: Cancel = never_cancel) -> Sketch:
    """The finished drawing."""
    *_, last = draw(engine, wish, progress, cancel)
    return last


def _first(engine: Any, wish: Wish, style: np.ndarray | None, cancel: Cancel) -> tuple[Strokes, np.ndarray | None]:
    """The first strokes, and the picture that they lie over."""
    rng = np.random.default_rng(wish.seed)
    paper = np.ones(3) if style is None else paper_of(style)
    if wish.start == "random":
        return at_random(wish.strokes, rng, paper), None
    spec = engine.catalog.resolve_base(wish.base)
    side, steps = spec.native_px[0], max(spec.default_steps, min(4, spec.max_steps))
    painted = engine.render(Job(prompt=f"{wish.words.strip()}, {ON_PAPER}", base=spec.id, style=wish.look, seeds=(wish.seed,), steps=steps,
                                extent=Extent(side, side)), cancel=cancel)
    rgb = np.ascontiguousarray(painted.pixels[0][..., :3])
    on_white = np.where(silhouette(rgb)[..., None] > 0, rgb, np.uint8(255))                # some words bring paper of their own colour
    return from_picture(rgb, wish.strokes, rng, paper, style), on_white if style is None else in_colours_of(rgb, style)


def _sketch(engine: Any, draft: Any) -> Sketch:
    """Drawn in the engine's thread, where its tensors live."""
    rgb, strokes = engine.borrow(PERCEPT, lambda judge: (pixels.to_uint8(draft.shown()[None])[0], draft.strokes()))
    return Sketch(draft.done, draft.iterations, svg_of(strokes), Picture.from_array(rgb), dict(draft.told), draft.done >= draft.iterations)
