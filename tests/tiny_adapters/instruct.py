"""Instruction adapters for any resident base, random."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.nets.instruct import KIND, Instruct, config_for
from tests.tiny_adapters import Case


def write(path: Path, base: Any, seed: int = 0, loud: float = 0.05) -> Path:
    torch.manual_seed(seed)
    shape = config_for(base.network, (32,) * len(base.network.config.block_out_channels), 32)
    net = Instruct(shape)
    for name, p in net.named_parameters():
        if name.startswith(("steer", "head.2")):
            p.data.normal_(std=loud)
    checkpoint.save(path, KIND, {"instruct": shape}, {"updates": 0}, checkpoint.quantise(net.state_dict()), "Random instructions")
    return path


CASES = {
    "tiny-student-instruct": Case("tiny-student", lambda folder, base: write(folder / "tiny-student-instruct.safetensors", base)),
    "tiny-teacher-instruct": Case("tiny-teacher", lambda folder, base: write(folder / "tiny-teacher-instruct.safetensors", base, 1),
                                  dict(steps=2, guidance=3.0, seeds=(0, 1))),
}
