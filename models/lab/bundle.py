"""The index of pictures that ships with Find by sketch: painted by the embedded student, never taken from the training set.

    python -m models.lab bundle                      # a few minutes; after every training of the student or of the likeness tower

Every picture is a Job, so that the studio paints it again at full size. What goes in: the prompts of assets/prompts64.txt and concepts
that all emoji sets draw, in turn through the styles.
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
from models.lab.retrieval import RARE
from models.lines import edges
from models.nets.doodle import KIND, Tower, raster, stacked
from models.spec import EMBEDDED_STYLES
from models.weights import sha256

COUNT, STEPS, THUMB_PX, COLUMNS, PAINT_BATCH = 240, 4, 96, 16, 8
FEWEST_LINES_PX = 150                                # a picture with fewer edge pixels at 256 is a smudge, and left out
FOLDER = ASSETS / "percepts"
Paint = Callable[[Sequence[str], Sequence[str], Sequence[int], int, str], np.ndarray]   # as models.lab.painter.Painter.paint


def wanted(items: Sequence[Item], count: int, prompts: Sequence[tuple[str, str]]) -> list[Job]:
    """`count` jobs: the fixed prompts first, then well known concepts (drawn by at least five sets, at most two words) by a seeded draw."""
    sets: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.split == "train" and item.category not in RARE and len(item.label.split()) <= 2:
            sets[item.label].add(item.source)
    asked = {prompt for _, prompt in prompts}
    known = sorted(article(label) for label, sources in sets.items() if len(sources) >= 5)
    known = [prompt for prompt in known if prompt not in asked]
    np.random.default_rng(3).shuffle(known)
    styles = [style.id for style in EMBEDDED_STYLES if style.id != "sticker"]
    pairs = [*prompts, *((styles[k % len(styles)], prompt) for k, prompt in enumerate(known))]
    return [Job(prompt=prompt, style=style, seeds=(k,), steps=STEPS) for k, (style, prompt) in enumerate(pairs[:count])]


def painted(jobs: Sequence[Job], paint: Paint) -> np.ndarray:
    """uint8 [N, 256, 256, 3]."""
    parts = [jobs[i:i + PAINT_BATCH] for i in range(0, len(jobs), PAINT_BATCH)]
    return np.concatenate([paint([j.prompt for j in part], [j.style for j in part], [j.seeds[0] for j in part], STEPS, "student") for part in parts])


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


def run_bundle(items: Sequence[Item], paint: Paint, student: Path, folder: Path = FOLDER, count: int = COUNT) -> int:
    """Paint, index and write bundled.json, bundled.safetensors (fp16 [N, D]) and bundled.webp; returns how many are in it."""
    jobs = wanted(items, count + count // 10, read_prompts())
    pictures = painted(jobs, paint)
    lines = [edges(picture) for picture in pictures]
    kept = [i for i, line in enumerate(lines) if line.sum() >= FEWEST_LINES_PX][:count]
    with torch.no_grad():
        vectors = read_tower(folder / "likeness.safetensors")(stacked([raster(lines[i]) for i in kept]))
    told = {"student_sha256": sha256(student), "likeness_sha256": sha256(folder / "likeness.safetensors"), "thumb_px": THUMB_PX, "columns": COLUMNS,
            "jobs": [{"prompt": j.prompt, "style": j.style, "seeds": list(j.seeds), "steps": j.steps} for j in (jobs[i] for i in kept)]}
    checkpoint.write(folder / "bundled.safetensors", {"vectors": vectors.half()}, {"made_by": "python -m models.lab bundle"})
    write_atomic(folder / "bundled.webp", lambda p: _sheet([pictures[i] for i in kept]).save(p, "WEBP", quality=80, method=6))
    text = json.dumps(told, ensure_ascii=False).replace('{"prompt"', '\n{"prompt"')
    write_atomic(folder / "bundled.json", lambda p: p.write_text(text + "\n", encoding="utf-8"))
    return len(kept)
