"""What style transfer is taught: a picture, a style picture that shows something else, and what the first looks like in that style.

Two kinds of truth. Emoji sets draw the same concept each in its own way; where two drawings lie over each other (the Fluent sets nearly
always, others often) one is the exact answer for the other, where they do not it tells colours and manner only. And looks drawn at random
(models.lab.looks_at_random) have an exact answer for everything. One set, HELD, is never shown as a style nor asked for: scores ask for it.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.files import write_atomic
from models.lab.items import Item
from models.lab.looks_at_random import random_look
from models.lab.pictures import BACKGROUNDS, SCENES, over, place, scene_background
from models.nets.style import eye_view

HELD = "twemoji"
SMALL = 32                                           # side of the silhouettes that tell how two drawings lie over each other
LOOSE, TIGHT = 0.75, 0.95                            # overlap at which a drawing begins to be, and is, the answer for another
RARE, RARE_SHARE = ("people", "symbols"), 0.15
WHITE = np.uint8([255, 255, 255])
PAPERS = np.float32(list(BACKGROUNDS.values()))


@dataclass
class Lesson:
    """content, target [B, 3, 256, 256], style [B, 3, 128, 128] in [0, 1]; exact [B]: how far the target is the very answer, 0..1;
    strength [B]: how much of the style is asked for, the target being mixed accordingly."""
    content: Tensor
    target: Tensor
    style: Tensor
    exact: Tensor
    strength: Tensor

    def to(self, device: str) -> Lesson:
        return Lesson(*(t.to(device) for t in (self.content, self.target, self.style, self.exact, self.strength)))


@dataclass(frozen=True)
class Shares:
    """How often a look at random is asked for instead of a set; a scene of several things; a strength between; none at all."""
    looks: float = 0.5
    scenes: float = 0.25
    between: float = 0.12
    nothing: float = 0.1


class Pairs:
    """Drawings of some splits by concept and set. `rgba` uint8 [N, 256, 256, 4] row for row with items."""

    def __init__(self, items: Sequence[Item], rgba: np.ndarray, small: np.ndarray, splits: Sequence[str] = ("train",),
                 targets: Sequence[str] | None = None) -> None:
        """`small`: of `silhouettes`. targets: the sets that are asked for; all but HELD when not given."""
        self.items, self.rgba, self.small = items, rgba, small
        self.of: dict[str, dict[str, int]] = defaultdict(dict)
        for i, item in enumerate(items):
            if item.split in splits:
                self.of[item.label].setdefault(item.source, i)
        self.targets = tuple(targets) if targets else tuple(sorted({item.source for item in items} - {HELD}))
        self.of = {label: rows for label, rows in self.of.items() if len(rows) > 1 and any(source in rows for source in self.targets)}
        self.labels = sorted(self.of)
        shares = np.array([RARE_SHARE if items[next(iter(self.of[label].values()))].category in RARE else 1.0 for label in self.labels])
        self.shares = shares / shares.sum()
        self.of_set = {source: [rows[source] for label, rows in self.of.items() if source in rows] for source in self.targets}

    def overlap(self, a: int, b: int) -> float:
        """Intersection over union of two silhouettes."""
        one, other = self.small[a], self.small[b]
        return float(np.minimum(one, other).sum() / np.maximum(np.maximum(one, other).sum(), 1e-6))

    def pair(self, label: str, target: str, rng: np.random.Generator) -> tuple[int, int]:
        """(content row, target row) of a concept, sets that lie over the target's drawing being likelier."""
        rows = self.of[label]
        goal = rows[target]
        others = [row for source, row in rows.items() if source != target]
        odds = np.array([max(self.overlap(row, goal) - 0.5, 0.02) ** 2 for row in others])
        return int(rng.choice(others, p=odds / odds.sum())), goal

    def label(self, target: str, rng: np.random.Generator) -> str:
        while True:
            label = str(rng.choice(self.labels, p=self.shares))
            if target in self.of[label]:
                return label

    def row(self, rng: np.random.Generator, shares: Shares = Shares(), target: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """(content, target, style picture, exact) of one row, uint8 [256, 256, 3] each."""
        as_look = not target and rng.random() < shares.looks
        target = target or str(rng.choice(self.targets))
        several = rng.random() < shares.scenes
        things = [self.pair(self.label(target, rng), target, rng) for _ in range(int(rng.integers(1, 4)) if several else 1)]
        paper = scene_background(str(rng.choice(SCENES)), rng) if several else self._paper(rng)
        spots = self._spots(len(things), several, rng)
        content, goal = paper, paper
        for (a, b), spot in zip(things, spots):
            content, goal = (over(place(np.asarray(self.rgba[row]), *spot), below) for row, below in ((a, content), (b, goal)))
        other = int(rng.choice(self.of_set[target]))
        shown = over(place(np.asarray(self.rgba[other]), float(rng.uniform(0.7, 1.05)), 0.5, 0.5, 0.0, bool(rng.random() < 0.5)), self._paper(rng))
        if not as_look:
            return content, goal, shown, float(np.mean([np.clip((self.overlap(a, b) - LOOSE) / (TIGHT - LOOSE), 0, 1) for a, b in things]))
        look = random_look(rng)
        return content, _looked(look, content), _looked(look, shown), 1.0

    def _paper(self, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.65:
            return np.broadcast_to(WHITE, (256, 256, 3))
        colour = (PAPERS[rng.integers(len(PAPERS))] + rng.integers(-12, 13, 3)).clip(0, 255).astype(np.uint8)
        return np.broadcast_to(colour, (256, 256, 3))

    @staticmethod
    def _spots(count: int, several: bool, rng: np.random.Generator) -> list[tuple[float, float, float, float, bool]]:
        """(scale, cx, cy, turn, flip) of each thing, the same for content and target."""
        flip = bool(rng.random() < 0.5)
        if not several:
            scale = float(rng.uniform(0.75, 1.0))
            return [(scale, *rng.uniform(0.5 - (1 - scale) / 3, 0.5 + (1 - scale) / 3, 2), float(rng.uniform(-8, 8)), flip)]
        return [(0.85 / count ** 0.6 * float(rng.uniform(0.8, 1)), (i + 0.5) / count, float(rng.uniform(0.45, 0.65)), 0.0, flip) for i in range(count)]

    def lesson(self, rng: np.random.Generator, size: int, shares: Shares = Shares(), target: str = "", side_px: int = 128) -> Lesson:
        rows = [self.row(rng, shares, target) for _ in range(size)]
        content, goal, shown = (torch.from_numpy(np.stack(column)).permute(0, 3, 1, 2).float() / 255 for column in list(zip(*rows))[:3])
        chance = rng.random(size)
        strength = np.where(chance < shares.nothing, 0.0, np.where(chance < shares.nothing + shares.between, rng.random(size), 1.0))
        g = torch.from_numpy(strength.astype(np.float32))
        exact = torch.where(g == 0, 1.0, torch.tensor([row[3] for row in rows]))
        return Lesson(content, torch.lerp(content, goal, g[:, None, None, None]), eye_view(shown, side_px), exact.float(), g)


def _looked(look, rgb: np.ndarray) -> np.ndarray:
    """A look on one picture, uint8 [H, W, 3]."""
    with torch.no_grad():
        out = look(torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255)[0]
    return (out.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def silhouettes(rgba: np.ndarray, cache: Path) -> np.ndarray:
    """float32 [N, 32, 32]: alpha of every drawing, made once and kept in `cache`."""
    if cache.exists() and len(kept := np.load(cache)) == len(rgba):
        return kept
    small = np.stack([cv2.resize(np.ascontiguousarray(one[..., 3]), (SMALL, SMALL), interpolation=cv2.INTER_AREA) for one in rgba])
    out = small.astype(np.float32) / 255

    def save(path: Path) -> None:
        with path.open("wb") as f:
            np.save(f, out)
    write_atomic(cache, save)
    return out
