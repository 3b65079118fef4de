"""Icons from words, measured: python -m models.lab icons n=60 --minutes 0

Whole: sequences that end and draw something. New: the nearest training icon of the same mode overlaps by less than 95 % (IoU at 48 px).
Named: a judge finds the asked words among 50 (n, if fewer are asked). The judge is a small matcher of icons and sentence embeddings with
a seed and a network of its own; it learnt from one half of the training icons, so it is independent of the writer's weights but not of
its sets. Real icons of the other half, and held-out ones, say how much it can be trusted. The rival is the embedded base, traced in two
colours.
"""
from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import BadInput, MissingWeights
from models.vector.gaps import ROUNDING, changes, filled, gap_in
from models.job import Picture
from models.lab.adapter_scores import write_section
from models.lab.evaluate import machine
from models.lab.icon_sets import IconSet, load
from models.lab.icons import WEIGHTS, Phrases, read
from models.nets.icons import IconWriter
from models.vector.pathtokens import BACK, FILL, STROKE, Icon, drawing_of, read_tokens
from models.vector.tracing import trace
from models.vector.vectors import draw
from models.vector.vectors import read as read_svg
from models.weights import ASSETS
from models.vector.writing import Manner, Written, write

HEADING = "## Icons"
SIDE_PX, JUDGE_PX = 48, 32
CROWD = 50
SAME = 0.95
SEEDS = 3
OF = 4                                               # written for each that is kept, in the second row of each
Rasters = np.ndarray                                 # uint8 [N, SIDE_PX, SIDE_PX], coverage


def raster(icon: Icon) -> np.ndarray:
    return draw(drawing_of(icon), SIDE_PX)


class Judge(nn.Module):
    """Icons [N, 1, 32, 32] and sentence embeddings [N, 384] as unit vectors [N, 64]."""

    def __init__(self) -> None:
        super().__init__()
        layer = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d(b), nn.SiLU(), nn.MaxPool2d(2))
        self.see = nn.Sequential(layer(1, 24), layer(24, 48), layer(48, 96), nn.Flatten(), nn.Linear(96 * 16, 192), nn.SiLU(), nn.Linear(192, 64))
        self.read = nn.Linear(384, 64)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def icons(self, rasters: Rasters) -> Tensor:
        small = np.stack([cv2.resize(r, (JUDGE_PX, JUDGE_PX), interpolation=cv2.INTER_AREA) for r in rasters])
        return F.normalize(self.see(torch.from_numpy(small)[:, None].float() / 255), dim=1)

    def words(self, vectors: Tensor) -> Tensor:
        return F.normalize(self.read(vectors), dim=1)


def train_judge(rasters: Rasters, words: Tensor, seconds: float, seed: int = 77) -> Judge:
    """Contrastive (Radford et al. 2021), in batches of 192, the same words in a batch not counted against each other."""
    torch.manual_seed(seed)
    judge, rng, begin = Judge().train(), np.random.default_rng(seed), time.process_time()
    optimizer = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=0.02)
    while (spent := (time.process_time() - begin) / seconds) < 1:
        rows = rng.choice(len(rasters), min(192, len(rasters)), replace=False)
        seen = np.stack([_moved(rasters[i], rng) for i in rows])
        same = torch.cdist(words[rows], words[rows]) < 1e-3
        logits = judge.icons(seen) @ judge.words(words[rows]).T * judge.log_scale.exp()
        logits = logits.masked_fill(same & ~torch.eye(len(rows), dtype=torch.bool), -1e4)
        loss = (F.cross_entropy(logits, torch.arange(len(rows))) + F.cross_entropy(logits.T, torch.arange(len(rows)))) / 2
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * max(0.02, 1 - spent)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return judge.eval()


