"""One More Step (Hu et al. 2024, arXiv 2311.15744): the first noise carries the mean light of the picture that the words ask for.

Most schedules end before all signal is gone (abar_T = 0.0047 for Stable Diffusion), so a network learned to read brightness off its
first input, while sampling starts from noise without any. x0 ~ -psi(noise, words) is added before the first step: x = x0 + sigma noise.
Released networks are UNets without a time input (a diffusers folder); the embedded base has a small one of kind onestroke.oms.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models import checkpoint
from models.adapters._fit import check_fits, own_header, said_arch
from models.adapters._networks import BY_TEXT_WIDTH, WEIGHTS, filled, folder_of, read_config, weights_in
from models.compat import mend_torchvision
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import Incompatible, MissingWeights
from models.job import AdapterUse, Job
from models.nets.oms import KIND, LatentMean
from models.spec import EMBEDDED, AdapterSpec, WeightFile, slug
from models.weights import header, locate

SPECS: tuple[AdapterSpec, ...] = ()
CLASS, PART = "UNet2DConditionWoCTModel", "oms_module"
FLAWLESS_SIGMA = 100.0  # above it, less than a hundredth of the first input is signal: zero-terminal-SNR schedules
_COMMON: dict[str, Any] = dict(kind="light", claims=("first noise",), max_strength=2.0, knows="Dark words give dark pictures, bright ones bright.")


def recognise(source: str) -> AdapterSpec | None:
    """The spec of an onestroke.oms file, or of a folder (or its weight file) of a UNet without time; None for anything else."""
    path = Path(source).expanduser().absolute()
    if path.suffix == ".safetensors" and (meta := own_header(path, KIND)) is not None:
        return _spec(path.stem, path, said_arch(meta) or EMBEDDED, meta)
    place = str(path.parent) if path.name in WEIGHTS else source
    folder = folder_of(place) or folder_of(str(Path(place).expanduser() / PART))
    if folder is None or (config := read_config(folder)).get("_class_name") != CLASS:
        return None
    weights = weights_in(folder)
    meta = header(weights).get("__metadata__", {})
    width = config.get("encoder_hid_dim") or config.get("cross_attention_dim", 1280)
    arch = said_arch(meta) or BY_TEXT_WIDTH.get(width)
    name = folder.parent.name if folder.name == PART else folder.name
    if arch is None:
        raise Incompatible(f"{name} reads words {width} wide, from a text encoder of its own.", "Get the one for the base's encoders (mixclip).")
    return _spec(name, weights, arch, meta)


def _spec(name: str, weights: Path, arch: Any, meta: dict[str, str]) -> AdapterSpec:
    size = weights.stat().st_size
    return AdapterSpec(id=slug(name), title=meta.get("modelspec.title", name), arch=arch, files=(WeightFile(str(weights), size),), bytes=size,
                       licence=meta.get("modelspec.license", ""), **_COMMON)  # fmt: skip


class NoTime(nn.Module):
    """Stands for the time embedding of a network without one."""

    def forward(self, *args: Any) -> None:
        return None


def timeless(config: dict[str, Any]) -> nn.Module:
    """A UNet2DConditionModel that no time enters, under the tensor names of the released files."""
    mend_torchvision()
    from diffusers import UNet2DConditionModel
    from diffusers.models.resnet import ResnetBlock2D

    known = inspect.signature(UNet2DConditionModel.__init__).parameters
    net = UNet2DConditionModel(**{key: value for key, value in config.items() if key in known})
    net.time_embedding = NoTime()
    for module in net.modules():
        if isinstance(module, ResnetBlock2D):
            module.time_emb_proj = None
    return net


@dataclass
class Start:
    """The noise level the coming walk starts at; 0 where it starts from a picture, whose light is there already."""

    sigma: float = 0.0


Guess = Callable[[Tensor, dict[str, Any]], Tensor]  # (unit noise [B, C, h, w], inputs of the base's network) -> x0


class LightAdapter:
    """`net` is a LatentMean or a UNet without time; `strength` times its guess is added to the first noise."""

    def __init__(self, spec: AdapterSpec, net: nn.Module, dtype: torch.dtype) -> None:
        self.spec, self.net, self.dtype, self.strength = spec, net.eval().requires_grad_(False), dtype, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Changes nothing on the base. Raises Incompatible for another architecture, or where there is no flaw to mend."""
        check_fits(self.spec, base)
        top = base.plan(Job(base=base.spec.id, steps=base.spec.default_steps)).sigmas[0]
        if top > FLAWLESS_SIGMA:
            raise Incompatible(
                f'"{base.spec.title}" starts from pure noise (sigma {top:.0f}) and gets its light right by itself.',
                f'Leave "{self.spec.title}" off.',
            )
        begin = Start()
        yield Hooks(
            prepare=lambda job, use: _prepare(base, begin, job, use), start=lambda x, cond: self._lit(base, begin.sigma, x, cond)
        )

    def _lit(self, base: Base, sigma: float, x: Tensor, cond: Any) -> Tensor:
        """x [B, C, h, w] = sigma * noise -> x0 + sigma * noise."""
        if sigma == 0 or self.strength == 0:
            return x
        return x + self.strength * self.guess(x / sigma, base.inputs(x, sigma, cond)).to(x.dtype)

    def guess(self, noise: Tensor, inputs: dict[str, Any]) -> Tensor:
        """x0 [B, C, h, w] as the words alone let expect it. The UNet answers v, which at no signal is -x0."""
        if isinstance(self.net, LatentMean):
            return self.net(inputs["class_labels"].to(self.dtype), tuple(noise.shape[2:])).float()
        words = {key: inputs[key] for key in ("encoder_hidden_states", "encoder_attention_mask") if key in inputs}
        return -self.net(noise.to(self.dtype), 0, **words, return_dict=False)[0].float()

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters())


def _prepare(base: Base, begin: Start, job: Job, use: AdapterUse) -> None:
    from_noise = job.image is None or (job.strength >= 1 and job.mask is None)
    begin.sigma = base.plan(job).sigmas[0] if from_noise and use.start == 0 else 0.0


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> LightAdapter:
    """Read the network to `device`."""
    path = locate(spec.files[0], cache_dir)
    if own_header(path, KIND) is not None:
        saved = checkpoint.load(path, KIND)
        return LightAdapter(spec, filled(lambda: LatentMean(**saved.config), saved.tensors, path.name, device), device.dtype)
    if not (path.parent / "config.json").is_file():
        raise MissingWeights(f"{path.parent.name} lost its config.json.", "Download or copy it again.")
    config = read_config(path.parent)
    return LightAdapter(spec, filled(lambda: timeless(config), load_file(path), spec.title, device), device.dtype)
