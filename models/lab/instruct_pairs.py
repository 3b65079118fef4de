"""Triplets (picture, sentence, picture as the sentence wants it) whose truth is exact, because both pictures are put together from the same
layers: one or two drawings over white, a colour or a drawn scene.

A `Plot` is such a scene before it is painted; every task changes the plot, or the painted picture, and says what it did in one of the
templates of models.nets.instruct_tasks. Things are named by their labels; no drawing of a held-out concept or cell is trained on.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from models.lab.items import STYLE_IDS, Item
from models.lab.mixtures import HELD_OUT
from models.lab.pictures import BACKGROUNDS, SCENES, SIDE_PX, over, place, scene_background
from models.lab.rows import scene_pool
from models.lines import edges
from models.nets.instruct_tasks import COLOURS, DIRECTIONS, LOOKS, PLACES, TASKS

Rng = np.random.Generator
KINDS = ("animals & nature", "food & drink", "objects", "travel & places", "activities")
BACKDROPS = 96                                       # drawn scenes made once and used again
LONGEST_LABEL = 24
SHIFT = 0.22                                         # of the side, how far "move" moves
KEPT = 8
CLOSE = 6                                            # of a hidden difference, in grey values, that still counts as none


@dataclass(frozen=True)
class Thing:
    """A drawing in its place: row of the drawings, (scale, cx, cy) as models.lab.pictures.place takes them, colour word it was given."""
    row: int
    scale: float
    cx: float
    cy: float
    colour: str = ""


@dataclass(frozen=True)
class Plot:
    """Things over a background, back to front. `backdrop`: a colour word of BACKGROUNDS, or "SCENE/number"."""
    things: tuple[Thing, ...]
    backdrop: str


@dataclass(frozen=True)
class Triplet:
    """before, after: uint8 [256, 256, 3]; says: the sentence; shows: words for `after`; changed: bool [256, 256]; alpha: uint8 [256, 256] of
    what the sentence names, where one thing is named, else all 0."""
    task: str
    before: np.ndarray
    after: np.ndarray
    says: str
    shows: str
    changed: np.ndarray
    alpha: np.ndarray


class Stage:
    """Paints plots from the drawings. `rows`: which of them may be used."""

    def __init__(self, items: Sequence[Item], rgba: np.ndarray, rows: Sequence[int]) -> None:
        self.items, self.rgba = items, rgba
        self.rows = [i for i in rows if items[i].category in KINDS and len(items[i].label) <= LONGEST_LABEL]
        by_label: dict[str, dict[str, int]] = defaultdict(dict)
        for i in self.rows:
            by_label[items[i].label][STYLE_IDS[items[i].source]] = i
        self.looks = dict(by_label)
        self.varied = [i for i in self.rows if len(self.looks[items[i].label]) > 1]
        self.backdrops = {f"{where}/{k}": scene_background(where, np.random.default_rng(k))
                          for k in range(BACKDROPS) for where in (SCENES[k % len(SCENES)],)}
        self._placed: dict[Thing, np.ndarray] = {}

    def drawing(self, thing: Thing) -> np.ndarray:
        """uint8 straight [256, 256, 4]; the last few are kept, as both pictures of a triplet show mostly the same."""
        if thing not in self._placed:
            if len(self._placed) >= KEPT:
                self._placed.clear()
            rgba = np.asarray(self.rgba[thing.row])
            self._placed[thing] = place(recoloured(rgba, thing.colour) if thing.colour else rgba, thing.scale, thing.cx, thing.cy)
        return self._placed[thing]

    def ground(self, plot: Plot) -> np.ndarray:
        if plot.backdrop in self.backdrops:
            return self.backdrops[plot.backdrop]
        return np.broadcast_to(np.uint8(BACKGROUNDS[plot.backdrop]), (SIDE_PX, SIDE_PX, 3))

    def painted(self, plot: Plot) -> np.ndarray:
        rgb = self.ground(plot)
        for thing in plot.things:
            rgb = over(self.drawing(thing), rgb)
        return rgb

    def label(self, thing: Thing) -> str:
        return self.items[thing.row].label

    def words(self, plot: Plot) -> str:
        """What a plot shows."""
        names = " and ".join(f"{t.colour} {self.label(t)}".strip() for t in plot.things) or "nothing"
        where = plot.backdrop.partition("/")[0]
        return f"{names}, {where if '/' in plot.backdrop else f'on a {where} background'}"

    def backdrop(self, rng: Rng) -> str:
        kind = rng.random()
        if kind < 0.4:
            return "white"
        return str(rng.choice(list(BACKGROUNDS))) if kind < 0.6 else str(rng.choice(list(self.backdrops)))

    def plot(self, rng: Rng, count: int = 0, pool: Sequence[int] = ()) -> Plot:
        """A random plot of 1 or 2 things, 2 of them mostly; the first comes from `pool`."""
        count = count or int(rng.choice([1, 2], p=[0.35, 0.65]))
        rows = [int(rng.choice(pool or self.rows)), *map(int, rng.choice(self.rows, count - 1))]
        if count == 1:
            return Plot((Thing(rows[0], rng.uniform(0.5, 0.95), *rng.uniform(0.42, 0.58, 2)),), self.backdrop(rng))
        left = rng.permutation([0.27, 0.73])
        return Plot(tuple(Thing(row, rng.uniform(0.36, 0.5), cx + rng.uniform(-0.04, 0.04), rng.uniform(0.42, 0.66)) for row, cx in zip(rows, left)),
                    self.backdrop(rng))


def rows_of(items: Sequence[Item], split: str) -> list[int]:
    """Rows to train on ("train"), or of the concepts and cells no training sees ("held")."""
    if split == "train":
        own = set(map(id, scene_pool(items)))
        return [i for i, item in enumerate(items) if id(item) in own]
    return [i for i, item in enumerate(items) if item.split in HELD_OUT]


def recoloured(rgba: np.ndarray, colour: str) -> np.ndarray:
    """A drawing in a named colour: its hue, at least half its saturation; light and shade stay, and dark outlines and white stay dark and white."""
    hls = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2HLS).astype(np.float32)
    hue, light, strong = cv2.cvtColor(np.uint8([[COLOURS[colour]]]), cv2.COLOR_RGB2HLS)[0, 0].astype(np.float32)
    middle = float(np.median(hls[..., 1][rgba[..., 3] > 128])) if (rgba[..., 3] > 128).any() else 128.0
    tone = np.clip(hls[..., 1] + 0.8 * (light - middle) * np.clip(1 - np.abs(hls[..., 1] - 128) / 128, 0, 1) * 1.4, 0, 255)
    out = np.dstack([np.full_like(tone, hue), tone, np.full_like(tone, max(strong, 128))]).astype(np.uint8)
    return np.dstack([cv2.cvtColor(out, cv2.COLOR_HLS2RGB), rgba[..., 3]])


Change = Callable[[Stage, Rng], tuple[Plot, Plot, dict[str, str]]]


def _other(stage: Stage, thing: Thing, rng: Rng) -> Thing:
    return replace(thing, row=int(rng.choice(stage.rows)), colour="")


def _two_sides(rng: Rng, plot: Plot) -> tuple[str, Plot]:
    """A place in words, and the plot whose first thing stands there."""
    where = str(rng.choice(list(PLACES)))
    first = replace(plot.things[0], scale=rng.uniform(0.34, 0.46), cx=0.5 + 0.25 * PLACES[where] + rng.uniform(-0.03, 0.03), cy=rng.uniform(0.45, 0.62))
    side = -PLACES[where] or int(rng.choice([-1, 1]))
    rest = tuple(replace(t, scale=min(t.scale, 0.45), cx=0.5 + 0.25 * side) for t in plot.things[1:])
    return where, replace(plot, things=(*rest, first))


def add(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    where, after = _two_sides(rng, stage.plot(rng))
    return replace(after, things=after.things[:-1]), after, {"x": stage.label(after.things[-1]), "w": where}


def remove(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    before = stage.plot(rng)
    return before, replace(before, things=before.things[1:]), {"x": stage.label(before.things[0])}


def swap(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    before = stage.plot(rng)
    new = _other(stage, before.things[0], rng)
    return before, replace(before, things=(new, *before.things[1:])), {"x": stage.label(before.things[0]), "y": stage.label(new)}


def recolour(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    before, colour = stage.plot(rng), str(rng.choice(list(COLOURS)))
    new = replace(before.things[0], colour=colour)
    return before, replace(before, things=(new, *before.things[1:])), {"x": stage.label(new), "c": colour}


def restyle(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    """Single things, or two that both exist in the look."""
    before = stage.plot(rng, 1, stage.varied)
    thing = before.things[0]
    now = STYLE_IDS[stage.items[thing.row].source]
    look = str(rng.choice(sorted(set(stage.looks[stage.label(thing)]) - {now})))
    return before, replace(before, things=(replace(thing, row=stage.looks[stage.label(thing)][look]),)), {"s": LOOKS[look]}


def move(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    before, (words, (dx, dy)) = stage.plot(rng, 1), list(DIRECTIONS.items())[rng.integers(len(DIRECTIONS))]
    thing = replace(before.things[0], scale=rng.uniform(0.4, 0.6))
    start = replace(thing, cx=0.5 - dx * SHIFT / 2 + rng.uniform(-0.06, 0.06), cy=0.5 - dy * SHIFT / 2 + rng.uniform(-0.06, 0.06))
    end = replace(start, cx=start.cx + dx * SHIFT, cy=start.cy + dy * SHIFT)
    return replace(before, things=(start,)), replace(before, things=(end,)), {"x": stage.label(thing), "w": words}


def background(stage: Stage, rng: Rng) -> tuple[Plot, Plot, dict[str, str]]:
    before, after = stage.plot(rng), stage.backdrop(rng)
    said = after.partition("/")[0]
    return before, replace(before, backdrop=after), {"w": said if "/" in after else f"on a {said} background"}


PLOTS: dict[str, Change] = {"add": add, "remove": remove, "replace": swap, "recolour": recolour, "restyle": restyle, "move": move,
                            "background": background}


def noisy(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """Grain of two sizes: the coarse one outlives the patches of the autoencoder."""
    fine, coarse = rng.normal(0, rng.uniform(20, 60), rgb.shape), rng.normal(0, rng.uniform(15, 45), (*[s // 4 for s in rgb.shape[:2]], 3))
    return (rgb + fine + cv2.resize(coarse, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)).clip(0, 255).astype(np.uint8)


def blurred(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    return cv2.GaussianBlur(np.ascontiguousarray(rgb), (0, 0), rng.uniform(4, 9))


def greyed(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    return np.repeat(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def lines_of(rgb: np.ndarray) -> np.ndarray:
    """Black lines on white, two to three pixels wide."""
    return np.repeat((255 * ~cv2.dilate(edges(rgb).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)).astype(np.uint8)[..., None], 3, 2)


SPOILED = {"denoise": noisy, "deblur": blurred, "colourise": greyed}
ODDS = {"add": 1.3, "remove": 1.3, "replace": 1.2, "recolour": 1.2, "restyle": 1.0, "move": 1.0, "background": 1.0, "edges": 0.8, "cutout": 1.0,
        "denoise": 0.6, "deblur": 0.6, "colourise": 0.7}
"""How often each task is drawn: what moves things is learned slowly (at most an eighth of a batch each, as the paper's pitfall wants)."""


def triplet(stage: Stage, task: str, rng: Rng, held: bool = False) -> Triplet:
    """One random triplet of a task; `held`: worded by a paraphrase that no training sees."""
    says = str(rng.choice(TASKS[task].held if held else TASKS[task].says))
    if task in PLOTS:
        before, after, words = PLOTS[task](stage, rng)
        named = after.things[-1] if task == "add" else before.things[0]
        return _made(task, stage.painted(before), stage.painted(after), says.format(**words), stage.words(after), stage.drawing(named)[..., 3])
    plot = stage.plot(rng)
    rgb, named = stage.painted(plot), stage.drawing(plot.things[0])[..., 3]
    if task == "cutout":
        named, label = _visible(stage, plot), stage.label(plot.things[0])
        return _made(task, rgb, np.repeat(255 - named[..., None], 3, 2), says.format(x=label), f"a silhouette of {label}", named)
    if task == "edges":
        return _made(task, rgb, lines_of(rgb), says, f"a line drawing of {stage.words(plot)}", np.zeros_like(named))
    return _made(task, SPOILED[task](rgb, rng), rgb, says, stage.words(plot), np.zeros_like(named))


def _visible(stage: Stage, plot: Plot) -> np.ndarray:
    """Alpha of the first thing where later ones do not cover it, uint8 [256, 256]."""
    alpha = stage.drawing(plot.things[0])[..., 3].astype(np.float32)
    for thing in plot.things[1:]:
        alpha = alpha * (1 - stage.drawing(thing)[..., 3] / 255.0)
    return alpha.round().astype(np.uint8)


def _made(task: str, before: np.ndarray, after: np.ndarray, says: str, shows: str, alpha: np.ndarray) -> Triplet:
    changed = np.abs(before.astype(np.int16) - after).max(2) > CLOSE
    return Triplet(task, before, after, says, shows, changed, alpha)


def drawn_tasks(count: int, rng: Rng) -> list[str]:
    names, odds = zip(*ODDS.items())
    return list(map(str, rng.choice(names, count, p=np.array(odds) / sum(odds))))
