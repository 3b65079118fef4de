"""Learned words for tiny bases, random, in every layout; the word is `<thing>` or the file's own name."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models import checkpoint
from models.adapters.textual_inversion import KIND
from tests.tiny_adapters import Case

COUNT, LOUD = 3, 4.0


def write(path: Path, base: Any, layout: str, seed: int = 0) -> Path:
    g = torch.Generator().manual_seed(seed)
    if layout == "concept":
        tensors = {"tokens": LOUD * torch.randn(COUNT, 384, generator=g), "pooled": torch.randn(384, generator=g)}
        checkpoint.save(path, KIND, {"word": "<thing>", "class_word": "house"}, {}, tensors, "A thing")
        return path
    rows = LOUD * torch.randn(COUNT, base.text_encoder.config.hidden_size, generator=g)
    tensors = {"emb_params": rows} if layout == "a1111" else {"<thing>": rows[0]}
    if layout == "sdxl":
        tensors = {"clip_l": rows, "clip_g": LOUD * torch.randn(COUNT, base.text_encoder_2.config.hidden_size, generator=g)}
    save_file(tensors, path, {"onestroke.arch": json.dumps(asdict(base.spec.arch))})
    return path


def _case(name: str, base: str) -> Case:
    word = "<thing>" if name in ("concept", "diffusers") else f"word-{name}"
    return Case(base, lambda folder, net: write(folder / f"word-{name}.safetensors", net, name), {"prompt": f"a red {word}, at night"})


LAYOUTS = {"concept": "tiny-student", "a1111": "tiny-sd1", "diffusers": "tiny-sd2", "sdxl": "tiny-sdxl"}
CASES = {f"word-{name}": _case(name, base) for name, base in LAYOUTS.items()}
