"""Training rows: every way one drawing is shown (plain, mirrored, moved, on a colour, as a sticker) and the composed scenes.

A row is an opaque picture with the captions that fit it. Rows are made on the fly from the rendered drawings and leave as
patch coefficients, so the big arrays on disk are latents, not pixels.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.lab.captions import captions, scene_caption
from models.lab.items import STICKER_SOURCES, STICKER_STYLE, Item
from models.lab.pictures import BACKGROUNDS, SCENES, may_flip, over, place, rng_for, scene_background, sticker

WHITE = np.uint8([255, 255, 255])
COLORS = [c for c in BACKGROUNDS if c != "white"]


# How often a row is drawn. Plain drawings carry the concepts; people and symbols are many, and few users ask for them.
WEIGHTS = {"plain": 1.0, "moved": 0.25, "color": 0.35, "sticker": 0.4, "scene": 0.35}
RARE_WEIGHT = 0.25
RARE_CATEGORIES = ("people", "symbols")


@dataclass(frozen=True)
class Row:
    """`rgb` is uint8 [256, 256, 3]; any of `captions` describes it. `kind` is one of WEIGHTS, `weight` its share of batches."""
    rgb: np.ndarray
    captions: tuple[str, ...]
    kind: str
    key: str
    weight: float


def _color(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    name = str(rng.choice(COLORS))
    return name, (np.float32(BACKGROUNDS[name]) + rng.integers(-12, 13, 3)).clip(0, 255).astype(np.uint8)


def rows_of(item: Item, rgba: np.ndarray) -> Iterator[Row]:
    """All rows of one drawing; people and symbols get only the plain one."""
    rng = rng_for("rows", item.key)
    words = tuple(captions(item, rng))
    rare = item.category in RARE_CATEGORIES
    row = lambda rgb, kind, caps: Row(rgb, tuple(caps), kind, item.key, RARE_WEIGHT if rare else WEIGHTS[kind])
    yield row(over(rgba, WHITE), "plain", words)
    if rare:
        return
    moved = place(rgba, rng.uniform(0.94, 1.0), 0.5, 0.5, 0.0, flip=may_flip(item))
    yield row(over(moved, WHITE), "plain", words)
    moved = place(rgba, rng.uniform(0.6, 0.9), *rng.uniform(0.42, 0.58, 2), rng.uniform(-10, 10), may_flip(item) and rng.random() < 0.5)
    yield row(over(moved, WHITE), "moved", words)
    name, color = _color(rng)
    shown = place(rgba, rng.uniform(0.78, 0.94), 0.5, 0.5, 0.0, may_flip(item) and rng.random() < 0.5)
    yield row(over(shown, color), "color", captions(item, rng, where=f"on a {name} background"))
    if item.source in STICKER_SOURCES:
        name, color = _color(rng)
        yield row(over(sticker(rgba), color), "sticker", captions(item, rng, STICKER_STYLE, f"on a {name} background"))


def _slots(n: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """(scale, cx, cy) for n drawings side by side, standing near one ground line."""
    width = {1: 0.68, 2: 0.46, 3: 0.34, 4: 0.28}[n]
    ground = rng.uniform(0.74, 0.88)
    out = []
    for i in range(n):
        scale = width * rng.uniform(0.85, 1.05)
        out.append((scale, (i + 0.5) / n + rng.uniform(-0.04, 0.04), ground - scale * 0.46 + rng.uniform(-0.02, 0.04)))
    return out


def scene(number: int, pool: Sequence[Item], picture: Callable[[Item], np.ndarray]) -> Row:
    """Scene `number`: 1 to 4 drawings of one style on a drawn background, the caption saying what is where."""
    rng = rng_for("scene", number)
    style = str(rng.choice(sorted({i.style for i in pool})))
    same = [i for i in pool if i.style == style]
    chosen = [same[k] for k in rng.choice(len(same), int(rng.choice([1, 2, 3, 4], p=[0.45, 0.35, 0.13, 0.07])), replace=False)]
    where = str(rng.choice(SCENES))
    rgb = scene_background(where, rng)
    centres = []
    for item, (scale, cx, cy) in zip(chosen, _slots(len(chosen), rng)):
        rgb = over(place(picture(item), scale, cx, cy), rgb)
        centres.append(cx)
    return Row(rgb, (scene_caption([i.label for i in chosen], centres, where, style),), "scene", f"scene/{number}", WEIGHTS["scene"])


def scene_pool(items: Sequence[Item]) -> list[Item]:
    """Only things that can stand somewhere."""
    kinds = ("animals & nature", "food & drink", "objects", "travel & places", "activities")
    return [i for i in items if i.category in kinds and i.split == "train"]
