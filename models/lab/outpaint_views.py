"""What outpainting is learned from: pictures of which only a part is known, made on the fly from the lab's drawings.

A canvas of 512 px holds a drawn place, a plain colour or white paper and up to four things. The target is a piece of it at the base's 256 px;
of that a box is known, or all but a hole or a band. The anchor is cut from the canvas itself, so it is as sharp as a user's picture would
be. Without words nothing invites a new thing, so things that lie wholly in the unknown are mostly left out then.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models.lab.captions import article, captions, scene_caption
from models.lab.cuttings import moved
from models.lab.items import Item
from models.lab.pictures import BACKGROUNDS, SCENES, may_flip, scene_background
from models.lab.rows import scene_pool

CANVAS_PX, ANCHOR_PX = 512, 256
EXTENTS = ((256, 256), (208, 320), (320, 208))       # rows, columns; the first most of the time
KINDS = {"box": 0.5, "side": 0.15, "hole": 0.25, "band": 0.1}
HIDDEN = 0.03                                        # of a thing's box: as little is known of one that lies in the unknown
Rng = np.random.Generator


@dataclass(frozen=True)
class ViewConfig:
    """square: share of square batches. scenes, several: shares of drawn places and of plain colours with several things; the rest is one
    thing on white or a colour. areas: how many times as large as the known box the canvas is. wordless: of rows; empty: of wordless rows
    in which things that are hidden are left out."""
    square: float = 0.75
    scenes: float = 0.55
    tinted: float = 0.4
    several: float = 0.12
    areas: tuple[float, float] = (1.25, 12.0)
    wordless: float = 0.55
    empty: float = 0.85


@dataclass(frozen=True)
class Thing:
    """Row of a drawing and where it stands on the canvas: its size and its middle in shares of the side."""
    row: int
    scale: float
    x: float
    y: float
    flip: bool = False


@dataclass(frozen=True)
class View:
    """target uint8 [H, W, 3]; known bool [H, W]; anchor straight uint8 [256, 256, 4], alpha 0 = unknown; box (x0, y0, x1, y1) of the anchor in
    shares of the target; words may be empty."""
    target: np.ndarray
    known: np.ndarray
    anchor: np.ndarray
    box: tuple[float, float, float, float]
    words: str


class Views:
    """Draws views from drawings uint8 [N, 256, 256, 4] of the splits named."""

    def __init__(self, items: Sequence[Item], drawings: np.ndarray, config: ViewConfig = ViewConfig(), splits: Sequence[str] = ("train",)) -> None:
        self.items, self.drawings, self.config = items, drawings, config
        self.rows = [i for i, item in enumerate(items) if item.split in splits]
        standing = {item.category for item in scene_pool(items)}
        self.standing = [i for i in self.rows if items[i].category in standing] or self.rows

    def extent(self, rng: Rng) -> tuple[int, int]:
        return EXTENTS[0] if rng.random() < self.config.square else EXTENTS[1 + int(rng.integers(len(EXTENTS) - 1))]

    def draw(self, rng: Rng, extent: tuple[int, int], kind: str = "") -> View:
        """One view with a target of `extent` (rows, columns)."""
        ground, things, words = self._scene(rng)
        window = self._window(rng, extent)
        known = known_part(kind or str(rng.choice(list(KINDS), p=list(KINDS.values()))), extent, self.config.areas, rng)
        wordless = rng.random() < self.config.wordless
        if wordless and rng.random() < self.config.empty:
            things = [thing for thing in things if not hidden(thing, window, known)]
        canvas = self.composed(ground, things)
        return view_of(canvas, window, known, "" if wordless else words)

    def _scene(self, rng: Rng) -> tuple[np.ndarray, list[Thing], str]:
        """(the ground uint8 [512, 512, 3], things on it, what it is in words)."""
        kind, c = rng.random(), self.config
        if kind < c.scenes:
            where, count = str(rng.choice(SCENES)), int(rng.choice(5, p=[0.15, 0.4, 0.25, 0.13, 0.07]))
            if rng.random() < c.tinted:
                where, ground = "", tinted(rng)
            else:
                ground = cv2.resize(scene_background(where, rng), (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
            level, things = rng.uniform(0.72, 0.88), []
            for i in range(count):
                scale = rng.uniform(0.22, 0.5) if count > 1 else rng.uniform(0.3, 0.7)
                things.append(Thing(int(rng.choice(self.standing)), scale, (i + 0.5) / count + rng.uniform(-0.08, 0.08), level - 0.46 * scale))
            return ground, things, self._said(things, where)
        colour = "white" if rng.random() < 0.55 else str(rng.choice(list(BACKGROUNDS)))
        ground = np.broadcast_to((np.float32(BACKGROUNDS[colour]) + (colour != "white") * rng.integers(-12, 13, 3)).clip(0, 255).astype(np.uint8),
                                 (CANVAS_PX, CANVAS_PX, 3))
        where = "" if colour == "white" else f"on a {colour} background"
        if kind < c.scenes + c.several:
            things = [Thing(int(rng.choice(self.rows)), rng.uniform(0.16, 0.35), *rng.uniform(0.15, 0.85, 2)) for _ in range(int(rng.integers(2, 6)))]
            return ground, things, self._said(things, where or "on a white background")
        row = int(rng.choice(self.rows))
        item = self.items[row]
        thing = Thing(row, rng.uniform(0.35, 1.0), *rng.uniform(0.4, 0.6, 2), flip=may_flip(item) and rng.random() < 0.5)
        return ground, [thing], str(rng.choice(captions(item, rng, where=where)))

    def _said(self, things: Sequence[Thing], where: str) -> str:
        if not things:
            return where
        if not where:
            return f"{' and '.join(article(self.items[t.row].label) for t in things)}, {self.items[things[0].row].style}"
        return scene_caption([self.items[t.row].label for t in things], [t.x for t in things], where, self.items[things[0].row].style)

    @staticmethod
    def _window(rng: Rng, extent: tuple[int, int]) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) of the target on the canvas, of the extent's shape."""
        longest = CANVAS_PX if rng.random() < 0.5 else int(rng.uniform(0.6, 1.0) * CANVAS_PX)
        high, wide = (round(longest * side / max(extent)) for side in extent)
        x, y = int(rng.integers(CANVAS_PX - wide + 1)), int(rng.integers(CANVAS_PX - high + 1))
        return x, y, x + wide, y + high

    def composed(self, ground: np.ndarray, things: Sequence[Thing]) -> np.ndarray:
        """uint8 [512, 512, 3]."""
        out = ground.astype(np.float32) / 255
        for thing in things:
            f = moved(np.asarray(self.drawings[thing.row]), CANVAS_PX, thing.scale / (CANVAS_PX / 512), (thing.x, thing.y), 0.0, thing.flip)
            out = f[..., :3] + out * (1 - f[..., 3:])
        return (out.clip(0, 1) * 255).round().astype(np.uint8)


