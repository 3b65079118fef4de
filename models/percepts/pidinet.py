"""Edges by pixel difference networks (PiDiNet, Su et al. 2021): finer than HED with a twentieth of its weights."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.devices import Device
from models.percepts import _shared
from models.spec import PerceptSpec

SPECS = (PerceptSpec(id="pidinet", title="Fine edges (PiDiNet)", files=(_shared.weights_of("pidinet"),), bytes=2_840_596,
                     licence="research only"),)
SMALLEST_PX = 8                                      # the network halves a picture three times


class PiDiNet(_shared.Network):
    @torch.inference_mode()
    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 1, H, W] in [0, 1], white soft lines on black: the network's last output, which weighs its
        four depths. It was published for blue, green, red. Sides below 8 px are looked at enlarged."""
        size = rgb.shape[-2:]
        seen = tuple(max(side, SMALLEST_PX) for side in size)
        x = rgb.float() if seen == tuple(size) else interpolate(rgb.float(), seen, mode="bilinear")
        return interpolate(self.net(x.flip(1))[-1], size, mode="bilinear")


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> PiDiNet:
    return PiDiNet(spec, _shared.read(spec, lambda parts: parts.pidinet, device, cache_dir))