def _moved(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.roll(picture, rng.integers(-3, 4, 2), (0, 1))


@torch.inference_mode()
def named(judge: Judge, rasters: Rasters, asked: Sequence[str], phrases: Phrases, seed: int = 5) -> tuple[float, float]:
    """(share named first, among the first five) of 50 words each, the asked ones among others of the list."""
    rng, every = np.random.default_rng(seed), sorted(set(asked))
    likeness = judge.icons(rasters) @ judge.words(torch.stack([phrases.mean([w]) for w in every])).T
    places = []
    for i, word in enumerate(asked):
        right = every.index(word)
        others = rng.choice([k for k in range(len(every)) if k != right], min(CROWD, len(every)) - 1, replace=False)
        places.append(int((likeness[i, others] >= likeness[i, right]).sum()))
    return float(np.mean(np.array(places) < 1)), float(np.mean(np.array(places) < 5))


# What is asked, and what is drawn

@dataclass(frozen=True)
class Drawn:
    """words and icons that were kept, one entry each; tried, whole: sequences written, and those that are icons; ms: of processor time
    an icon that is kept."""
    words: list[str]
    icons: list[Icon]
    tried: int
    ms: float
    whole: int = 0


def drawn(net: IconWriter, phrases: Phrases, words: Sequence[str], mode: int, of: int = 1, manner: Manner = Manner()) -> Drawn:
    """SEEDS icons a word; `of`: so many are written for each that is kept, the writer's own judgement says which (models/flows/icon.py)."""
    out, begin = Drawn([], [], len(words) * SEEDS * of, 0.0), time.process_time()
    whole = 0
    for number, word in enumerate(words):
        rows = write(net, phrases.mean([word]), [mode], [1000 * number + s for s in range(SEEDS * of)], manner)
        icons = [icon for row in sorted(rows, key=lambda row: -row.fit) if (icon := _whole(row)) is not None]
        whole += len(icons)
        out.icons.extend(icons[:SEEDS])
        out.words.extend([word] * len(icons[:SEEDS]))
    ms = 1e3 * (time.process_time() - begin) / max(len(words) * SEEDS, 1)
    return Drawn(out.words, out.icons, out.tried, ms, whole)


def _whole(row: Written) -> Icon | None:
    """The icon of a sequence that ended and draws something."""
    try:
        icon = read_tokens(row.tokens) if row.ended else None
    except BadInput:
        return None
    return icon if icon and (raster(icon) > 127).mean() > 0.004 else None


def asked_of(icons: IconSet, split: str, mode: int, n: int) -> list[str]:
    """The names that most icons of a split carry."""
    counts = Counter(icons.named[i].words for i in icons.where(split) if icons.named[i].mode == mode)
    return [words for words, _ in counts.most_common(n)]


def overlap(rasters: Rasters, others: Rasters) -> np.ndarray:
    """IoU of each with each, [N, M]."""
    a, b = ((r > 127).reshape(len(r), -1).astype(np.float32) for r in (rasters, others))
    both = a @ b.T
    return both / np.maximum(a.sum(1)[:, None] + b.sum(1)[None] - both, 1)


def gaps_filled(net: IconWriter, icons: IconSet, phrases: Phrases, n: int, seed: int = 3) -> tuple[float, float, float]:
    """On held-out icons with a random box: (share of fillings that fit, mean, most) of what changed outside the box, in grey levels."""
    rng, change = np.random.default_rng(seed), []
    rows = [int(i) for i in rng.permutation(icons.where("val"))[:n]]
    for i in rows:
        old = drawing_of(icons.icon(i))
        x, y = rng.uniform(0, 0.5, 2)
        region = (x, y, x + 0.5, y + 0.5)
        gap = gap_in(old, region)
        (row,) = write(net, phrases.mean([icons.named[i].words]), gap.given, [i], ends_with=BACK, bounds=gap.bounds)
        try:
            within, outside = changes(filled(gap, row.tokens), old, region) if row.ended else (0, 0)
        except BadInput:
            continue
        change += [outside] if within > ROUNDING else []
    return len(change) / max(len(rows), 1), float(np.mean(change or [0])), float(max(change, default=0))


def traced(words: Sequence[str], paint: Callable[..., np.ndarray]) -> tuple[list[str], Rasters]:
    """The rival: one picture of the embedded base a word, traced in two colours, of which the one that is not the paper is the icon."""
    out, kept = [], []
    for number, word in enumerate(words):
        rgb = paint([word], ["flat"], [number], 4, "student")[0]
        try:
            drawing = read_svg(trace(Picture.from_array(np.ascontiguousarray(rgb)), 2, 0.4))
        except BadInput:
            continue
        ink = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        for shape in drawing.shapes:                 # bottom to top; paper covers what is below it
            cover = draw(type(drawing)(drawing.width, drawing.height, (shape,)), SIDE_PX)
            light = np.mean([int(shape.fill[k:k + 2], 16) for k in (1, 3, 5)]) > 200 if shape.fill.startswith("#") else False
            ink = np.where(cover > 127, 0 if light else 255, ink).astype(np.uint8)
        out.append(word)
        kept.append(ink)
    return out, np.stack(kept)


# The section

def run_icon_scores(folder: Path, command: str, n: int = 60, weights: Path = WEIGHTS, out: Path = ASSETS / "SCORES.md",
                    sheet: Path | None = ASSETS / "sheets" / "icons.webp", judge_s: float = 240.0) -> str:
    """Measure the shipped writer, write the section and the sheet; returns the section."""
    icons, net = load(folder), read(weights).eval()
    phrases = Phrases(icons, folder)
    train = [int(i) for i in icons.where("train") if len(icons.tokens[i]) <= 64]
    rasters = np.stack([raster(icons.icon(i)) for i in train])
    half = np.random.default_rng(9).random(len(train)) < 0.5
    vectors = torch.stack([phrases.mean([icons.named[i].words]) for i in train])
    judge = train_judge(rasters[half], vectors[half], judge_s)
    modes = np.array([icons.named[i].mode for i in train])
    rows = []
    for title, mode in (("lines", STROKE), ("filled", FILL)):
        for what, split in (("names it was trained on", "train"), ("names it never saw", "val"), ("words it never saw", "test")):
            words, known = asked_of(icons, split, mode, n), rasters[modes == mode]
            real = [i for i in icons.where(split) if icons.named[i].mode == mode and icons.named[i].words in set(words)]
            other_half = set(np.array(train)[~half].tolist())
            real = [i for i in real if split != "train" or i in other_half][:3 * n]
            for of in (1, OF):
                picked = f", best of {of}" if of > 1 else ""
                rows.append(_row(f"{title}, {what}{picked}", drawn(net, phrases, words, mode, of), judge, phrases, known))
            rows.append(_real_row(f"real icons: {title}, {what}", real, icons, judge, phrases, known if split != "train" else None))
    rows += _rival_row(asked_of(icons, "train", STROKE, n), judge, phrases)
    fits, mean, most = gaps_filled(net, icons, phrases, 2 * n)
    text = _section(net, rows, f"A region drawn anew on {2 * n} held-out icons: {fits:.0%} of fillings fit at the first try; the largest change outside the "
                    f"region is {mean:.1f} of 255 on average and {most:.0f} at most (paths are cut at its border).", command, len(train), n)
    write_section(out, HEADING, text)
    if sheet:
        contact_sheet(net, phrases, sheet)
    return text


def _row(title: str, made: Drawn, judge: Judge, phrases: Phrases, known: Rasters) -> str:
    if not made.icons:
        return f"| {title} | 0.00 | | | | | {made.ms:.0f} |"
    rasters = np.stack([raster(icon) for icon in made.icons])
    twins = overlap(rasters, rasters) - np.eye(len(rasters))
    first, five = named(judge, rasters, made.words, phrases)
    new, own = (overlap(rasters, known).max(1) < SAME).mean(), (twins.max(1) < SAME).mean()
    return f"| {title} | {made.whole / made.tried:.3f} | {new:.2f} | {own:.2f} | {first:.2f} | {five:.2f} | {made.ms:.0f} |"


def _real_row(title: str, rows: Sequence[int], icons: IconSet, judge: Judge, phrases: Phrases, known: Rasters | None) -> str:
    rasters = np.stack([raster(icons.icon(i)) for i in rows])
    first, five = named(judge, rasters, [icons.named[i].words for i in rows], phrases)
    new = "" if known is None else f"{(overlap(rasters, known).max(1) < SAME).mean():.2f}"
    return f"| {title} | | {new} | | {first:.2f} | {five:.2f} | |"


def _rival_row(words: Sequence[str], judge: Judge, phrases: Phrases) -> list[str]:
    from models.lab.painter import Painter
    try:
        named_words, rasters = traced(words, Painter().paint)
    except MissingWeights as error:
        return [f"| embedded base, traced: not measured ({error}) | | | | | | |"]
    first, five = named(judge, rasters, named_words, phrases)
    return [f"| embedded base, one picture a word, traced | {len(rasters) / len(words):.3f} | | | {first:.2f} | {five:.2f} | |"]


def _section(net: IconWriter, rows: Sequence[str], gaps: str, command: str, trained_on: int, n: int) -> str:
    crowd = min(CROWD, n)
    return "\n".join([
        f"{sum(p.numel() for p in net.parameters()):,} parameters, trained on {trained_on:,} icons of up to 64 tokens. {SEEDS} icons a word, "
        f"top_p {Manner().top_p}, guidance {Manner().guidance}; ms are processor time on one core. The judge names one of "
        f"{crowd} words (chance {1 / crowd:.3f}, five {5 / crowd:.3f}); it is a matcher with another network and seed, "
        f"trained on one half of the training icons, and knows black icons only, which is hard on the traced pictures. "
        f"{datetime.date.today().isoformat()}, {machine()}, {command}.", "",
        "| | whole ↑ | new ↑ | unlike the others ↑ | named first ↑ | among five ↑ | ms an icon |", "|---|---|---|---|---|---|---|", *rows, "", gaps])


SHEET_WORDS = ("home", "heart", "star", "bell", "cloud", "clock", "lock", "user", "search", "mail", "calendar", "camera", "book", "key", "sun", "music",
               "battery", "shopping cart", "cat", "flower", "rocket", "arrow right", "trash", "umbrella")


def contact_sheet(net: IconWriter, phrases: Phrases, path: Path, cell_px: int = 56) -> None:
    """Each word's three icons of lines and three filled ones, best of four as the writer itself judges; no person picked."""
    rows = []
    for number, word in enumerate(SHEET_WORDS):
        cells = [_label(word, cell_px)]
        for mode in (STROKE, FILL):
            written = sorted(write(net, phrases.mean([word]), [mode], [50 * number + s for s in range(3 * OF)]), key=lambda row: -row.fit)
            icons = [icon for row in written if (icon := _whole(row)) is not None][:3]
            cells += [255 - draw(drawing_of(icon), cell_px) for icon in icons]
            cells += [np.full((cell_px, cell_px), 200, np.uint8)] * (3 - len(icons))
        rows.append(np.hstack([np.pad(cell, 4, constant_values=255) for cell in cells]))
    half = (len(rows) + 1) // 2
    _save(np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:2 * half])]), path)


def _label(word: str, cell_px: int) -> np.ndarray:
    cell = np.full((cell_px, 2 * cell_px), 255, np.uint8)
    cv2.putText(cell, word, (2, cell_px // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, 0, 1, cv2.LINE_AA)
    return cell


def _save(sheet: np.ndarray, path: Path) -> None:
    from PIL import Image

    from models.files import write_atomic
    write_atomic(path, lambda part: Image.fromarray(sheet).save(part, "WEBP", quality=70, method=6))
