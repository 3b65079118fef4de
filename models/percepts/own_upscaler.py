"""A user's own network that enlarges, from upscalers/ of the models folder: Real-ESRGAN, SwinIR, DAT, HAT and dozens more.

spandrel (github.com/chaiNNer-org/spandrel, MIT) tells by the names of the tensors which network a file holds and builds it. It is not
among the locked packages; without it such a file is listed, and using it says how to get the package. Files are read as safetensors only.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from models.compat import mend_torchvision
from models.devices import Device
from models.errors import BadInput, MissingWeights
from models.metadata import kind_of
from models.percepts._larger import Larger
from models.spec import PerceptSpec, WeightFile, slug
from models.weights import header

SPECS: tuple[PerceptSpec, ...] = ()                  # none ships
CURE = "Install it into the studio's environment: .venv/bin/python -m pip install --no-deps spandrel einops."
SEEN_LEAST_PX = 16


class OwnEnlarger(Larger):
    """In fp32: many of these networks are not meant for less."""

    def __init__(self, spec: PerceptSpec, described: Any, device: Device) -> None:
        self.spec, self.device, self.scale = spec, device, described.scale
        self.net = described.model.to(device.name).float().eval().requires_grad_(False)
        needs = described.size_requirements
        self.least_px, self.multiple_px = max(SEEN_LEAST_PX, getattr(needs, "minimum", 0) or 0), getattr(needs, "multiple_of", 1) or 1

    @torch.inference_mode()
    def enlarge(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> [B, 3, scale H, scale W] in [0, 1]."""
        height, width = rgb.shape[-2:]
        sides = [max(side, self.least_px) for side in (height, width)]
        high, wide = (side + -side % self.multiple_px for side in sides)
        made = self.net(F.pad(rgb.float(), (0, wide - width, 0, high - height), mode="replicate"))
        return made.float().clamp(0, 1)[..., :self.scale * height, :self.scale * width]

    def networks(self) -> Sequence[torch.nn.Module]:
        return (self.net,)

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers()))


def recognise(source: str) -> PerceptSpec | None:
    """A file whose tensors are named as those of networks that enlarge; None for any other."""
    path = Path(source).expanduser().absolute()
    if not path.is_file() or kind_of(header(path)) != "upscaler":
        return None
    return PerceptSpec(id=slug(path.stem), title=path.stem, files=(WeightFile(str(path)),), bytes=path.stat().st_size, licence="the user's own", sees="larger")


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> OwnEnlarger:
    """Raises MissingWeights without spandrel and BadInput for a network that does something else than enlarge colours."""
    path = Path(spec.files[0].file)
    mend_torchvision()
    try:
        from spandrel import ModelLoader
    except ImportError as error:
        raise MissingWeights(f'"{spec.title}" needs the package spandrel ({error}).', CURE) from None
    try:
        described = ModelLoader(device="cpu").load_from_state_dict(load_file(path))
    except Exception as error:                       # whatever the reader stumbles over is the file's fault
        raise BadInput(f"{path.name} holds no network that spandrel knows ({str(error)[:120] or type(error).__name__}).", "Use another file.") from None
    if described.input_channels != 3 or described.output_channels != 3 or getattr(described, "scale", 0) < 1:
        raise BadInput(f"{path.name} does not enlarge colour pictures.", "Use a file of another network.")
    return OwnEnlarger(spec, described, device)
