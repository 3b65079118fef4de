"""Tiny decoders for Stable Diffusion's latents (TAESD, Boer Bohan 2023, MIT): a picture in a tenth of the time of the full decoder.

Three layouts are read: a diffusers folder (AutoencoderTiny), its single safetensors file, and the original `taesd_decoder` one whose
names are bare numbers. SD 1.x and 2.x share their latents, so one file serves both; a header may name another architecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from models.adapters._fit import check_fits, peek, said_arch
from models.compat import mend_torchvision
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.pixels import blend
from models.spec import SD1, SD2, SDXL, AdapterSpec, WeightFile, slug
from models.weights import header, locate

WEIGHTS = "diffusion_pytorch_model.safetensors"
MAX_BYTES = 200_000_000  # far more than any tiny autoencoder
_FIRST = re.compile(r"(?:decoder\.layers\.0|(?:taesd_)?(?:decoder\.)?1)\.weight$")  # conv_in; the original counts its clamp as layer 0
_NAME = re.compile(r"(?P<prefix>decoder\.layers|(?:taesd_)?decoder|)\.?(?P<layer>\d+)\.(?P<rest>(?:conv\.\d\.|skip\.)?(?:weight|bias))$")
_COMMON: dict[str, Any] = dict(kind="decoder", claims=("decoder",), order=20, max_strength=1.0, knows="Decodes pictures several times faster, a little softer.")
SPECS = (
    AdapterSpec(id="taesd", title="Tiny decoder", arch=SD2, also=(SD1,), bytes=9_800_000, licence="MIT",
                files=(WeightFile(WEIGHTS, repo="madebyollin/taesd"),), **_COMMON),
    AdapterSpec(id="taesdxl", title="Tiny decoder (SDXL)", arch=SDXL, bytes=9_800_000, licence="MIT",
                files=(WeightFile(WEIGHTS, repo="madebyollin/taesdxl"),), **_COMMON))  # fmt: skip


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a folder or file in one of the three layouts; None for anything else."""
    path = Path(source).expanduser().absolute()
    name, path = path.name.removesuffix(".safetensors"), path / WEIGHTS if path.is_dir() else path
    head = peek(path) if path.suffix == ".safetensors" else None
    if head is None or path.stat().st_size > MAX_BYTES:
        return None
    meta, layers = head.pop("__metadata__", {}), _layers(head)
    if (2, "conv.0.weight") not in layers:
        return None
    arch, also = said_arch(meta), ()
    if arch is None:
        arch, also = (SDXL, ()) if "xl" in name.lower() else (SD2, (SD1,))
    size = path.stat().st_size
    return AdapterSpec(
        id=slug(name), title=meta.get("modelspec.title", name), arch=arch, also=also, bytes=size, licence=meta.get("modelspec.license", ""),
        files=(WeightFile(str(path), size),), **_COMMON)  # fmt: skip


def _layers(names: Mapping[str, Any]) -> dict[tuple[int, str], str]:
    """{(layer counted as diffusers does, rest): tensor name} of the decoder; empty when the file holds none."""
    found = [(m, name) for name in names if (m := _NAME.match(name))]
    if not any(_FIRST.match(name) for name in names):
        return {}
    return {(int(m["layer"]) - (m["prefix"] != "decoder.layers"), m["rest"]): name for m, name in found}


@dataclass(frozen=True)
class Shape:
    """What `DecoderTiny` is built from, seen from the tensors."""

    latent_channels: int
    blocks: tuple[int, ...]
    widths: tuple[int, ...]


def shape_of(tensors: Mapping[tuple[int, str], Tensor]) -> Shape:
    """Blocks are layers with three convolutions; after each run of them comes an upsampling and a convolution."""
    last = max(layer for layer, _ in tensors)
    blocks, widths, run, width = [], [], 0, tensors[0, "weight"].shape[0]
    for layer in range(2, last + 1):
        if (layer, "conv.0.weight") in tensors:
            run += 1
        elif (layer, "weight") in tensors:
            blocks.append(run)
            widths.append(width)
            run, width = 0, tensors[layer, "weight"].shape[0]
    return Shape(tensors[0, "weight"].shape[1], tuple(blocks), tuple(widths))


def build(shape: Shape) -> nn.Module:
    """The decoder: latents [B, C, h, w] in the scale of the base -> rgb [B, 3, 8h, 8w] in [-1, 1], not clamped."""
    mend_torchvision()
    from diffusers.models.autoencoders.vae import DecoderTiny

    return DecoderTiny(shape.latent_channels, 3, shape.blocks, shape.widths, 2, "relu", "nearest")


class TinyDecoderAdapter:
    """Replaces `base.decode` while attached; strength below 1 mixes both pictures."""

    def __init__(self, spec: AdapterSpec, net: nn.Module, channels: int, device: Device) -> None:
        layout = {"memory_format": torch.channels_last} if device.channels_last else {}
        self.net = net.to(device.name, device.dtype, **layout).eval().requires_grad_(False)
        self.spec, self.channels, self.dtype, self.strength = spec, channels, device.dtype, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Changes nothing on the base. Raises Incompatible when the latents differ."""
        check_fits(self.spec, base)
        if base.latent_channels != self.channels:
            raise Incompatible(
                f'"{self.spec.title}" decodes {self.channels} channels, "{base.spec.title}" paints {base.latent_channels}.',
                "Choose one made for this base.",
            )
        yield Hooks(decode=lambda latents: self._decode(base, latents))

    def _decode(self, base: Base, latents: Tensor) -> Tensor:
        """latents [B, C, h, w] -> [B, 3, H, W] in [0, 1]."""
        if self.strength == 0:
            return base.decode(latents)
        quick = (self.net(latents.to(self.dtype)).float() / 2 + 0.5).clamp(0, 1)
        return quick if self.strength == 1 else blend(base.decode(latents), quick, quick.new_tensor(self.strength))

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.net.parameters())


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> TinyDecoderAdapter:
    """Read the decoder's half of the file."""
    path = locate(spec.files[0], cache_dir)
    names = _layers(header(path))
    with safe_open(path, "pt") as f:
        tensors = {place: f.get_tensor(name) for place, name in names.items()}
    if (0, "weight") not in tensors:
        raise BadInput(f"{path.name} holds no tiny decoder.", "Get taesd or taesdxl in safetensors form.")
    shape = shape_of(tensors)
    net = build(shape)
    try:
        net.load_state_dict({f"layers.{layer}.{rest}": tensor for (layer, rest), tensor in tensors.items()})
    except RuntimeError as error:
        raise MissingWeights(f"{path.name} is incomplete ({str(error).splitlines()[-1].strip()[:120]}).", "Download it again.") from error
    return TinyDecoderAdapter(spec, net, shape.latent_channels, device)
