"""Four times as large in one step, by the net that ships; it says how blurred and noisy a picture is, and can be told otherwise.

Trained by `python -m models.lab upscale` (models.nets.upscale says after whom). Large pictures are put together from tiles by
models/flows/upscale.py.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.devices import Device
from models.nets.prepack import prepack
from models.nets.upscale import DETAIL, KIND, SCALE, Upscaler, between
from models.percepts._larger import Larger
from models.spec import PerceptSpec, WeightFile
from models.weights import locate

SPECS = (PerceptSpec(id="upscale", title="Enlarge four times (built in)", files=(WeightFile("percepts/upscale.safetensors"),), bytes=8_818_576,
                     licence="Apache-2.0 AND BSD-3-Clause", sees="larger"),)
WINDOW_PX, WINDOWS = 48, 12                          # what the scores are read from: as in training, and where most is to be seen


class Enlarger(Larger):
    """`takes_scores`: blur, noise and fidelity matter. The scores are read in fp32; the rest runs in the device's format, which adds to a
    plain enlargement in fp32, so flat places show no grain."""
    scale, takes_scores = SCALE, True

    def __init__(self, spec: PerceptSpec, net: Upscaler, detail: dict[str, Tensor], device: Device) -> None:
        self.spec, self.device = spec, device
        self.faithful = {name: value.clone() for name, value in net.state_dict().items()}
        self.detail = detail
        layout = torch.channels_last if device.channels_last else torch.contiguous_format
        self.net = net.eval().requires_grad_(False).to(device.name, memory_format=layout)
        self.scorer = self.net.scorer
        self.net.scorer = torch.nn.Identity()
        self.net.to(device.dtype)
        if device.packs_weights:
            prepack(self.net)
        self.fidelity: float | None = None

    def at(self, fidelity: float) -> None:
        """Weights between the detailed (0) and the faithful (1) ones from now on."""
        if fidelity == self.fidelity:
            return
        weights = between(self.faithful, self.detail, fidelity)
        for name, parameter in self.net.named_parameters():
            parameter.copy_(weights[name])
        for module in self.net.modules():
            if getattr(module, "packed", None) is not None:
                object.__setattr__(module, "packed", None)
        self.fidelity = fidelity

    @torch.inference_mode()
    def estimate(self, rgb: Tensor) -> Tensor:
        """rgb [1, 3, H, W] in [0, 1] -> (blur, noise) [1, 2] in [0, 1]: the median over windows of the sizes seen in training."""
        windows = busiest(_padded(rgb.float()))
        return self.scorer(windows).median(0, keepdim=True).values

    @torch.inference_mode()
    def enlarge(self, rgb: Tensor, scores: Tensor | None = None, fidelity: float = 0.5) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1], scores [B, 2] -> [B, 3, 4H, 4W] in [0, 1]."""
        self.at(fidelity)
        rgb = rgb.float()
        if self.device.channels_last:
            rgb = rgb.contiguous(memory_format=torch.channels_last)
        scores = torch.cat([self.estimate(one[None]) for one in rgb]) if scores is None else scores.to(rgb.device)
        return self.net(rgb, scores.to(self.device.dtype)).clamp(0, 1)

    def scores(self, rgb: np.ndarray) -> tuple[float, float]:
        """(blur, noise) of uint8 [H, W, 3]."""
        return tuple(self.estimate(self.tensor(rgb))[0].tolist())

    def networks(self) -> Sequence[torch.nn.Module]:
        return self.net, self.scorer

    def bytes_resident(self) -> int:
        """Both sets of weights, and those at work: 4 bytes each in fp32 as in 16 bits, where oneDNN holds a second copy."""
        kept = [*self.faithful.values(), *self.detail.values(), *self.scorer.parameters(), *self.net.parameters()]
        return 4 * sum(t.numel() for t in kept)


def _padded(rgb: Tensor) -> Tensor:
    """Sides of WINDOW_PX or more, by repeating the last rows and columns."""
    height, width = (max(0, WINDOW_PX - side) for side in rgb.shape[-2:])
    return F.pad(rgb, (0, width, 0, height), mode="replicate")


def busiest(rgb: Tensor) -> Tensor:
    """rgb [1, 3, H, W], sides WINDOW_PX or more -> the windows [N, 3, 48, 48] with the strongest edges, N at most WINDOWS."""
    step = WINDOW_PX // 2
    steep = F.pad(rgb.diff(dim=2).abs(), (0, 0, 0, 1)) + F.pad(rgb.diff(dim=3).abs(), (0, 1))
    busy = F.avg_pool2d(steep.square().mean(1, keepdim=True), WINDOW_PX, step)[0, 0]
    order = busy.flatten().argsort(descending=True)[:WINDOWS].tolist()
    at = [(k // busy.shape[1] * step, k % busy.shape[1] * step) for k in order]
    return torch.cat([rgb[..., y:y + WINDOW_PX, x:x + WINDOW_PX] for y, x in at])


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Enlarger:
    saved = checkpoint.load(locate(spec.files[0], cache_dir), KIND)
    tensors = {name: value.float() for name, value in saved.tensors.items()}
    net = Upscaler(**saved.config)
    net.load_state_dict({name: value for name, value in tensors.items() if not name.startswith(DETAIL)})
    detail = {name.removeprefix(DETAIL): value.to(device.name) for name, value in tensors.items() if name.startswith(DETAIL)}
    return Enlarger(spec, net.to(device.name), detail, device)
