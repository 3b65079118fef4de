"""T2I-Adapter (Mou et al. 2023): a picture of lines or depth steers the composition by features added between the UNet's down blocks.

The features depend on the picture alone, so they are computed once a picture, not once a step. The full, the full XL and the light
form, as a diffusers folder or a single file in diffusers' names.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from models import pixels
from models.adapters._fit import check_fits, said_arch
from models.adapters._networks import AGAIN, control_of, filled, folder_of, name_of, read_config, shapes_of, weights_in
from models.compat import mend_torchvision
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.spec import SD1, SDXL, AdapterSpec, WeightFile, slug
from models.weights import header, locate

SPECS: tuple[AdapterSpec, ...] = ()
PICTURES_KEPT = 4                                    # pictures whose features an adapter remembers
PREFIX, CONFIG = "adapter.", ("in_channels", "channels", "num_res_blocks", "downscale_factor", "adapter_type")
LUMA = (0.299, 0.587, 0.114)                         # grey of RGB, ITU-R BT.601
FOLDS = {1: (64, 256), 3: (192, 768)}                # channels after pixels are folded 8x8 and 16x16, of grey and colour
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Source:
    """Keywords of diffusers' T2IAdapter, {its name: name in the file} and the header's metadata."""
    config: dict[str, Any]
    names: Mapping[str, str]
    meta: Mapping[str, str]


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a T2I-Adapter; None for anything else. Raises StudioError for a broken one."""
    path = Path(source).expanduser().absolute()
    if path.is_file():
        return _spec(path, name_of(path))
    folder = folder_of(source)
    if folder is None or read_config(folder).get("_class_name") != "T2IAdapter":
        return None
    return _spec(weights_in(folder), folder.name if path.exists() else source.rpartition("/")[2])


def _spec(path: Path, name: str) -> AdapterSpec | None:
    source = _read(path)
    if source is None:
        return None
    size = path.stat().st_size
    arch = said_arch(source.meta) or (SDXL if source.config["adapter_type"] == "full_adapter_xl" else SD1)
    return AdapterSpec(
        id=slug(name), title=source.meta.get("modelspec.title") or name, kind="control", arch=arch, files=(WeightFile(str(path), size),), bytes=size,
        needs_image=True, control=source.meta.get("onestroke.control") or control_of(name), order=60, max_strength=2.0,
        knows=source.meta.get("modelspec.description") or "Follows the lines and shapes of a picture.", licence=source.meta.get("modelspec.license", ""))


def _read(path: Path) -> Source | None:
    """From the header alone; a config.json beside the file counts more than what the shapes say."""
    head = header(path)
    meta, shapes = head.get("__metadata__", {}), shapes_of(head)
    names = {PREFIX + name.removeprefix(PREFIX): name for name in shapes}
    if not any(re.match(r"adapter\.body\.0\.(resnets\.0\.block1|in_conv)\.weight", name) for name in names):
        return None
    beside = read_config(path.parent) if (path.parent / "config.json").is_file() else {}
    if beside.get("_class_name") == "T2IAdapter":
        config = {key: beside[key] for key in CONFIG if key in beside} | ({"adapter_type": "full_adapter"} if "adapter_type" not in beside else {})
    elif "onestroke.config" in meta:
        config = json.loads(meta["onestroke.config"])
    else:
        config = _config(path.name, {ours: shapes[theirs] for ours, theirs in names.items()})
    return Source(config, names, meta)


def _config(name: str, shapes: Shapes) -> dict[str, Any]:
    """Seen from shapes: the light form has no first convolution, the XL form folds 16x16 pixels."""
    body = f"{PREFIX}body."
    blocks = range(len({key.split(".")[2] for key in shapes if key.startswith(body)}))
    resnets = len({key.split(".")[4] for key in shapes if key.startswith(f"{body}0.resnets.")})
    light = f"{PREFIX}conv_in.weight" not in shapes
    try:
        into = shapes[f"{body}0.in_conv.weight" if light else f"{PREFIX}conv_in.weight"][1]
        outs = [shapes[f"{body}{i}.{'out_conv' if light else 'resnets.0.block2'}.weight"][0] for i in blocks]
    except KeyError as error:
        raise MissingWeights(f"{name} is an incomplete T2I-Adapter: {error.args[0]} is missing.", AGAIN) from None
    grey = next((channels for channels, folded in FOLDS.items() if into in folded), None)
    if grey is None:
        raise BadInput(f"{name} takes {into} folded channels, which is neither a grey nor a colour picture.", "Give its folder with config.json.")
    fold = (8, 16)[FOLDS[grey].index(into)]
    kind = "light_adapter" if light else "full_adapter_xl" if fold == 16 else "full_adapter"
    return dict(in_channels=grey, channels=outs[:-1] if light else outs, num_res_blocks=resnets, downscale_factor=fold, adapter_type=kind)


class T2IAdapterControl:
    """One adapter. It changes nothing in the base: its features are given along with each call of the base's network."""

    def __init__(self, spec: AdapterSpec, net: Any, device: Device) -> None:
        self.spec, self.net, self.device, self.strength = spec, net, device, 1.0
        self._kept: dict[tuple[str, Extent], list[Tensor]] = {}
        self._features: list[Tensor] = []

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Raises Incompatible when it is made for another base."""
        check_fits(self.spec, base)
        self._check_widths(base)
        try:
            yield Hooks(prepare=self._prepare, before_denoise=self._residuals)
        finally:
            self._kept.clear()
            self._features = []

    def _check_widths(self, base: Base) -> None:
        own, there = list(self.net.config.channels), list(base.network.config.block_out_channels)
        if own[:len(there)] != there[:len(own)]:
            raise Incompatible(f'"{self.spec.title}" gives {own} channels, "{base.spec.title}" has {there}.', "Choose one made for this base.")

    def _prepare(self, job: Job, use: AdapterUse) -> None:
        """Compute the features, once for every picture and size."""
        if not use.strength:
            return
        key = use.image.digest, job.extent
        if key not in self._kept:
            while len(self._kept) >= PICTURES_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self.net(self._fit(use.image, job.extent))
        self._features = self._kept[key]

    def _fit(self, picture: Picture, extent: Extent) -> Tensor:
        """[1, 1 or 3, H, W] in [0, 1] of the picture on white, cropped to the shape of `extent`; sides are rounded up to what folds."""
        fold = self.net.downscale_factor
        whole = Extent(-(-extent.width // fold) * fold, -(-extent.height // fold) * fold)
        rgb = pixels.to_tensor(pixels.cover(pixels.flatten(picture), whole), self.device.name)
        if self.net.config.in_channels == 1:
            rgb = (rgb * rgb.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        return rgb.to(self.device.dtype)

    def _residuals(self, step: Step) -> dict[str, Any]:
        """A fresh list of fresh tensors, because the UNet takes them out of it one by one."""
        if not self.strength:
            return {}
        return {"down_intrablock_additional_residuals": [(f * self.strength).expand(len(step.x), -1, -1, -1) for f in self._features]}

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers()))


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> T2IAdapterControl:
    """Read the net to `device`."""
    path = locate(spec.files[0], cache_dir)
    source = _read(path)
    if source is None:
        raise MissingWeights(f"{path.name} is no T2I-Adapter any more.", AGAIN)
    mend_torchvision()
    from diffusers import T2IAdapter
    with safe_open(path, "pt") as f:
        tensors = {ours: f.get_tensor(theirs) for ours, theirs in source.names.items()}
    return T2IAdapterControl(spec, filled(lambda: T2IAdapter(**source.config), tensors, path.name, device), device)
