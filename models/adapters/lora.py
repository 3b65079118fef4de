"""LoRA (Hu et al. 2021): y = W x + strength * alpha / rank * B A x on chosen layers of the UNet and the text encoders.

Attaching wraps those layers, detaching puts the very same layers back, so output, state and repr are equal bit for bit. Files
are recognised by their tensor names; which base they fit follows from the header alone. A use with words of its own is mixed in instead
(_lora_mix).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from models.adapters._lora_keys import TEXT, TEXT_2, UNET, Place, declared_scale, places
from models.adapters._lora_mix import Mix
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput, Incompatible, StudioError
from models.nets.prepack import PackedConv2d, PackedLinear, prepack
from models.spec import EMBEDDED, SD1, SD2, SDXL, AdapterSpec, Arch, WeightFile, slug
from models.weights import ASSETS, header, locate

BY_TEXT_WIDTH = {arch.context_dim: arch for arch in (EMBEDDED, SD1, SD2, SDXL)}
BY_NAME = {
    "stable-diffusion-v1": SD1,
    "sd_v1": SD1,
    "sd_1.5": SD1,
    "stable-diffusion-v2": SD2,
    "sd_v2": SD2,
    "stable-diffusion-xl": SDXL,
    "sdxl": SDXL,
}
SEVERAL = 3  # names an error message lists


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a LoRA file; None for any other file. Raises StudioError for a broken one or a kind that cannot be used."""
    path = Path(source).expanduser().absolute()
    if not path.is_file():
        return None
    return _spec(path, WeightFile(str(path), path.stat().st_size))


def _spec(path: Path, file: WeightFile) -> AdapterSpec | None:
    head = header(path)
    meta = head.pop("__metadata__", {})
    found, strange = places(head)
    if not found:
        return None
    _check_complete(path.name, found, strange)
    shapes = {name: tuple(entry["shape"]) for name, entry in head.items()}
    title = meta.get("modelspec.title") or meta.get("ss_output_name") or path.stem
    return AdapterSpec(
        id=slug(path.stem),
        title=title,
        kind="lora",
        arch=_arch(path.name, meta, found, shapes),
        files=(file,),
        bytes=path.stat().st_size,
        knows=meta.get("modelspec.description", ""),
        licence=meta.get("modelspec.license", ""),
    )


def _check_complete(name: str, found: Mapping[Place, Mapping[str, str]], strange: list[str]) -> None:
    if strange:
        raise BadInput(
            f"{name} holds {len(strange)} tensors that belong to no plain LoRA: {_some(strange)}.",
            "LoHa, LoKr and DoRA files cannot be used; get a plain LoRA.",
        )
    if lame := [place.flat for place, roles in found.items() if not {"down", "up"} <= set(roles)]:
        raise BadInput(f"{name} holds only one of the two matrices of {_some(lame)}.", "Download or export it again.")


def _arch(
    name: str, meta: Mapping[str, str], found: Mapping[Place, Mapping[str, str]], shapes: Mapping[str, tuple[int, ...]]
) -> Arch:
    """Said by the header, else seen from the width of the words that cross-attention reads."""
    if "onestroke.arch" in meta:
        return Arch(**json.loads(meta["onestroke.arch"]))
    widths = {
        shapes[roles["down"]][1]
        for place, roles in found.items()
        if place.target == UNET and place.flat.endswith(("attn2_to_k", "attn2_to_v"))
    }
    if len(widths) == 1 and (width := widths.pop()) in BY_TEXT_WIDTH:
        return BY_TEXT_WIDTH[width]
    said = f"{meta.get('modelspec.architecture', '')} {meta.get('ss_base_model_version', '')}".lower()
    if known := next((arch for part, arch in BY_NAME.items() if part in said), None):
        return known
    raise BadInput(
        f"{name} does not say which base it was made for.",
        "Use one that changes cross-attention, or one with a modelspec header.",
    )


def _shipped() -> tuple[AdapterSpec, ...]:
    """LoRAs in assets/adapters; a damaged one is reported and left out, so that the studio opens."""
    found = []
    for path in sorted((ASSETS / "adapters").glob("*.safetensors")):
        try:
            found.append(_spec(path, WeightFile(f"adapters/{path.name}", path.stat().st_size)))
        except StudioError as error:
            logging.getLogger(__name__).warning("%s", error)
    return tuple(spec for spec in found if spec)


SPECS = _shipped()


@dataclass(frozen=True)
class Factors:
    """`down` [r, in] or [r, in, k, k], `up` [out, r] or [out, r, 1, 1]; the change of a layer is scale * up down."""

    down: Tensor
    up: Tensor
    scale: float


class LoraLayer(nn.Module):
    """A layer with its low-rank change, read at the strength the adapter has at that moment."""

    def __init__(self, wrapped: nn.Module, factors: Factors, adapter: LoraAdapter) -> None:
        super().__init__()
        self.wrapped, self.scale = wrapped, factors.scale
        self.strength = lambda: adapter.strength if adapter.working is None else adapter.working
        self.plain = wrapped.plain if isinstance(wrapped, LoraLayer) else wrapped
        self.change = _branch(self.plain, factors)

    @property
    def weight(self) -> Tensor:
        return self.plain.weight

    @property
    def bias(self) -> Tensor | None:
        return self.plain.bias

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = self.wrapped(x, *args, **kwargs)
        scale = self.strength() * self.scale
        return torch.add(out, self.change(x), alpha=scale) if scale else out


