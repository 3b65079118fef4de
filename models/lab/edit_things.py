"""The named drawings of the bench of edits: held out of every training, one a concept, on one sheet beside a list of names."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models.errors import BadInput
from models.files import write_atomic
from models.lab.items import Item
from models.lab.metrics.real import HELD_OUT

NAMES = ("backpack;basketball;beetle;bone;cactus;chicken;christmas tree;ferris wheel;fire engine;fox;frog;full moon;ghost;hamburger;hamster;honey pot;koala;"
         "ladder;lemon;lion;octopus;palm tree;parrot;penguin;pie;red apple;ring;running shoe;sandwich;shark;shrimp;taxi;tiger;tractor;trophy;umbrella;waffle;"
         "wine glass;yellow heart;ambulance;tomato;motor boat;hiking boot;soap;microphone;crayon;flute;lollipop").split(";")
LABELS = {"umbrella": "umbrella with rain drops"}
CELL_PX, COLUMNS = 192, 8


def write_things(items: Sequence[Item], rgba: np.ndarray, path: Path) -> int:
    """`rgba` uint8 [N, 256, 256, 4] row for row with `items`; the sheet goes to `path`, its names beside it. Returns how many there are."""
    held: dict[str, int] = {}
    for number, item in enumerate(items):
        if item.split in HELD_OUT:
            held.setdefault(item.label, number)
    chosen = {name: held[LABELS.get(name, name)] for name in NAMES if LABELS.get(name, name) in held}
    if not chosen:
        raise BadInput("None of the named drawings is held out in this data.", "Build the data with: python -m models.lab data")
    sheet = np.zeros((-(-len(chosen) // COLUMNS) * CELL_PX, COLUMNS * CELL_PX, 4), np.uint8)
    for k, number in enumerate(chosen.values()):
        y, x = k // COLUMNS * CELL_PX, k % COLUMNS * CELL_PX
        sheet[y:y + CELL_PX, x:x + CELL_PX] = _small(np.asarray(rgba[number]))
    write_atomic(path, lambda part: Image.fromarray(sheet).save(part, "WEBP", quality=88, method=6, alpha_quality=95))
    write_atomic(path.with_suffix(".json"), lambda part: part.write_text(json.dumps(list(chosen)), encoding="utf-8"))
    return len(chosen)


def _small(rgba: np.ndarray) -> np.ndarray:
    """Shrunk with its colours premultiplied."""
    f = rgba.astype(np.float32)
    f[..., :3] *= f[..., 3:] / 255
    f = cv2.resize(f, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)
    rgb = np.where(f[..., 3:] > 0.5, f[..., :3] * 255 / np.maximum(f[..., 3:], 0.5), 0)
    return np.dstack([rgb, f[..., 3]]).clip(0, 255).round().astype(np.uint8)
