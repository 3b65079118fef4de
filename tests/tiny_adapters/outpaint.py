"""Outpainting adapters for any resident base, random."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.nets.outpaint import KIND, Outpaint, config_for, start_from
from tests.tiny_adapters import Case


def write(path: Path, base: Any, seed: int = 0, loud: float = 0.3) -> Path:
    torch.manual_seed(seed)
    shape = config_for(base.network, 4)
    net = start_from(Outpaint(shape), base.network)
    for name, p in net.named_parameters():
        if name.startswith(("leave", "anchor.last")) or name.endswith("up.weight"):
            p.data.normal_(std=loud)
    checkpoint.save(path, KIND, {"outpaint": shape}, {"updates": 0}, checkpoint.quantise(net.state_dict()), "Random outpaint")
    return path


CASES = {
    "tiny-student-outpaint": Case("tiny-student", lambda folder, base: write(folder / "tiny-student-outpaint.safetensors", base)),
    "tiny-teacher-outpaint": Case("tiny-teacher", lambda folder, base: write(folder / "tiny-teacher-outpaint.safetensors", base, 1),
                                  dict(steps=2, guidance=3.0, seeds=(0, 1))),
}