def _branch(plain: nn.Module, factors: Factors) -> nn.Sequential:
    """down then up as layers that share the adapter's memory; packed where the layer they sit on is."""
    rank, into, *_ = factors.down.shape
    out, like = factors.up.shape[0], dict(bias=False, device="meta")
    if isinstance(plain, nn.Linear):
        layers = nn.Linear(into, rank, **like), nn.Linear(rank, out, **like)
    else:
        down = nn.Conv2d(into, rank, plain.kernel_size, plain.stride, plain.padding, plain.dilation, **like)
        layers = down, nn.Conv2d(rank, out, 1, **like)
    for layer, weight in zip(layers, (factors.down, factors.up)):
        layer.weight = nn.Parameter(weight, requires_grad=False)
    branch = nn.Sequential(*layers)
    return prepack(branch) if isinstance(plain, PackedConv2d | PackedLinear) else branch


class LoraAdapter:
    """The matrices of one file. It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, factors: Mapping[Place, Factors]) -> None:
        self.spec, self.factors, self.strength = spec, dict(factors), 1.0
        self.working: float | None = None            # said by _lora_mix in the place of the strength
        self._bases: list[Base] = []

    @property
    def reads_text(self) -> bool:
        return any(place.target != UNET for place in self.factors)

    def set_strength(self, strength: float) -> None:
        changed, self.strength = strength != self.strength, strength
        if changed:
            self._forget_prompts()

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Wrap the layers; leaving puts the original ones back. Raises Incompatible before anything is changed."""
        if base.spec.arch != self.spec.arch:
            raise Incompatible(
                f'"{self.spec.title}" is made for {self.spec.arch}, "{base.spec.title}" is {base.spec.arch}.',
                "Choose one made for this base.",
            )
        wraps = [(parent, name, LoraLayer(getattr(parent, name), factors, self)) for parent, name, factors in self._layers(base)]
        for parent, name, layer in wraps:
            setattr(parent, name, layer)
        self._bases.append(base)
        self._forget_prompts()
        try:
            with Mix(self, base).around() as hooks:
                yield hooks
        finally:
            for parent, name, layer in wraps:
                setattr(parent, name, layer.wrapped)
            self._forget_prompts()
            self._bases.remove(base)

    def _layers(self, base: Base) -> list[tuple[nn.Module, str, Factors]]:
        """(parent, attribute, factors) of every layer to wrap."""
        nets = {UNET: base.network} | {target: getattr(base, target, None) for target in (TEXT, TEXT_2)}
        by_flat = {
            target: {path.replace(".", "_"): path for path, _ in net.named_modules()}
            for target, net in nets.items()
            if net is not None
        }
        out, lost = [], []
        for place, factors in self.factors.items():
            paths = by_flat.get(place.target, {})
            path = paths.get(place.flat) or paths.get(place.flat.removeprefix("text_model_"))
            if path is None:
                lost.append(f"{place.target} {place.flat}")
                continue
            parent, _, name = path.rpartition(".")
            owner = nets[place.target].get_submodule(parent)
            out.append((owner, name, _fitted(factors, getattr(owner, name), path, self.spec.title)))
        if lost:
            raise Incompatible(
                f'"{self.spec.title}" changes {len(lost)} layers that "{base.spec.title}" does not have: {_some(lost)}.',
                "Choose one made for this base.",
            )
        return out

    def _forget_prompts(self) -> None:
        """Encoded prompts are stale once the text encoder answers differently."""
        for base in self._bases if self.reads_text else ():
            base.forget_prompts()

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for f in self.factors.values() for t in (f.down, f.up))


def _fitted(factors: Factors, layer: nn.Module, path: str, title: str) -> Factors:
    """The factors in the number of dimensions the layer computes in. Raises Incompatible when widths differ."""
    layer = layer.plain if isinstance(layer, LoraLayer) else layer
    linear, down, up = isinstance(layer, nn.Linear), factors.down, factors.up
    pointwise = down.ndim == 2 or down.shape[2:] == (1, 1)
    if linear and pointwise:
        down, up = down.flatten(1), up.flatten(1)
    elif isinstance(layer, nn.Conv2d):
        down, up = (t if t.ndim == 4 else t[:, :, None, None] for t in (down, up))
    if not (linear or isinstance(layer, nn.Conv2d)) or layer.weight.shape != (up.shape[0], *down.shape[1:]):
        raise Incompatible(
            f'"{title}" brings {tuple(down.shape)} and {tuple(up.shape)} for {path}, which do not fit there.',
            "Choose one made for this base.",
        )
    return Factors(down, up, factors.scale)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SEVERAL]) + (", ..." if len(names) > SEVERAL else "")


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> LoraAdapter:
    """Read the matrices to `device`."""
    path = locate(spec.files[0], cache_dir)
    header(path)
    with safe_open(path, "pt") as f:
        meta, found = f.metadata() or {}, places(f.keys())[0]
        return LoraAdapter(spec, {place: _factors(f, meta, place, roles, device) for place, roles in found.items()})


def _factors(file: Any, meta: Mapping[str, str], place: Place, roles: Mapping[str, str], device: Device) -> Factors:
    down, up = (file.get_tensor(roles[role]).to(device.name, device.dtype) for role in ("down", "up"))
    rank = down.shape[0]
    scale = float(file.get_tensor(roles["alpha"])) / rank if "alpha" in roles else declared_scale(meta, place, rank)
    return Factors(down, up, scale)