def tinted(rng: Rng) -> np.ndarray:
    """uint8 [512, 512, 3]: a sky and a ground in any colours, so that colours are taken from what is known and not from words."""
    top, far, near = rng.uniform(10, 255, 3), rng.uniform(60, 255, 3), rng.uniform(10, 250, (2, 3))
    t = np.linspace(0, 1, CANVAS_PX, dtype=np.float32)[:, None, None]
    out = ((top + rng.uniform(0, 1) * (far - top)) * (1 - t) + far * t) * np.ones((1, CANVAS_PX, 1), np.float32)
    x, y = np.arange(CANVAS_PX) / CANVAS_PX * 2 * np.pi, np.arange(CANVAS_PX)[:, None]
    level = rng.uniform(0.55, 0.75)
    for colour, depth in zip(near[: int(rng.integers(1, 3))], (0.0, 0.12)):
        line = CANVAS_PX * (level + depth + rng.uniform(0, 0.03) * np.sin(x * rng.uniform(0.5, 2) + rng.uniform(0, 6)))
        out[y >= line[None]] = colour
    return out.clip(0, 255).astype(np.uint8)


def known_part(kind: str, extent: tuple[int, int], areas: tuple[float, float], rng: Rng) -> np.ndarray:
    """Bool [H, W]: a box of a random share of the canvas, all but one side, all but holes, or all but a band across."""
    height, width = extent
    known = np.zeros(extent, bool)
    if kind == "box":
        side = float(np.exp(rng.uniform(*np.log(areas)))) ** -0.5
        bent = float(np.exp(rng.normal(0, 0.2)))
        high, wide = (int(np.clip(full * side * b, 48, full)) for full, b in ((height, bent), (width, 1 / bent)))
        y, x = (int(rng.choice([0, full - part, rng.integers(full - part + 1)], p=[0.12, 0.12, 0.76])) for full, part in ((height, high), (width, wide)))
        known[y:y + high, x:x + wide] = True
        return known if not known.all() else known_part("side", extent, areas, rng)
    axis = int(rng.integers(2))
    full = extent[axis]
    if kind == "side":
        depth = int(rng.uniform(0.12, 0.75) * full)
        part = slice(0, depth) if rng.random() < 0.5 else slice(full - depth, full)
    elif kind == "band":
        depth = int(rng.uniform(0.15, 0.6) * full)
        start = int(rng.integers(16, full - depth - 15))
        part = slice(start, start + depth)
    else:
        return ~holes(extent, rng)
    known[...] = True
    known[(part, slice(None)) if axis == 0 else (slice(None), part)] = False
    return known


