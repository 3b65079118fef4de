"""How much of every pixel belongs to the thing in a picture, by the net that ships; the user's hints are obeyed.

Trained by `python -m models.lab matting` (models.nets.matting says on what trunk). It looks at a few hundred pixels a side; large
pictures are put together from such looks by models/flows/cutout.py.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.devices import Device
from models.nets.matting import KIND, MULTIPLE_PX, Matting
from models.spec import PerceptSpec, WeightFile
from models.weights import locate

SPECS = (PerceptSpec(id="matting", title="Cut out (built in)", files=(WeightFile("percepts/matting.safetensors"),), bytes=4_806_928,
                     licence="Apache-2.0", sees="alpha"),)
LARGEST_PX = 640                                     # attention grows with the fourth power of a side
SURE = 0.02                                          # alpha so near to nothing or everything is that


class Cutter:
    """The net in fp32: 16 bits show as grain in flat alpha, and are no faster on the processors measured."""

    def __init__(self, spec: PerceptSpec, net: Matting, device: Device) -> None:
        self.spec, self.net, self.device = spec, net.float().eval().requires_grad_(False), device
        self.net.to(device.name, **({"memory_format": torch.channels_last} if device.channels_last else {}))

    @torch.inference_mode()
    def look(self, rgb: Tensor, hints: Tensor | None = None) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1], hints [B, 2, H, W] in [0, 1] (keep, drop) -> alpha [B, 1, H, W] in [0, 1].

        Looked at as it is up to LARGEST_PX a side, else smaller; best between 160 and 320 px, as in training."""
        size = rgb.shape[-2:]
        hints = rgb.new_zeros(len(rgb), 2, *size) if hints is None else hints
        both = torch.cat([rgb.float(), hints.float()], 1)
        scale = min(1.0, LARGEST_PX / max(size))
        if scale < 1:
            both = F.interpolate(both, [max(1, round(side * scale)) for side in size], mode="area")
        height, width = both.shape[-2:]
        both = F.pad(both, (0, -width % MULTIPLE_PX, 0, -height % MULTIPLE_PX), mode="replicate")
        alpha = self.net(both[:, :3], both[:, 3:]).sigmoid()[..., :height, :width]
        alpha = ((alpha - SURE) / (1 - 2 * SURE)).clamp(0, 1)
        return F.interpolate(alpha, size, mode="bilinear", align_corners=False) if scale < 1 else alpha

    def networks(self) -> Sequence[torch.nn.Module]:
        return (self.net,)

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters())


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Cutter:
    saved = checkpoint.load(locate(spec.files[0], cache_dir), KIND)
    net = Matting(**saved.config)
    net.load_state_dict(saved.tensors)
    return Cutter(spec, net, device)
