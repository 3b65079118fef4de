"""Trains the two judges that know pictures and words (models.nets.style_judge): python -m models.lab judge_towers --minutes 12

Judge A ships: stroke drawings are optimised towards it, and its maps are the features of the style losses. Judge B is of another form,
seed and order of batches; it stays in the lab's folder and only measures. Both learn by InfoNCE (van den Oord et al. 2018) from drawings
seen in many ways: on colours, turned, cut, in perspective, grey, in a formula's look, as lines.
"""
from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models import checkpoint
from models.errors import MissingWeights
from models.lab.beside import train_beside
from models.lab.budget import Budget
from models.lab.captions import article
from models.lab.items import Item
from models.lab.looks_at_random import random_look
from models.lab.pictures import BACKGROUNDS, over
from models.nets.style_judge import KIND, SIDE_PX, Judge, look_of
from models.text import TextEncoder
from models.weights import ASSETS

SHIPPED = ASSETS / "percepts" / "judge.safetensors"
SHAPES: dict[str, dict[str, Any]] = {"a": {"form": "convolutions", "widths": [32, 96, 224]}, "b": {"form": "mixer", "width": 160}}
SHARES = {"a": 0.65, "b": 0.35}
BATCH, LR, TEMPERATURE, LOOK_WEIGHT = 96, 4e-3, 0.07, 0.3
RARE, RARE_SHARE = ("people", "symbols"), 0.25       # as models.lab.rows: many drawings that few ask for
FORMULA, GREY = 0.2, 0.1                             # shares of pictures in a look at random, without colour
PAPERS = np.float32([c for name, c in BACKGROUNDS.items() if name != "white"])


class Drawings:
    """What both judges are taught: drawings of one split and what may be said of them. `rgba` uint8 [N, 256, 256, 4] row for row with items."""

    def __init__(self, items: Sequence[Item], rgba: np.ndarray, pooled: dict[str, Tensor], split: str = "train") -> None:
        self.items, self.rgba, self.pooled = items, rgba, pooled
        self.rows_of: dict[str, list[int]] = defaultdict(list)
        for i, item in enumerate(items):
            if item.split == split and pooled.get(item.label) is not None:
                self.rows_of[item.label].append(i)
        self.labels = sorted(self.rows_of)
        shares = np.array([RARE_SHARE if items[self.rows_of[label][0]].category in RARE else 1.0 for label in self.labels])
        self.shares = shares / shares.sum()
        self.sources = sorted({item.source for item in items})

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """(rgb [B, 3, 96, 96], sentence embeddings [B, 384], number of the source or -1 where the look is another [B]); no label twice."""
        labels = rng.choice(self.labels, min(size, (self.shares > 0).sum()), replace=False, p=self.shares)
        rows = [int(rng.choice(self.rows_of[label])) for label in labels]
        rgb, known = seen([np.asarray(self.rgba[i]) for i in rows], rng)
        sources = torch.tensor([self.sources.index(self.items[i].source) if ok else -1 for i, ok in zip(rows, known)])
        said = torch.stack([table[rng.integers(len(table))] for table in (self.pooled[label] for label in labels)])
        return rgb, said, sources


