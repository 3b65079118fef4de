"""Style transfer for any resident base of ours, random."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.nets.style import KIND, Restyle, config_for
from tests.tiny_adapters import Case


def write(path: Path, base: Any, seed: int = 0, loud: float = 0.3) -> Path:
    torch.manual_seed(seed)
    shape = config_for(base.network, 4, tokens=3, side_px=32, widths=(16, 24))
    restyle = Restyle(shape)
    for name, p in restyle.named_parameters():
        if name.startswith("leave") or name.endswith("up.weight"):
            p.data.normal_(std=loud)
    checkpoint.save(path, KIND, {"style": shape}, {"updates": 0}, checkpoint.quantise(restyle.state_dict()), "Random style")
    return path


CASES = {
    "tiny-student-style": Case("tiny-student", lambda folder, base: write(folder / "tiny-student-style.safetensors", base)),
    "tiny-teacher-style": Case("tiny-teacher", lambda folder, base: write(folder / "tiny-teacher-style.safetensors", base, 1),
                               dict(steps=2, guidance=3.0, seeds=(0, 1))),
}
