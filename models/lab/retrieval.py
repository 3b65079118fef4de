"""Find by sketch: trains the tower that puts a doodle beside the picture it means, and measures what unlabelled pictures are worth.

After "More Photos are All You Need" (Bhunia et al. 2021): few pictures have a sketch by a hand, many have none; those get generated
ones. Here the hands are simulated (models.lab.hands): the artist's sketches are the labels, the tracer stands for the generator. It has
no weights to learn, so the paper's rewards for the generator fall away; its discriminator stays and weighs each generated pair.
The loss is InfoNCE over the batch (van den Oord et al. 2018), where the paper has triplets.

    python -m models.lab retrieval --minutes 14
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import checkpoint
from models.errors import BadInput
from models.files import write_atomic
from models.lab.adapter_scores import write_section
from models.lab.beside import train_beside
from models.lab.budget import Budget
from models.lab.evaluate import ASSETS, machine
from models.lab.hands import Hand, artist, inked, shares, stranger, tracer
from models.lab.items import Item
from models.lab.pictures import over
from models.lines import by_hand, edges, strokes_of
from models.nets.doodle import DEVIATION, KIND, MEAN, Tower, raster, stacked

HEADING = "## Find by sketch"
WEIGHTS = ASSETS / "percepts" / "likeness.safetensors"
HANDS: dict[str, Hand] = {"tracer": tracer, "artist": artist, "stranger": stranger}
RARE = ("people", "people & body", "symbols")        # half of all drawings, and hardly what somebody doodles
Say = Callable[[str], None]


@dataclass(frozen=True)
class RetrievalConfig:
    """drawings: trained on; labelled: the share of them that has sketches by the artist. updates, pair_batch, seeds: of the
    comparison; tower_updates, batch_size: of the shipped tower. cross: pairs whose sketch shows another drawing of the same concept."""
    drawings: int = 2500
    labelled: float = 0.1
    gallery: int = 500
    tracings: int = 4
    sketches: int = 4
    updates: int = 100
    pair_batch: int = 64
    seeds: int = 2
    judge_updates: int = 100
    tower_updates: int = 900
    batch_size: int = 128
    cross: float = 0.35
    lr: float = 6e-3
    temperature: float = 0.06


@dataclass
class Bank:
    """Rasters of drawings, uint8. pictures [N, 3, 64, 64]: all lines, the longer ones, and what is left of them when they are painted badly;
    sketches: hand -> [N, K, 64, 64]."""
    labels: list[str]
    pictures: np.ndarray
    sketches: dict[str, np.ndarray]
    twins: list[np.ndarray] = field(init=False)      # rows of the same concept, oneself among them

    def __post_init__(self) -> None:
        rows: dict[str, list[int]] = {}
        for i, label in enumerate(self.labels):
            rows.setdefault(label, []).append(i)
        self.twins = [np.array(rows[label]) for label in self.labels]

    def pairs(self, hand: str, rows: np.ndarray, rng: np.random.Generator, cross: float = 0.0) -> tuple[Tensor, Tensor, np.ndarray]:
        """(sketches, pictures) [B, 1, 64, 64] of `rows`, each pair mirrored or not, sketches nudged; and which sketch it was."""
        drawn = np.array([rng.choice(self.twins[i]) if rng.random() < cross else i for i in rows])
        which = rng.integers(0, self.sketches[hand].shape[1], len(rows))
        flips, shift = rng.random(len(rows)) < 0.5, rng.integers(-2, 3, (len(rows), 2))
        turned = lambda one, flip: one[:, ::-1] if flip else one
        sketches = [np.roll(turned(self.sketches[hand][i, k], f), s, (0, 1)) for i, k, f, s in zip(drawn, which, flips, shift)]
        pictures = [turned(self.pictures[i, rng.integers(self.pictures.shape[1])], f) for i, f in zip(rows, flips)]
        return stacked(sketches), stacked(pictures), which


# --- strokes and rasters ---------------------------------------------------------------------------------------------

def chosen(items: Sequence[Item], config: RetrievalConfig) -> tuple[list[int], list[int]]:
    """(rows to train on, rows of the held-out gallery); whole concepts are taken, so that a drawing meets its twins of other sets."""
    rng = np.random.default_rng(11)
    concepts: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        if item.split == "train" and item.category not in RARE:
            concepts.setdefault(item.concept, []).append(i)
    names = sorted(concepts)
    rng.shuffle(names)
    train = [i for name in names for i in concepts[name]][:config.drawings]
    unseen = [i for i, item in enumerate(items) if item.split != "train"]
    gallery = rng.choice(unseen, min(config.gallery, len(unseen)), replace=False)
    if not train or not len(gallery):
        raise BadInput("There are no drawings to learn from, or none are held out.", "Build them with: python -m models.lab data")
    return train, sorted(int(i) for i in gallery)


def strokes_of_rows(rgba: np.ndarray, rows: Sequence[int], cache: Path, say: Say = print) -> list[list[np.ndarray]]:
    """Strokes of drawings on white, longest first; found once and kept in `cache`."""
    if cache.exists():
        with np.load(cache) as kept:
            if np.array_equal(kept["rows"], rows):
                return _unpacked(kept["points"], kept["lengths"], kept["counts"])
    out = []
    for done, i in enumerate(rows):
        out.append([s.astype(np.int16) for s in strokes_of(edges(over(np.asarray(rgba[i]), np.uint8([255, 255, 255]))))])
        if done % 500 == 0:
            say(f"strokes: {done} of {len(rows)}")
    lengths, counts = [len(s) for drawing in out for s in drawing], [len(drawing) for drawing in out]
    points = np.concatenate([s for drawing in out for s in drawing] or [np.zeros((0, 2), np.int16)])

    def save(path: Path) -> None:
        with path.open("wb") as f:
            np.savez_compressed(f, rows=rows, points=points, lengths=lengths, counts=counts)
    write_atomic(cache, save)
    return out


def _unpacked(points: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> list[list[np.ndarray]]:
    strokes = np.split(points, np.cumsum(lengths)[:-1])
    ends = np.cumsum(counts)
    return [strokes[end - count:end] for end, count in zip(ends, counts)]


def raster_of(strokes: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 [64, 64]."""
    return (raster(inked(strokes)) * 255).round().astype(np.uint8)