def seen(pictures: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[Tensor, list[bool]]:
    """uint8 RGBA [256, 256, 4] each -> ([B, 3, 96, 96] in [0, 1], whether each is still in its own look)."""
    rgb = torch.from_numpy(np.stack([view(rgba, rng) for rgba in pictures])).permute(0, 3, 1, 2).float() / 255
    known = [True] * len(rgb)
    for i in range(len(rgb)):
        chance = rng.random()
        if chance < FORMULA:
            rgb[i:i + 1] = random_look(rng)(rgb[i:i + 1])
        elif chance < FORMULA + GREY:
            rgb[i] = rgb[i].mean(0)
        known[i] = chance >= FORMULA + GREY
    return rgb, known


def view(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One drawing on paper, its corners moved at random: uint8 [96, 96, 3]."""
    paper = np.uint8([255, 255, 255]) if rng.random() < 0.6 else (PAPERS[rng.integers(len(PAPERS))] + rng.integers(-12, 13, 3)).clip(0, 255)
    rgb, side = over(rgba, paper), rgba.shape[0]
    scale, turn = rng.uniform(0.65, 1.25), np.deg2rad(rng.uniform(-14, 14))
    corners = np.float32([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (1, 1) + rng.uniform(-0.12, 0.12, (4, 2))
    spin = np.float32([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    goal = corners @ spin.T * (rng.choice([-1, 1]), 1) + rng.uniform(-0.12, 0.12, 2)
    matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [side, 0], [side, side], [0, side]]), np.float32((goal + 1) / 2 * SIDE_PX))
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.0)
    return cv2.warpPerspective(soft, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                               borderValue=tuple(map(float, np.broadcast_to(paper, 3))))


def spoken(folder: Path, items: Sequence[Item], text: TextEncoder) -> dict[str, Tensor]:
    """{label: sentence embeddings [n, 384]} of what may be said of it: its name twice, and the captions of the data set."""
    meta = json.loads((folder / "rows.json").read_text())
    table = load_file(folder / "captions.safetensors")["pooled"].float()
    label_of, ids = {item.key: item.label for item in items}, defaultdict(set)
    for key, kind, captions in zip(meta["keys"], meta["kinds"], meta["captions"]):
        if kind == "plain" and key in label_of:
            ids[label_of[key]].update(captions)
    labels = sorted(ids)
    named = torch.stack([said.pooled for start in range(0, len(labels), 256) for said in text.encode([article(x) for x in labels[start:start + 256]])])
    return {label: torch.cat([named[i:i + 1].expand(max(1, len(ids[label]) // 2), -1).float(), table[sorted(ids[label])]]) for i, label in enumerate(labels)}


class Lesson(nn.Module):
    """A judge with what only training needs: the temperature and a head that tells sources by look."""

    def __init__(self, judge: Judge, sources: int) -> None:
        super().__init__()
        self.judge, self.scale = judge, nn.Parameter(torch.tensor(1 / TEMPERATURE).log())
        with torch.no_grad():
            width = look_of(judge.maps(torch.zeros(1, 3, SIDE_PX, SIDE_PX))).shape[1]
        self.look = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sources))

    def loss(self, rgb: Tensor, said: Tensor, sources: Tensor) -> Tensor:
        maps = self.judge.maps(rgb)
        picture, words = self.judge.of_maps(maps).float(), self.judge.text(said).float()
        logits, right = self.scale.clamp_max(4.6).exp() * picture @ words.T, torch.arange(len(rgb))
        known = sources >= 0
        looks = F.cross_entropy(self.look(look_of(maps)[known]).float(), sources[known]) if known.any() else 0.0
        return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2 + LOOK_WEIGHT * looks


def train_judge(shape: dict[str, Any], data: Drawings, budget: Budget, seed: int, batch: int = BATCH, say: Callable[[str], None] = print) -> Judge:
    torch.manual_seed(seed)
    lesson = Lesson(Judge(**shape), len(data.sources))
    nothing = nn.Module()
    train_beside(nothing, lesson, lambda rng, _: lesson.loss(*data.batch(rng, batch)), budget, LR, seed, say=say)
    return lesson.judge.eval()


@torch.no_grad()
def first_of(judge: Judge, data: Drawings, among: int = 100, rounds: int = 4, seed: int = 5) -> float:
    """The share of plain unseen pictures whose own name is nearest among the names of `among` of them."""
    rng, hits = np.random.default_rng(seed), []
    for _ in range(rounds):
        labels = rng.choice(data.labels, min(among, len(data.labels)), replace=False)
        rows = [data.rows_of[label][0] for label in labels]
        rgb = torch.from_numpy(np.stack([cv2.resize(over(np.asarray(data.rgba[i]), np.uint8([255] * 3)), (SIDE_PX,) * 2, interpolation=cv2.INTER_AREA)
                                         for i in rows])).permute(0, 3, 1, 2).float() / 255
        near = judge.vector(rgb) @ judge.text(torch.stack([data.pooled[label][0] for label in labels])).T
        hits.append((near.argmax(1) == torch.arange(len(rows))).float().mean())
    return float(torch.stack(hits).mean())


def make_judges(folder: Path, items: Sequence[Item], rgba: np.ndarray, minutes: float, command: str, out: Path = SHIPPED) -> str:
    """Train, measure and write both: A to `out`, B into `folder`."""
    pooled = spoken(folder, items, TextEncoder())
    data, unseen, pairs = (Drawings(items, rgba, pooled, split) for split in ("train", "test_concept", "test_pair"))
    lines = []
    for seed, (name, path) in enumerate((("a", out), ("b", folder / "judge-b.safetensors"))):
        budget = Budget(minutes * SHARES[name])
        judge = train_judge(SHAPES[name], data, budget, seed)
        facts = {"updates": budget.updates, "first_of_100_known_concepts": round(first_of(judge, pairs), 3),
                 "first_of_50_unseen_concepts": round(first_of(judge, unseen, 50), 3)}
        checkpoint.save(path, KIND, SHAPES[name], {"command": command, "batch": BATCH, **facts}, checkpoint.quantise(judge.state_dict()),
                        f"Judge {name.upper()} of pictures and words")
        lines.append(f"judge {name.upper()}: {facts}, {path.stat().st_size / 1e6:.1f} MB")
    return "\n".join(lines)


def read_judge(path: Path) -> Judge:
    """A judge from its file, in fp32. Raises MissingWeights."""
    if not path.exists():
        raise MissingWeights(f"{path.name} is missing.", "Train it with: python -m models.lab judge_towers --minutes 12")
    saved = checkpoint.load(path, KIND)
    judge = Judge(**saved.config)
    judge.load_state_dict(saved.tensors)
    return judge.float().eval().requires_grad_(False)
