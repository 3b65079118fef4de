"""UNIC adapters for any resident base, random."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.nets.unic import KIND, Unic, config_for, start_from
from tests.tiny_adapters import Case

SENTENCES = {"edges": "Generate image from edges", "read": "Read the edges of this image"}


def write(path: Path, base: Any, seed: int = 0, loud: float = 0.5) -> Path:
    torch.manual_seed(seed)
    shape = config_for(base.network, 4)
    unic = start_from(Unic(shape), base.network)
    for name, p in unic.named_parameters():
        if ".last." in name or name.endswith("up.weight"):
            p.data.normal_(std=loud)
    checkpoint.save(path, KIND, {"unic": shape, "sentences": SENTENCES}, {"updates": 0}, checkpoint.quantise(unic.state_dict()), "Random UNIC")
    return path


CASES = {
    "tiny-student-unic": Case("tiny-student", lambda folder, base: write(folder / "tiny-student-unic.safetensors", base)),
    "tiny-teacher-unic": Case("tiny-teacher", lambda folder, base: write(folder / "tiny-teacher-unic.safetensors", base, 1),
                              dict(steps=2, guidance=3.0, seeds=(0, 1))),
}
