"""Line drawings of photos by a generator (Informative Drawings, Chan, Durand & Isola 2022), as ControlNet's lineart models use it."""
from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.devices import Device
from models.percepts import _shared
from models.spec import PerceptSpec

SPECS = (PerceptSpec(id="lineart", title="Line drawing", files=(_shared.weights_of("lineart"),), bytes=17_163_780, licence="MIT"),)
MULTIPLE_PX = 4                                      # the network halves a picture twice and doubles it again


class LineArt(_shared.Network):
    @torch.inference_mode()
    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 1, H, W] in [0, 1], white lines on black: the negative of the dark lines that the generator
        draws. Sides are filled up to a multiple of 4 px, and to 16, by repeating the last pixels."""
        height, width = rgb.shape[-2:]
        more = [max(16 - side, -side % MULTIPLE_PX) for side in (width, height)]
        dark = self.net(pad(rgb.float(), (0, more[0], 0, more[1]), mode="replicate"))
        return (1 - dark[..., :height, :width]).clamp(0, 1)


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> LineArt:
    return LineArt(spec, _shared.read(spec, lambda parts: parts.lineart, device, cache_dir))
