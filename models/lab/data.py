"""Builds the training set in stages that can be interrupted: drawings -> patch basis -> latents of all rows -> text states.

A stage whose files exist is skipped; deleting them builds it again. Same packages, same bytes.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models import checkpoint
from models.lab.drawings import INDEX, read_drawings, write_drawings
from models.lab.export import AUTOENCODER, EMBEDDED
from models.files import write_atomic
from models.lab.items import Item, read_pack
from models.lab.latents import TextTable, save_shards
from models.lab.rows import Row, rows_of, scene, scene_pool
from models.nets.patches import PATCH_PX, PatchEncoder, fit_patches
from models.text import TextEncoder, TextStates

CHANNELS = 32
SCENE_COUNT = 5000
FIT_PATCHES = 150_000
CAPTION_TOKENS = 48
Say = Callable[[str], None]


def build(folder: Path, pack: Path | None = None, workers: int = 2, say: Say = print, scenes: int = SCENE_COUNT,
          shipped: Path = EMBEDDED / AUTOENCODER) -> None:
    """Everything the lab trains on, in `folder`. `pack`: a packed set to read instead of the registry packages; `shipped`: the
    autoencoder whose patch basis is taken over when it exists."""
    folder.mkdir(parents=True, exist_ok=True)
    stages = (("drawings", INDEX, lambda: _drawings(folder, pack, workers, say)),
              ("patch basis", "patches.safetensors", lambda: _patches(folder, shipped, workers)),
              ("latents", "rows.json", lambda: _latents(folder, workers, scenes, say)), ("text states", "captions.safetensors", lambda: _texts(folder, say)))
    for title, product, run in stages:
        if (folder / product).exists():
            say(f"{title}: there already ({product})")
            continue
        say(f"{title}: building")
        start = time.monotonic()
        run()
        say(f"{title}: done in {time.monotonic() - start:.0f} s")


def _drawings(folder: Path, pack: Path | None, workers: int, say: Say) -> None:
    if pack is not None:
        items = list(read_pack(pack))
    else:
        from models.lab.sources import from_packages
        items = from_packages(folder / "packages", say)
    say(f"{len(items)} drawings to rasterise, about {len(items) * 0.02 / workers:.0f} s")
    write_drawings(items, folder, workers)


def patches_of(rgb: np.ndarray) -> np.ndarray:
    """uint8 [256, 256, 3] -> float32 [256, 768] in [-1, 1], one 16x16 patch a line, channels first within it."""
    n = rgb.shape[0] // PATCH_PX
    cut = rgb.reshape(n, PATCH_PX, n, PATCH_PX, 3).transpose(0, 2, 4, 1, 3).reshape(n * n, -1)
    return cut.astype(np.float32) / 127.5 - 1


class _Worker:
    """One process: the drawings, the scene pool and, once it is fitted, the projection."""
    items: list[Item]
    rgba: np.ndarray
    index: dict[str, int]
    pool: list[Item]
    project: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def start(cls, folder: Path) -> None:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        cls.items, cls.rgba = read_drawings(folder)
        cls.index = {item.key: i for i, item in enumerate(cls.items)}
        cls.pool = scene_pool(cls.items)
        cls.project = None
        if (folder / "patches.safetensors").exists():
            encoder = load_encoder(folder)
            weight = (encoder.basis / encoder.scale[:, None, None, None]).flatten(1).numpy()
            cls.project = weight.T.copy(), encoder.mean.flatten().numpy()

    @classmethod
    def rows(cls, number: int) -> list[Row]:
        """Rows of drawing `number`, or of scene `number - len(items)`."""
        if number < len(cls.items):
            return list(rows_of(cls.items[number], np.asarray(cls.rgba[number])))
        return [scene(number - len(cls.items), cls.pool, lambda item: np.asarray(cls.rgba[cls.index[item.key]]))]

    @classmethod
    def sample(cls, number: int) -> np.ndarray:
        """Some patches of these rows, for fitting the basis."""
        rng = np.random.default_rng(number)
        return np.concatenate([patches_of(row.rgb)[rng.choice(256, 24, replace=False)] for row in cls.rows(number)])

    @classmethod
    def latents(cls, number: int) -> list[tuple]:
        """(latents fp16 [256, C], captions, kind, key, split, weight) a row."""
        weight, mean = cls.project
        split = cls.items[number].split if number < len(cls.items) else "train"
        return [(((patches_of(r.rgb) - mean) @ weight).astype(np.float16), r.captions, r.kind, r.key, split, r.weight) for r in cls.rows(number)]


def load_encoder(folder: Path) -> PatchEncoder:
    weights = load_file(folder / "patches.safetensors")
    encoder = PatchEncoder(len(weights["scale"]))
    encoder.load_state_dict(weights)
    return encoder


def _patches(folder: Path, shipped: Path, workers: int) -> None:
    """The basis of the shipped autoencoder, so that its weights stay good for this data; fitted anew where there is none."""
    if shipped.exists():
        saved = checkpoint.load(shipped, "onestroke.patches").tensors
        tensors = {k.removeprefix("encoder."): v for k, v in saved.items() if k.startswith("encoder.")}
    else:
        tensors = _fit(folder, workers)
    write_atomic(folder / "patches.safetensors", lambda p: save_file(tensors, p))


def _fit(folder: Path, workers: int) -> dict[str, torch.Tensor]:
    items, _ = read_drawings(folder)
    chosen = [i for i, item in enumerate(items) if item.split == "train"][::4] + list(range(len(items), len(items) + 300))
    with get_context("spawn").Pool(workers, _Worker.start, (folder,)) as pool:
        patches = np.concatenate(pool.map(_Worker.sample, chosen, 32))[:FIT_PATCHES]
    basis, mean, scale = fit_patches(torch.from_numpy(patches).reshape(-1, 3, PATCH_PX, PATCH_PX), CHANNELS)
    return {"basis": basis.contiguous(), "mean": mean.contiguous(), "scale": scale.contiguous()}


def _latents(folder: Path, workers: int, scenes: int, say: Say) -> None:
    items, _ = read_drawings(folder)
    count = len(items) + scenes
    latents: list[np.ndarray] = []
    meta: dict[str, list] = {"captions": [], "kinds": [], "keys": [], "splits": [], "weights": []}
    with get_context("spawn").Pool(workers, _Worker.start, (folder,)) as pool:
        for done, rows in enumerate(pool.imap(_Worker.latents, range(count), 16)):
            for values, *facts in rows:
                latents.append(values)
                for name, value in zip(meta, facts, strict=True):
                    meta[name].append(value)
            if done % 2000 == 0:
                say(f"latents: {done} of {count}")
    save_shards(folder, "latents", {"latents": torch.from_numpy(np.stack(latents))})
    texts = ["", *sorted({c for captions in meta["captions"] for c in captions})]
    number = {text: i for i, text in enumerate(texts)}
    meta["captions"] = [[number[c] for c in captions] for captions in meta["captions"]]
    write_atomic(folder / "rows.json", lambda p: p.write_text(json.dumps(meta | {"texts": texts})))


def _texts(folder: Path, say: Say) -> None:
    texts = json.loads((folder / "rows.json").read_text())["texts"]
    encoder = TextEncoder(max_tokens=CAPTION_TOKENS)
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    encoded: list[TextStates | None] = [None] * len(texts)
    for start in range(0, len(texts), 256):
        chosen = by_length[start:start + 256]
        for i, states in zip(chosen, encoder.encode([texts[i] for i in chosen])):
            encoded[i] = TextStates(states.states.half(), states.pooled.half())
        if start % 12_800 == 0:
            say(f"text states: {start} of {len(texts)}")
    TextTable.of(encoded).save(folder)
