"""Trains the icon writer: python -m models.lab icons --minutes 24

Cross-entropy of the next token (Wu et al. 2023, "IconShop", section 4.2); a third of the icons are shown with a gap that is told at the
end (section 4.3). Words are a mean of sentence embeddings of a name and of tags, sometimes none, so that guidance has something to
lean against; the set an icon is from is told half of the time, so that one manner of drawing can be asked for.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from models import checkpoint
from models.files import write_atomic
from models.lab.budget import Budget
from models.lab.icon_sets import SOURCES, IconSet, load
from models.lab.muon import Muon
from models.nets.icons import KIND, IconWriter, Shape
from models.vector.pathtokens import FIRST_POINT, GRID, STATES, Icon, gapped, told, tokens_of
from models.text import WIDTH, TextEncoder
from models.weights import ASSETS

WEIGHTS = ASSETS / "vectors" / "icons.safetensors"
SHIFT = 3                                            # cells, section 4.2
PHRASES = "icon-words.safetensors"


@dataclass(frozen=True)
class IconConfig:
    width: int = 192
    depth: int = 6
    heads: int = 3
    words: int = 2
    batch_tokens: int = 3072
    longest: int = 64                                # tokens of an icon that is trained on: simple ones first
    lr: float = 2e-3
    warmup_steps: int = 100
    cooldown_share: float = 0.6
    gaps: float = 0.3
    wordless: float = 0.1
    sourceless: float = 0.5
    seed: int = 0
    report_s: float = 240.0


class Phrases:
    """Sentence embeddings of all names and tags, fp16 [N, 384] of unit variance."""

    def __init__(self, icons: IconSet, folder: Path, say: Callable[[str], None] = print) -> None:
        self.row = {p: i for i, p in enumerate(sorted({p for n in icons.named for p in (n.words, *n.tags)}))}
        path = folder / PHRASES
        if not path.exists() or len(load_file(path)["vectors"]) != len(self.row):
            say(f"reading {len(self.row)} names and tags")
            write_atomic(path, lambda part: save_file({"vectors": _read(list(self.row))}, part))
        self.vectors = torch.from_numpy(load_file(path)["vectors"]).float()

    def mean(self, phrases: Sequence[str]) -> Tensor:
        """[384] of unit variance."""
        return unit(self.vectors[[self.row[p] for p in phrases]].mean(0))


def unit(vector: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vector, dim=-1) * WIDTH ** 0.5


def _read(texts: list[str]) -> np.ndarray:
    encoder, order = TextEncoder(), np.argsort([len(t) for t in texts], kind="stable")
    out = np.zeros((len(texts), WIDTH), np.float16)
    for part in np.array_split(order, max(1, len(texts) // 256)):
        out[part] = torch.stack([s.pooled for s in encoder.encode([texts[i] for i in part])]).numpy()
    return out


@dataclass(frozen=True)
class Batch:
    """What IconWriter.losses takes."""
    tokens: Tensor
    told: Tensor
    text: Tensor
    source: Tensor


class Feeder:
    """Batches of icons of like length, each seen once an epoch, moved, sometimes with a gap, sometimes without words."""

    def __init__(self, icons: IconSet, phrases: Phrases, config: IconConfig, split: str = "train") -> None:
        self.icons, self.phrases, self.config = icons, phrases, config
        self.rows = np.array([i for i in icons.where(split) if len(icons.tokens[i]) <= config.longest], int)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(self.rows)
        batches = [group for chunk in np.array_split(order, max(1, len(order) // 4096)) for group in self._groups(chunk)]
        for i in rng.permutation(len(batches)):
            yield self.batch(batches[i], rng)

    def _groups(self, rows: np.ndarray) -> Iterator[list[int]]:
        """Rows of like length, `batch_tokens` together."""
        group: list[int] = []
        for i in sorted(rows, key=lambda i: len(self.icons.tokens[i])):
            if group and (len(group) + 1) * len(self.icons.tokens[i]) > self.config.batch_tokens:
                yield group
                group = []
            group.append(int(i))
        if group:
            yield group

    def batch(self, rows: Sequence[int], rng: np.random.Generator) -> Batch:
        sequences = [self.sequence(i, rng) for i in rows]
        texts = torch.stack([self.text(i, rng) for i in rows])
        known = rng.random(len(rows)) >= self.config.sourceless
        sources = [SOURCES.index(self.icons.named[i].source) if k else 0 for i, k in zip(rows, known, strict=True)]
        return batch_of(sequences, texts, sources)

    def sequence(self, row: int, rng: np.random.Generator) -> list[int]:
        icon = shifted(self.icons.icon(row), rng)
        if rng.random() >= self.config.gaps:
            return tokens_of(icon)
        count = len(icon.units)
        start = int(rng.integers(0, count))
        stop = int(min(count, start + 1 + rng.integers(0, max(1, count // 2))))
        return gapped(icon, start, stop)

    def text(self, row: int, rng: np.random.Generator) -> Tensor:
        """No words, the name, tags, or the name with tags."""
        named, kind = self.icons.named[row], rng.random()
        if kind < self.config.wordless:
            return torch.zeros(WIDTH)
        tags = [str(t) for t in rng.permutation(named.tags)[:int(rng.integers(1, 4))]] if named.tags else []
        return self.phrases.mean([named.words] if kind < 0.6 or not tags else tags if kind > 0.85 else [named.words, *tags])


def batch_of(sequences: Sequence[Sequence[int]], text: Tensor, sources: Sequence[int]) -> Batch:
    longest = max(map(len, sequences))
    tokens = np.zeros((len(sequences), longest), np.int64)
    says = np.zeros((len(sequences), longest, 7), np.int64)
    for i, sequence in enumerate(sequences):
        tokens[i, :len(sequence)] = sequence
        says[i, :len(sequence)] = told(sequence)
    return Batch(torch.from_numpy(tokens), torch.from_numpy(says), text, torch.tensor(list(sources)))


def shifted(icon: Icon, rng: np.random.Generator) -> Icon:
    """Moved by up to SHIFT cells each way, never over the rim."""
    points = np.array([p for unit in icon.units for p in unit.points])
    low, high = np.maximum(-SHIFT, -points.min(0)), np.minimum(SHIFT, GRID - 1 - points.max(0))
    dx, dy = (int(v) for v in rng.integers(low, high + 1))
    return Icon(icon.mode, tuple(type(u)(u.command, tuple((x + dx, y + dy) for x, y in u.points)) for u in icon.units))


def fresh(config: IconConfig) -> IconWriter:
    torch.manual_seed(config.seed)
    return IconWriter(Shape(FIRST_POINT, GRID, STATES, len(SOURCES), config.width, config.depth, config.heads, config.words))


@torch.no_grad()
def held_out_loss(net: IconWriter, feeder: Feeder, icons: int = 192) -> float:
    """Nats a token on fixed icons with fixed gaps."""
    rng, rows = np.random.default_rng(1), feeder.rows[:icons]
    total, count = 0.0, 0
    for group in feeder._groups(rows):
        batch = feeder.batch(group, rng)
        losses = net.losses(batch.tokens, batch.told, batch.text, batch.source)
        total, count = total + float(losses.sum()), count + int((batch.tokens > 0).sum())
    return total / max(count, 1)


def train(net: IconWriter, feeder: Feeder, held_out: Feeder, budget: Budget, config: IconConfig,
          at_report: Callable[[dict], None] = lambda story: None, say: Callable[[str], None] = print) -> dict:
    """Train until the budget is spent. Returns the story for the header. fp32: at this size bf16 was slower on the CPUs measured."""
    optimizer = Muon(net.named_parameters(), config.lr, ends=("embed", "head"))
    rng, last, begin = np.random.default_rng(config.seed), time.monotonic(), time.monotonic()
    story = {"updates": 0, "icons_seen": 0, "tokens_seen": 0, "losses": []}
    running: list[float] = []
    while budget.spent < 1:
        for batch in feeder.epoch(rng):
            loss = _step(net, optimizer, batch, _rate(config, story["updates"], budget.spent))
            running.append(loss)
            budget.tick()
            story["updates"] += 1
            story["icons_seen"] += len(batch.tokens)
            story["tokens_seen"] += int((batch.tokens > 0).sum())
            if time.monotonic() - last > config.report_s or budget.spent >= 1 or story["updates"] == 20:
                story["losses"].append((story["updates"], round(float(np.mean(running)), 4), round(held_out_loss(net, held_out), 4)))
                say(f"{story['updates']} updates, {story['icons_seen']:,} icons, loss {story['losses'][-1][1]}, held out {story['losses'][-1][2]}, "
                    f"{story['tokens_seen'] / (time.monotonic() - begin):.0f} tokens/s, {budget.minutes_left:.1f} min left")
                running, last = [], time.monotonic()
                at_report(story)
            if budget.spent >= 1:
                break
    return story


def _step(net: IconWriter, optimizer: Muon, batch: Batch, lr: float) -> float:
    losses = net.losses(batch.tokens, batch.told, batch.text, batch.source)
    loss = losses.sum() / (batch.tokens > 0).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _rate(config: IconConfig, updates: int, spent: float) -> float:
    return config.lr * min(1.0, (updates + 1) / config.warmup_steps) * max(0.02, min(1.0, (1 - spent) / config.cooldown_share))


def make_icons(folder: Path, budget: Budget, out: str, command: str, go_on: bool = False, config: IconConfig = IconConfig(),
               say: Callable[[str], None] = lambda text: print(text, flush=True)) -> IconWriter:
    """Train and write `out` ("" = what ships); at every report also a copy in the lab's folder, so that a run cut off leaves something.
    go_on: from the weights that ship."""
    icons = load(folder, say)
    phrases = Phrases(icons, folder, say)
    net = read(WEIGHTS) if go_on and WEIGHTS.exists() else fresh(config)
    say(f"{len(icons)} icons, {sum(map(len, icons.tokens)):,} tokens, {sum(p.numel() for p in net.parameters()):,} parameters")
    budget.begin = time.monotonic()                  # reading the packages for the first time is not training
    kept = folder / "icons-writer.safetensors"
    story = train(net, Feeder(icons, phrases, config), Feeder(icons, phrases, config, "val"), budget, config,
                  lambda so_far: export(net, so_far | {"command": command}, kept), say)
    export(net, {"command": command, "data": "models/lab/icon_sets.py", "config": asdict(config), **story}, Path(out) if out else WEIGHTS)
    return net


def export(net: IconWriter, recipe: dict, out: Path) -> None:
    checkpoint.save(out, KIND, net.config() | {"names": list(SOURCES)}, json.loads(json.dumps(recipe)),
                    checkpoint.quantise({k: v.detach() for k, v in net.state_dict().items()}), "Onestroke icon writer",
                    says="Writes icons as path tokens from words; trained on freely licensed icon sets, see assets/CREDITS.md.")


def read(path: Path) -> IconWriter:
    saved = checkpoint.load(path, KIND)
    net = IconWriter(Shape(**{k: v for k, v in saved.config.items() if k != "names"}))
    net.load_state_dict(saved.tensors)
    return net
