"""Scores of a painter against real drawings: what is asked, how it is judged, the table in assets/SCORES.md, contact sheets.

Everything is drawn by seed, so two painters are asked the same. The metrics themselves are found in `models.lab.metrics`.
"""
from __future__ import annotations

import datetime
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from models.devices import pick_device
from models.lab.captions import article
from models.files import write_atomic
from models.lab.items import STICKER_SOURCES, STICKER_STYLE, STYLE_IDS, STYLES, Item
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.metrics.metric import AGAIN, KNOWN, PAIR, REBUILT, STICKER, UNSEEN, Painted, Score, discover
from models.lab.metrics.real import CATEGORIES, HELD_OUT, Real, load_real, view
from models.lab.pictures import BACKGROUNDS, SCENES

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PROMPTS_FILE = ASSETS / "prompts64.txt"
STICKER_ID = "sticker"
SEEDS_AGAIN = 4                                      # pictures of one prompt in the diversity score
PAINT_BATCH = 16

# paint(prompts, style ids, seeds, steps, "teacher" | "student") -> uint8 [N, 256, 256, 3]
Paint = Callable[[Sequence[str], Sequence[str], Sequence[int], int, str], np.ndarray]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Column:
    """One painter of the table."""
    title: str
    who: str
    steps: int


COLUMNS = (Column("teacher, 24 steps", "teacher", 24), Column("teacher, 1 step", "teacher", 1),
           Column("student, 1 step", "student", 1), Column("student, 2 steps", "student", 2),
           Column("student, 4 steps", "student", 4))


@dataclass(frozen=True)
class Ask:
    """One picture to paint: `wanted` is the real drawing whose concept and style are asked for."""
    prompt: str
    style: str
    seed: int
    wanted: int
    kind: str


def _some(indices: Sequence[int], n: int, rng: np.random.Generator) -> list[int]:
    return sorted(int(i) for i in rng.choice(indices, min(n, len(indices)), replace=False)) if len(indices) else []


