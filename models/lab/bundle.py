"""The index of pictures that ships with Find by sketch: painted by the embedded student, never taken from the training set.

    python -m models.lab bundle                      # a few minutes; after every training of the student or of the likeness tower

Every picture is a Job, so that the studio paints it again at full size. Asked for are the prompts of assets/prompts64.txt, what people
like to doodle (assets/doodles.txt), and concepts that nearly all emoji sets draw, in turn through the styles; the better part of what is
painted goes in, by an ImageNet network that compares each with drawings of its concept.
"""
from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from models import checkpoint
from models.files import write_atomic
from models.job import Job
from models.lab.captions import article
from models.lab.evaluate import ASSETS, read_prompts
from models.lab.items import Item
from models.lab.pictures import over
from models.lab.retrieval import RARE
from models.lines import edges
from models.nets.doodle import KIND, Tower, raster, stacked
from models.spec import EMBEDDED_STYLES
from models.weights import sha256

COUNT, ASKED, STEPS, THUMB_PX, COLUMNS, PAINT_BATCH = 240, 400, 4, 96, 16, 8
FAVOUR = 0.15                                        # what a doodled concept gains in the choice
REAL = 1                                             # drawings that a painted picture is compared with
FEWEST_LINES_PX = 150                                # a picture with fewer edge pixels at 256 is a smudge, and left out
FOLDER = ASSETS / "percepts"
Paint = Callable[[Sequence[str], Sequence[str], Sequence[int], int, str], np.ndarray]   # as models.lab.painter.Painter.paint
Rate = Callable[[Sequence[Job], np.ndarray], np.ndarray]                                # (jobs, pictures) -> how well each came out, [N]


def read_doodles(path: Path = ASSETS / "doodles.txt") -> list[str]:
    """Prompts of what people like to doodle, one concept a line."""
    return [article(line.strip()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def wanted(items: Sequence[Item], count: int, prompts: Sequence[tuple[str, str]], doodles: Sequence[str] = ()) -> list[Job]:
    """`count` jobs: the fixed (style, prompt) first, then doodles, then well known concepts (drawn by at least five sets, at most two
    words) by a seeded draw."""
    sets: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.split == "train" and item.category not in RARE and len(item.label.split()) <= 2:
            sets[item.label].add(item.source)
    asked = {prompt for _, prompt in prompts}
    known = sorted(article(label) for label, sources in sets.items() if len(sources) >= 5)
    known = [prompt for prompt in known if prompt not in asked]
    np.random.default_rng(3).shuffle(known)
    styles = [style.id for style in EMBEDDED_STYLES if style.id != "sticker"]
    turns = lambda texts, seed: [(styles[k % len(styles)], text, seed + k) for k, text in enumerate(texts)]
    every = [(style, prompt, k) for k, (style, prompt) in enumerate(prompts)] + turns([d for d in doodles if d not in asked], 1000)
    every += [one for one in turns(known, len(prompts)) if one[1] not in doodles]
    return [Job(prompt=prompt, style=style, seeds=(seed,), steps=STEPS) for style, prompt, seed in every[:count]]


def painted(jobs: Sequence[Job], paint: Paint) -> np.ndarray:
    """uint8 [N, 256, 256, 3]."""
    parts = [jobs[i:i + PAINT_BATCH] for i in range(0, len(jobs), PAINT_BATCH)]
    return np.concatenate([paint([j.prompt for j in part], [j.style for j in part], [j.seeds[0] for j in part], STEPS, "student") for part in parts])


def recognisable(items: Sequence[Item], rgba: np.ndarray, jobs: Sequence[Job], pictures: np.ndarray) -> np.ndarray:
    """Cosine of each picture with drawings of its concept among the features of an ImageNet network, centred, [N] in -1..1; -1 where
    no drawing is called what the prompt says (scenes)."""
    from models.lab.metrics.features import POOLED, FeatureNet, look
    rows: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        if item.split == "train" and len(rows[article(item.label)]) < REAL:
            rows[article(item.label)].append(i)
    known = [k for k, job in enumerate(jobs) if rows.get(job.prompt)]
    eyes, white = FeatureNet(), np.uint8([255, 255, 255])
    real = {k: look(eyes, [over(np.asarray(rgba[i]), white) for i in rows[jobs[k].prompt]])[:, :POOLED].mean(0) for k in known}
    out = np.full(len(jobs), -1.0)
    if known:
        truth, seen = np.stack([real[k] for k in known]), look(eyes, pictures[known])[:, :POOLED]
        unit = lambda f: (f - f.mean(0)) / np.maximum(np.linalg.norm(f - f.mean(0), axis=1, keepdims=True), 1e-6)
        out[known] = (unit(truth) * unit(seen)).sum(1)
    return out


def _sheet(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Thumbs in rows of COLUMNS, without captions: the studio cuts them out again."""
    sheet = Image.new("RGB", (COLUMNS * THUMB_PX, -(-len(pictures) // COLUMNS) * THUMB_PX), "white")
    for k, picture in enumerate(pictures):
        thumb = cv2.resize(picture, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
        sheet.paste(Image.fromarray(thumb), (k % COLUMNS * THUMB_PX, k // COLUMNS * THUMB_PX))
    return sheet


def read_tower(path: Path) -> Tower:
    saved = checkpoint.load(path, KIND)
    tower = Tower(**saved.config)
    tower.load_state_dict(saved.tensors)
    return tower.eval()


def run_bundle(items: Sequence[Item], paint: Paint, rate: Rate, student: Path, folder: Path = FOLDER, count: int = COUNT, asked: int = ASKED) -> int:
    """Paint, choose, index and write bundled.json, bundled.safetensors (fp16 [N, D]) and bundled.webp; returns how many are in it."""
    doodles = read_doodles()
    jobs = wanted(items, asked, read_prompts(), doodles)
    pictures = painted(jobs, paint)
    lines, rates = [edges(picture) for picture in pictures], rate(jobs, pictures) + FAVOUR * np.array([job.prompt in doodles for job in jobs])
    seen = [i for i, line in enumerate(lines) if line.sum() >= FEWEST_LINES_PX]
    kept = sorted(sorted(seen, key=lambda i: -rates[i])[:count])
    with torch.no_grad():
        vectors = read_tower(folder / "likeness.safetensors")(stacked([raster(lines[i]) for i in kept]))
    told = {"student_sha256": sha256(student), "likeness_sha256": sha256(folder / "likeness.safetensors"), "thumb_px": THUMB_PX, "columns": COLUMNS,
            "jobs": [{"prompt": j.prompt, "style": j.style, "seeds": list(j.seeds), "steps": j.steps} for j in (jobs[i] for i in kept)]}
    checkpoint.write(folder / "bundled.safetensors", {"vectors": vectors.half()}, {"made_by": "python -m models.lab bundle"})
    write_atomic(folder / "bundled.webp", lambda p: _sheet([pictures[i] for i in kept]).save(p, "WEBP", quality=80, method=6))
    text = json.dumps(told, ensure_ascii=False).replace('{"prompt"', '\n{"prompt"')
    write_atomic(folder / "bundled.json", lambda p: p.write_text(text + "\n", encoding="utf-8"))
    return len(kept)