def holes(extent: tuple[int, int], rng: Rng) -> np.ndarray:
    """Bool [H, W]: one or two boxes, discs or strokes of a broad brush."""
    out, side = np.zeros(extent, np.uint8), min(extent)
    for _ in range(int(rng.choice([1, 2], p=[0.75, 0.25]))):
        x, y = int(rng.uniform(0.1, 0.9) * extent[1]), int(rng.uniform(0.1, 0.9) * extent[0])
        across, down = (int(side * v) for v in rng.uniform(0.08, 0.32, 2))
        kind = rng.random()
        if kind < 0.35:
            cv2.rectangle(out, (x - across, y - down), (x + across, y + down), 1, -1)
        elif kind < 0.7:
            cv2.ellipse(out, (x, y), (across, down), float(rng.uniform(0, 180)), 0, 360, 1, -1)
        else:
            points = np.int32([x, y] + np.cumsum(rng.normal(0, side * 0.09, (6, 2)), 0))
            cv2.polylines(out, [points], False, 1, int(side * rng.uniform(0.1, 0.25)))
    return out > 0 if 0 < out.mean() < 0.85 else holes(extent, rng)


def hidden(thing: Thing, window: tuple[int, int, int, int], known: np.ndarray) -> bool:
    """Whether nothing of a thing can be seen in what is known."""
    scale = known.shape[1] / (window[2] - window[0])
    x, y = (thing.x * CANVAS_PX - window[0]) * scale, (thing.y * CANVAS_PX - window[1]) * scale
    half = thing.scale * CANVAS_PX / 2 * scale
    part = known[max(0, int(y - half)):max(0, int(y + half)), max(0, int(x - half)):max(0, int(x + half))]
    return part.size == 0 or part.mean() < HIDDEN


def view_of(canvas: np.ndarray, window: tuple[int, int, int, int], known: np.ndarray, words: str) -> View:
    x0, y0, x1, y1 = window
    height, width = known.shape
    target = _resized(canvas[y0:y1, x0:x1], (width, height))
    ys, xs = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    top, bottom, left, right = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    box = left / width, top / height, right / width, bottom / height
    on = lambda share, low, high: low + round(share * (high - low))
    part = canvas[on(box[1], y0, y1):max(on(box[1], y0, y1) + 1, on(box[3], y0, y1)), on(box[0], x0, x1):max(on(box[0], x0, x1) + 1, on(box[2], x0, x1))]
    alpha = cv2.resize(known[top:bottom, left:right].astype(np.uint8) * 255, (ANCHOR_PX, ANCHOR_PX), interpolation=cv2.INTER_NEAREST)
    return View(target, known, np.dstack([_resized(part, (ANCHOR_PX, ANCHOR_PX)), alpha]), box, words)


def _resized(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA if rgb.shape[1] > size[0] else cv2.INTER_LINEAR)