def asks(items: Sequence[Item], n: int, seed: int = 0) -> list[Ask]:
    """`n` known prompts; n/4 at most of unseen concepts and as many of unseen style+concept pairs; n/12 prompts with three more
    seeds each; n/12 stickers. Only the six categories of things, animals and faces, in their natural shares."""
    rng = np.random.default_rng(seed)

    def pool(*splits: str) -> list[int]:
        return [i for i, item in enumerate(items) if item.split in splits and item.category in CATEGORIES]

    def ask(i: int, kind: str, number: int) -> Ask:
        return Ask(article(items[i].label), STYLE_IDS[items[i].source], number, i, kind)
    known = _some(pool("train"), n, rng)
    out = [ask(i, KNOWN, k) for k, i in enumerate(known)]
    out += [ask(i, PAIR, k) for k, i in enumerate(_some(pool(*HELD_OUT), n // 4, rng))]
    out += [ask(i, UNSEEN, k) for k, i in enumerate(_some(pool("test_concept"), n // 4, rng))]
    for i in _some(known, n // 12, rng):
        out += [ask(i, AGAIN, 1000 + k) for k in range(SEEDS_AGAIN)]
    colors = [name for name in BACKGROUNDS if name != "white"]
    for k, i in enumerate(_some([i for i in pool("train") if items[i].source in STICKER_SOURCES], n // 12, rng)):
        prompt = f"{article(items[i].label)}, on a {rng.choice(colors)} background"
        out.append(Ask(prompt, STICKER_ID, k, i, STICKER))
    return out


def _style_words(asked: Sequence[Ask], items: Sequence[Item]) -> np.ndarray:
    return np.array([STICKER_STYLE if ask.kind == STICKER else items[ask.wanted].style for ask in asked])


def _painted(pictures: np.ndarray, asked: Sequence[Ask], real: Real, net: FeatureNet, is_real: bool = False) -> Painted:
    seen = look(net, pictures)
    wanted, kinds = np.array([a.wanted for a in asked]), np.array([a.kind for a in asked])
    return Painted(pictures, seen[:, :POOLED], seen[:, POOLED:], wanted, _style_words(asked, real.items), kinds, is_real)


def paint_all(paint: Paint, asked: Sequence[Ask], column: Column, say: Say) -> np.ndarray:
    """uint8 [N, 256, 256, 3] of one column."""
    out = []
    for start in range(0, len(asked), PAINT_BATCH):
        part = asked[start:start + PAINT_BATCH]
        out.append(paint([a.prompt for a in part], [a.style for a in part], [a.seed for a in part], column.steps, column.who))
        if start % (PAINT_BATCH * 10) == 0:
            say(f"{column.title}: {start} of {len(asked)} painted")
    return np.concatenate(out)


def _real_answer(ask: Ask, nth: int, real: Real, same: dict[str, list[int]]) -> np.ndarray:
    """What stands for this ask in the floor column: the drawing itself, as a sticker, or that concept's `nth` drawing."""
    index = same[real.items[ask.wanted].label][nth] if ask.kind == AGAIN else ask.wanted
    return view(real.items[index], real.rgba[index], "sticker" if ask.kind == STICKER else "plain")


def floor(asked: Sequence[Ask], real: Real, net: FeatureNet) -> Painted:
    """The column of a perfect painter: every ask answered by a real drawing; AGAIN by that concept in several styles."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(real.items):
        same[item.label].append(i)
    pictures, answered, nth = [], [], defaultdict(int)
    for ask in asked:
        number = nth[ask.wanted] if ask.kind == AGAIN else 0
        nth[ask.wanted] += ask.kind == AGAIN
        if number < len(same[real.items[ask.wanted].label]):
            pictures.append(_real_answer(ask, number, real, same))
            answered.append(ask)
    return _painted(np.stack(pictures), answered, real, net, is_real=True)


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    """All metrics of the folder over one column."""
    rows: dict[str, Score] = {}
    for metric in discover():
        rows |= metric.measure(painted, real)
    return rows


def _rebuilt(rebuild: Callable[[np.ndarray], np.ndarray], real: Real) -> dict[str, Score]:
    """The autoencoder on held-out drawings."""
    chosen = real.where(*HELD_OUT, "test_concept")
    kinds = np.full(len(chosen), REBUILT)
    styles = np.array([real.items[i].style for i in chosen])
    painted = Painted(rebuild(real.pictures(chosen)), real.plain[chosen], real.textures[chosen, 0], chosen, styles, kinds)
    return measure(painted, real)


# The report

def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    digits = 1 if abs(score.value) >= 10 else 3
    return f"{score.value:.{digits}f}" + (f" ± {score.spread:.{digits}f}" if score.spread is not None else "")


def table(columns: dict[str, dict[str, Score]]) -> str:
    """A markdown table, rows in the order of their first mention."""
    rows = dict.fromkeys(name for column in columns.values() for name in column)
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(_cell(column.get(row)) for column in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """A sentence about where this runs, without its name."""
    device = pick_device()
    return f"{os.cpu_count()} cores ({platform.machine()}), {device.name}, torch {torch.__version__.split('+')[0]}"


def _report(columns: dict[str, dict[str, Score]], rebuilt: dict[str, Score], facts: dict[str, str]) -> str:
    lines = ["# Scores of the embedded base", "", *(f"- {key}: {value}" for key, value in facts.items()), "", table(columns), ""]
    if rebuilt:
        lines += ["The autoencoder alone, on held-out drawings:", "", table({"value": rebuilt}), ""]
    lines += ["The last column holds real drawings, the very ones asked for, each judged by a head that never saw it: a ceiling",
              "of accuracies and a floor of distances. ± is half a 95 % interval. What the rows mean:", ""]
    lines += [f"- **{metric.name}**: {_about(metric.measure)}" for metric in discover()]
    return "\n".join(lines) + "\n"


def _kept_sections(path: Path) -> str:
    """What other recipes wrote below the report: everything from the first "## " on."""
    _, mark, rest = path.read_text(encoding="utf-8").partition("\n## ") if path.exists() else ("", "", "")
    return mark + rest


def _about(function: Callable) -> str:
    """The first paragraph of the metric's file."""
    first = (sys.modules[function.__module__].__doc__ or "").strip().split("\n\n")[0]
    return f"{' '.join(first.split())} (`{function.__module__.replace('.', '/')}.py`)"


def run_scores(drawings: tuple[Sequence[Item], np.ndarray], paint: Paint, cache_dir: Path, say: Say = print, n: int = 600,
               columns: Sequence[Column] = COLUMNS, rebuild: Callable[[np.ndarray], np.ndarray] | None = None,
               facts: dict[str, str] | None = None, out: Path = ASSETS / "SCORES.md") -> dict[str, dict[str, Score]]:
    """Paint, judge, write `out` after each column (so an interrupted run leaves what it knows), return the columns.

    drawings: items and their pictures uint8 [N, 256, 256, 4]; `cache_dir` keeps features of real pictures and the pictures
    painted, as contact sheets; `rebuild` is the autoencoder there and back on uint8 [N, 256, 256, 3]; `facts` go to the head of
    the report (command, weights hash).
    """
    device = pick_device()
    net = FeatureNet(device.name, device.dtype)
    real = load_real(*drawings, cache_dir, net, say)
    asked = asks(real.items, n)
    truth = {"real drawings": measure(floor(asked, real, net), real)}
    rebuilt = _rebuilt(rebuild, real) if rebuild else {}
    head = {"date": datetime.date.today().isoformat(), "machine": machine(), "pictures a column": str(len(asked))} | (facts or {})
    result: dict[str, dict[str, Score]] = {}
    for column in columns:
        painted = _painted(paint_all(paint, asked, column, say), asked, real, net)
        result[column.title] = measure(painted, real)
        save_sheets(painted, asked, real, cache_dir / column.title.replace(", ", "-").replace(" ", "-"))
        say(f"{column.title}: " + ", ".join(f"{name} {_cell(score)}" for name, score in result[column.title].items()))
        text = _report(result | truth, rebuilt, head) + _kept_sections(out)
        write_atomic(out, partial(Path.write_text, data=text, encoding="utf-8"))
    return result | truth


# For the eye

def contact_sheet(pictures: Sequence[np.ndarray], captions: Sequence[str], columns: int = 8, side_px: int = 128) -> Image.Image:
    """Pictures [H, W, 3] uint8 in a grid, each above its caption, cut to the width of its cell."""
    line_px = 14
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side_px, rows * (side_px + line_px)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for k, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = k % columns * side_px, k // columns * (side_px + line_px)
        sheet.paste(Image.fromarray(picture).resize((side_px, side_px), Image.Resampling.LANCZOS), (x, y))
        while caption and draw.textlength(caption, font) > side_px - 4:
            caption = caption[:-1]
        draw.text((x + 2, y + side_px), caption, "black", font)
    return sheet


def save_sheets(painted: Painted, asked: Sequence[Ask], real: Real, folder: Path, n: int = 64) -> None:
    """`known.webp`, `unseen.webp`...: the first pictures of each kind; `nearest.webp`: pairs nearest to a training drawing."""
    from models.lab.metrics.memorised import nearest_features
    folder.mkdir(parents=True, exist_ok=True)
    for kind in dict.fromkeys(ask.kind for ask in asked):
        rows = np.flatnonzero(painted.kinds == kind)[:n]
        words = [f"{asked[i].style}: {asked[i].prompt}" for i in rows]
        contact_sheet(painted.pictures[rows], words).save(folder / f"{kind}.webp", quality=85)
    known = np.flatnonzero(painted.kinds == KNOWN)
    near = nearest_features(painted.features[known], real)
    pictures, words = [], []
    for i in np.argsort(near.distance)[:n // 2]:
        pictures += [painted.pictures[known[i]], real.pictures([near.index[i]])[0]]
        words += [f"painted: {asked[known[i]].prompt}", f"nearest: {real.items[near.index[i]].label}"]
    contact_sheet(pictures, words).save(folder / "nearest.webp", quality=85)


def read_prompts(path: Path = PROMPTS_FILE) -> list[tuple[str, str]]:
    """(style id, prompt) of each line "style | prompt"."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(style.strip(), prompt.strip()) for style, _, prompt in (line.partition("|") for line in lines if "|" in line)]


def fair_prompts(items: Sequence[Item], seed: int = 64) -> list[tuple[str, str]]:
    """64 prompts by a seeded draw: 8 of each category, all styles in turn; 3 on a colour, 3 stickers, 6 in a scene, 4 unseen.

    Concepts of at most two words that all six sets draw, so that "is it recognisable?" is a fair question.
    """
    rng = np.random.default_rng(seed)
    sets: dict[str, set[str]] = defaultdict(set)
    for item in items:
        sets[item.label].add(item.source)

    def drawn(split: str, categories: Sequence[str]) -> list[str]:
        return sorted({i.label for i in items if i.split == split and i.category in categories
                       and len(sets[i.label]) == len(STYLES) and len(i.label.split()) < 3})
    styles = list(STYLE_IDS.values())
    picks = [label for c in CATEGORIES for label in rng.choice(drawn("train", (c,)), 8, replace=False)]
    more = rng.choice(sorted(set(drawn("train", CATEGORIES[:5])) - set(picks)), 12, replace=False)
    unseen = rng.choice(drawn("test_concept", CATEGORIES), 4, replace=False)
    colors = rng.choice([name for name in BACKGROUNDS if name != "white"], 6, replace=False)
    prompts = [article(label) for label in picks]
    prompts += [f"{article(label)}, on a {color} background" for label, color in zip(more[:6], colors, strict=True)]
    prompts += [f"{article(label)}, {rng.choice(SCENES)}" for label in more[6:]]
    prompts += [article(label) for label in unseen]
    return [(STICKER_ID if 51 <= k < 54 else styles[k % len(styles)], prompt) for k, prompt in enumerate(prompts)]
