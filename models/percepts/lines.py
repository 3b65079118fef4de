"""Thin lines where any colour jumps, without weights: `models.lines.edges` as a percept."""
from __future__ import annotations

from pathlib import Path

from torch import Tensor

from models.devices import Device
from models.lines import edges
from models.percepts._plain import seen_by
from models.spec import PerceptSpec

SPECS = (PerceptSpec(id="lines", title="Thin lines", files=(), bytes=0, licence="Apache-2.0"),)


class Lines:
    def __init__(self, spec: PerceptSpec) -> None:
        self.spec = spec

    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 1, H, W] of 0 and 1: lines one pixel wide."""
        return seen_by(edges, rgb)

    def bytes_resident(self) -> int:
        return 0


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Lines:
    return Lines(spec)