def sketched(strokes: Sequence[Sequence[np.ndarray]], hand: str, how_much: Sequence[float], seed: int) -> np.ndarray:
    """One sketch a drawing, uint8 [N, 64, 64]."""
    rng = np.random.default_rng(seed)
    return np.stack([raster_of(HANDS[hand](s, float(share), rng)) for s, share in zip(strokes, how_much)])


def bank_of(strokes: Sequence[Sequence[np.ndarray]], labels: list[str], config: RetrievalConfig, seed: int = 0) -> Bank:
    """All rasters that training draws from."""
    rng = np.random.default_rng(seed)
    several = lambda hand, count: np.stack([sketched(strokes, hand, shares(len(strokes), rng), seed + k) for k in range(count)], 1)
    pictures = np.stack([np.stack([raster_of(s), raster_of(_longer(s)), raster_of(_poor(s, rng))]) for s in strokes])
    return Bank(labels, pictures, {"tracer": several("tracer", config.tracings), "artist": several("artist", config.sketches)})


def _longer(strokes: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [stroke for stroke in strokes if len(stroke) >= 0.15 * len(strokes[0])]


def _poor(strokes: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The edges of a picture whose painter lost details: strokes missing or broken off, the others a little wrong."""
    kept = [stroke for k, stroke in enumerate(strokes) if k == 0 or rng.random() < 0.6]
    return by_hand([stroke[:max(2, round(len(stroke) * rng.choice([1, 1, 1, rng.uniform(0.5, 1)])))] for stroke in kept], rng, 2.0)


# --- training --------------------------------------------------------------------------------------------------------

def info_nce(sketches: Tensor, pictures: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Each sketch is to choose its picture among the batch, and each picture its sketch; unit vectors [B, D], weights [B]."""
    logits, own = sketches @ pictures.T / temperature, torch.arange(len(sketches))
    each = F.cross_entropy(logits, own, reduction="none") + F.cross_entropy(logits.T, own, reduction="none")
    return (weights * each).sum() / (2 * weights.sum())


@dataclass
class Mixture:
    """What batches are made of: (hand, rows it may draw, share of the batch, weight of each of its sketches or None) a part."""
    parts: list[tuple[str, np.ndarray, float, np.ndarray | None]]
    cross: float = 0.0

    def draw(self, bank: Bank, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """sketches, pictures [B, 1, 64, 64], weights [B]."""
        out = []
        for hand, allowed, share, weights in self.parts:
            rows = rng.choice(allowed, round(size * share), replace=len(allowed) < size * share)
            sketches, pictures, which = bank.pairs(hand, rows, rng, self.cross)
            out.append((sketches, pictures, torch.ones(len(rows)) if weights is None else torch.from_numpy(weights[rows, which])))
        return tuple(torch.cat(column) for column in zip(*out))


def train_tower(bank: Bank, mixture: Mixture, budget: Budget, size: int, config: RetrievalConfig, seed: int = 0, say: Say = print) -> Tower:
    """A tower trained until the budget is spent."""
    torch.manual_seed(seed)
    tower = Tower().to(memory_format=torch.channels_last)

    def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        sketches, pictures, weights = mixture.draw(bank, size, rng)
        seen = tower(torch.cat([sketches, pictures]))
        return info_nce(*seen.chunk(2), weights.float(), config.temperature)
    train_beside(nn.Identity(), tower, loss_of, budget, config.lr, seed, say=say)
    return tower


class Judge(nn.Module):
    """D of the paper: (sketch, picture) [B, 1, 64, 64] each -> how much the pair looks like a labelled one, [B]."""

    def __init__(self) -> None:
        super().__init__()
        conv = lambda a, b: (nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(8, b), nn.SiLU())
        self.body = nn.Sequential(*conv(2, 16), *conv(16, 32), *conv(32, 64), nn.Flatten(), nn.Linear(64 * 64, 1))

    def forward(self, sketches: Tensor, pictures: Tensor) -> Tensor:
        return self.body((torch.cat([sketches, pictures], 1) - MEAN) / DEVIATION)[:, 0]


def weights_of_tracings(bank: Bank, labelled: np.ndarray, config: RetrievalConfig, seed: int, say: Say = print) -> np.ndarray:
    """sigmoid(D) of every tracing, [N, K], over its mean: only which of them count more is left, not how much they count together.
    D learns on the labelled drawings alone, with the hinge loss."""
    torch.manual_seed(seed)
    judge = Judge()

    def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        real, fake = (judge(*bank.pairs(hand, rng.choice(labelled, config.pair_batch), rng)[:2]) for hand in ("artist", "tracer"))
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    train_beside(nn.Identity(), judge, loss_of, Budget(60, config.judge_updates), 1e-3, seed, say=say)
    pictures = stacked(bank.pictures[:, 0])
    with torch.no_grad():
        told = [torch.sigmoid(judge(stacked(bank.sketches["tracer"][:, k]), pictures)) for k in range(config.tracings)]
    weights = torch.stack(told, 1).numpy()
    return weights / weights.mean()


def mixtures(bank: Bank, config: RetrievalConfig, seed: int, say: Say = print) -> dict[str, Mixture]:
    """What the comparison trains on: the paper's three, and the ceiling where the artist sketched everything."""
    rng = np.random.default_rng(100 + seed)
    order = rng.permutation(len(bank.labels))
    few, rest = np.split(order, [max(2, round(config.labelled * len(order)))])
    weights = weights_of_tracings(bank, few, config, seed, say)
    return {f"artist's sketches of {config.labelled:.0%} only": Mixture([("artist", few, 1.0, None)]),
            "and tracings of the rest": Mixture([("artist", few, 0.25, None), ("tracer", rest, 0.75, None)]),
            "and tracings of the rest, weighted by D": Mixture([("artist", few, 0.25, None), ("tracer", rest, 0.75, weights)]),
            "artist's sketches of all (ceiling)": Mixture([("artist", order, 1.0, None)])}


# --- measuring -------------------------------------------------------------------------------------------------------

@torch.no_grad()
def embedded(tower: nn.Module, rasters: np.ndarray) -> np.ndarray:
    """uint8 [N, 64, 64] -> float32 [N, D]."""
    return np.concatenate([tower(stacked(part)).numpy() for part in np.split(rasters, range(64, len(rasters), 64))])


def blurred(rasters: np.ndarray) -> np.ndarray:
    """The baseline that learns nothing: soft rasters as unit vectors, [N, 4096]."""
    soft = np.stack([cv2.GaussianBlur(r.astype(np.float32), (0, 0), 2.5) for r in rasters]).reshape(len(rasters), -1)
    return soft / np.maximum(np.linalg.norm(soft, axis=1, keepdims=True), 1e-6)


def found_at(sketches: np.ndarray, gallery: np.ndarray, labels: Sequence[str]) -> tuple[float, float, float]:
    """(acc@1, acc@10, right concept first) when sketch i [N, D] means picture i [N, D]."""
    likeness = sketches @ gallery.T
    own = np.diag(likeness)[:, None]
    rank = (likeness > own).sum(1) + (likeness == own).sum(1) - 1            # ties count against us
    first = [labels[i] == labels[int(k)] for i, k in enumerate(likeness.argmax(1))]
    return float((rank < 1).mean()), float((rank < 10).mean()), float(np.mean(first))


@dataclass
class Bench:
    """The held-out gallery and its sketches by each hand."""
    labels: list[str]
    strokes: list[list[np.ndarray]]
    gallery: np.ndarray                              # uint8 [N, 64, 64]

    def score(self, embed: Callable[[np.ndarray], np.ndarray], hand: str = "artist", share: float | None = None) -> tuple[float, float, float]:
        """found_at of sketches that show `share` of the strokes; without one, half are whole and half show 10 to 100 %."""
        count = len(self.strokes)
        how_much = [share] * count if share else shares(count, np.random.default_rng(6))
        return found_at(embed(sketched(self.strokes, hand, how_much, 5)), embed(self.gallery), self.labels)

    def twins(self) -> float:
        """Share of the pictures with another one of the same concept in the gallery."""
        return float(np.mean([self.labels.count(label) > 1 for label in self.labels]))


def compared(bank: Bank, bench: Bench, config: RetrievalConfig, say: Say = print) -> dict[str, np.ndarray]:
    """{what it was trained on: scores [seeds, 3]} of the comparison."""
    out: dict[str, list] = {}
    for seed in range(config.seeds):
        for name, mixture in mixtures(bank, config, seed, lambda text: None).items():
            tower = train_tower(bank, mixture, Budget(60, config.updates), config.pair_batch, config, seed, lambda text: None)
            out.setdefault(name, []).append(bench.score(lambda r, tower=tower: embedded(tower, r)))
            say(f"seed {seed}, {name}: {out[name][-1]}")
    return {name: np.array(scores) for name, scores in out.items()}


def _row(name: str, scores: Any) -> str:
    """One line of the table; several seeds as mean and range."""
    s = np.atleast_2d(scores)
    cells = [f"{m:.3f}" + (f" ({a:.3f} to {b:.3f})" if len(s) > 1 else "") for m, a, b in zip(s.mean(0), s.min(0), s.max(0))]
    return f"| {name} | " + " | ".join(cells) + " |"


def report(bench: Bench, tower: Tower, comparison: dict[str, np.ndarray], config: RetrievalConfig, command: str) -> str:
    """The section of assets/SCORES.md."""
    shipped = lambda rasters: embedded(tower, rasters)
    rows = [_row("no training: blurred lines compared", bench.score(blurred)), *(_row(n, s) for n, s in comparison.items()),
            _row("**shipped**: both hands' sketches of all", bench.score(shipped)),
            _row("shipped, a hand it never saw", bench.score(shipped, "stranger")), _row("no training, that hand", bench.score(blurred, "stranger"))]
    for share in (1.0, 0.5, 0.25, 0.1):
        what = "whole sketches" if share == 1 else f"{share:.0%} of the strokes"
        rows += [_row(f"shipped, {what}", bench.score(shipped, share=share)), _row(f"no training, {what}", bench.score(blurred, share=share))]
    return "\n".join([
        f"{len(bench.labels)} simulated sketches search {len(bench.labels)} held-out drawings of {len(set(bench.labels))} concepts, no person drew "
        f"them; {bench.twins():.0%} of the drawings have another of their concept beside them (other emoji sets), the hardest distractors. "
        f"Rows 2 to 5: {config.updates} updates each on {config.drawings} drawings, mean (range) of {config.seeds} seeds. Sketches are by "
        f"the artist's hand, half of them whole and half cut off at 10 to 100 % of their strokes, where a row says nothing else. "
        f"{datetime.date.today().isoformat()}, {machine()}, {command}.", "",
        "| trained on | acc@1 ↑ | acc@10 ↑ | right concept first ↑ |", "|---|---|---|---|", *rows])


def export(tower: Tower, config: RetrievalConfig, updates: int, command: str, scores: Sequence[float], path: Path) -> None:
    """The tower as models.percepts.likeness reads it, int8 rows."""
    recipe = {"command": command, "config": asdict(config), "updates": updates, "acc@1, acc@10, concept on held-out drawings": [round(v, 4) for v in scores]}
    checkpoint.save(path, KIND, {}, recipe, checkpoint.quantise(tower.state_dict()), "Likeness", says="Puts a doodle beside the pictures it looks like.")


def run_retrieval(drawings: tuple[Sequence[Item], np.ndarray], folder: Path, budget_minutes: float, command: str, path: Path = WEIGHTS,
                  scores: Path = ASSETS / "SCORES.md", config: RetrievalConfig = RetrievalConfig()) -> str:
    """Train the tower that ships (both hands, all drawings), export it, compare, and write the section; returns it."""
    cv2.setNumThreads(1)
    items, rgba = drawings
    train, unseen = chosen(items, config)
    strokes = strokes_of_rows(rgba, [*train, *unseen], folder / "strokes.npz")
    known = [k for k, drawing in enumerate(strokes) if drawing]
    bank = bank_of([strokes[k] for k in known if k < len(train)], [items[train[k]].concept for k in known if k < len(train)], config)
    rest = [strokes[k] for k in known if k >= len(train)]
    bench = Bench([items[unseen[k - len(train)]].concept for k in known if k >= len(train)], rest, np.stack([raster_of(s) for s in rest]))
    print(f"{len(bank.labels)} drawings to learn from, {len(bench.labels)} held out", flush=True)
    say = lambda text: print(text, flush=True)
    everything, budget = np.arange(len(bank.labels)), Budget(budget_minutes, config.tower_updates)
    mixture = Mixture([("artist", everything, 0.6, None), ("tracer", everything, 0.4, None)], config.cross)
    tower = train_tower(bank, mixture, budget, config.batch_size, config, say=say)
    scores_of_it = bench.score(lambda r: embedded(tower, r))
    export(tower, config, budget.updates, command, scores_of_it, path)
    say(f"{path.name}: {budget.updates} updates, {scores_of_it}")
    comparison = compared(bank, bench, config, say)
    text = report(bench, tower, comparison, config, command)
    write_section(scores, HEADING, text)
    return text
