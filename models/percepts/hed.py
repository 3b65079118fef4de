"""Soft edges (holistically-nested edge detection, Xie & Tu 2015) in the form that ControlNet's softedge models were trained on."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.devices import Device
from models.percepts import _shared
from models.spec import PerceptSpec

SPECS = (PerceptSpec(id="hed", title="Soft edges (HED)", files=(_shared.weights_of("hed"),), bytes=58_864_672, licence="Apache-2.0"),)
SMALLEST_PX = 16                                     # the network halves a picture four times


class Hed(_shared.Network):
    @torch.inference_mode()
    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 1, H, W] in [0, 1], white soft lines on black: the sigmoid of the mean of what five depths
        see. Sides below 16 px are looked at enlarged."""
        size = rgb.shape[-2:]
        seen = tuple(max(side, SMALLEST_PX) for side in size)
        x = rgb.float() if seen == tuple(size) else interpolate(rgb.float(), seen, mode="bilinear")
        depths = [interpolate(depth, size, mode="bilinear") for depth in self.net(x * 255)]
        return torch.stack(depths).mean(0).sigmoid()


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Hed:
    return Hed(spec, _shared.read(spec, lambda parts: parts.hed, device, cache_dir))
