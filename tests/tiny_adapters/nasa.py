"""Keep-out settings for tiny bases: no weights, only how much is subtracted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import checkpoint
from models.adapters.nasa import KIND
from tests.tiny_adapters import Case


def write(path: Path, base: Any, alpha: float) -> Path:
    checkpoint.save(path, KIND, {"arch": asdict(base.spec.arch), "alpha": alpha}, {}, {}, path.stem)
    return path


def _case(name: str, base: str, alpha: float) -> Case:
    said = {"negative": "a blue house", "guidance": 1.0}  # guidance 1: one pass, as students paint
    return Case(base, lambda folder, net: write(folder / f"{name}.safetensors", net, alpha), said)


CASES = {f"out-of-{base}": _case(f"out-of-{base}", base, alpha) for base, alpha in (("tiny-student", 3.0), ("tiny-sd1", 5.0), ("tiny-sd2", 5.0))}
