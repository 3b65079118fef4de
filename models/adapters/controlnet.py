"""ControlNet (Zhang et al. 2023): a picture of lines, depth or a pose steers the composition through residuals added to the UNet.

A diffusers folder, a single file in diffusers' names or in the original `control_model.` layout, and the small net of the embedded
base (models.nets.control). Checkpoint of the last: models.checkpoint, kind "onestroke.control", config {"control": what it obeys,
"network": keywords of ControlNetModel}, tensors in diffusers' names, int8 rows allowed.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from models import checkpoint, pixels
from models.adapters._control_layout import config_of, renamed
from models.adapters._fit import check_fits, said_arch
from models.adapters._networks import AGAIN, HOLES, control_of, filled, folder_of, name_of, read_config, shapes_of, shipped, weights_in
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import BadInput, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.nets.control import KIND, build, hint, residuals
from models.nets.prepack import packed_bytes, prepack
from models.spec import EMBEDDED, AdapterSpec, Arch, WeightFile, slug
from models.weights import header, locate

PICTURES_KEPT = 4                                    # fitted control pictures a net remembers
OTHER_KINDS = {"lora_controlnet": "a Control-LoRA", "lllite_": "a ControlNet-LLLite", "control_add_embedding": "a ControlNet-Union",
               "task_embedding": "a ControlNet-Union"}


@dataclass(frozen=True)
class Source:
    """What a file or folder says of itself: keywords of ControlNetModel, the kind of picture it obeys, {our name: its name}."""
    config: dict[str, Any]
    control: str
    names: Mapping[str, str]
    meta: Mapping[str, str]


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a ControlNet; None for anything else. Raises StudioError for a broken one or a kind that cannot be used."""
    path = Path(source).expanduser().absolute()
    folder = None if path.is_file() else folder_of(source)
    if folder is not None:
        return _folder_spec(folder, source.rpartition("/")[2] if not path.exists() else folder.name)
    return _spec(path, WeightFile(str(path), path.stat().st_size)) if path.is_file() else None


def _folder_spec(folder: Path, name: str) -> AdapterSpec | None:
    kind = read_config(folder).get("_class_name")
    if kind == "ControlNetUnionModel":
        raise BadInput(f"{name} is a ControlNet-Union, which cannot be used.", "Get the ControlNet of one kind of picture.")
    if kind != "ControlNetModel":
        return None
    weights = weights_in(folder)
    return _spec(weights, WeightFile(str(weights), weights.stat().st_size), name)


def _spec(path: Path, file: WeightFile, name: str = "") -> AdapterSpec | None:
    source, name = _read(path), name or name_of(path)
    if source is None:
        return None
    return AdapterSpec(
        id=slug(name), title=source.meta.get("modelspec.title") or name, kind="control", arch=said_arch(source.meta) or _arch(source.config),
        files=(file,), bytes=path.stat().st_size, needs_image=True, control=source.control or control_of(name), order=60, max_strength=2.0,
        knows=source.meta.get("modelspec.description") or "Follows the lines and shapes of a picture.", licence=source.meta.get("modelspec.license", ""))


def _read(path: Path) -> Source | None:
    """From the header alone; a config.json beside the file counts more than what the shapes say."""
    head = header(path)
    meta = head.pop("__metadata__", {})
    shapes = shapes_of(head)
    if meta.get("onestroke.kind") == KIND:
        said = json.loads(meta["onestroke.config"])
        return Source(said["network"], said.get("control", ""), {}, meta)
    if other := next((what for mark, what in OTHER_KINDS.items() if any(mark in name for name in shapes)), None):
        raise BadInput(f"{path.name} is {other}, which cannot be used.", "Get the plain ControlNet of that kind.")
    names = renamed(list(shapes))
    if not names:
        return None
    try:
        config = config_of({ours: shapes[theirs] for ours, theirs in names.items()})
    except (KeyError, StopIteration, IndexError) as error:
        raise MissingWeights(f"{path.name} is an incomplete ControlNet: {error.args[0] if error.args else 'a block'} is missing.", AGAIN) from None
    beside = read_config(path.parent) if (path.parent / "config.json").is_file() else {}
    if beside.get("_class_name") == "ControlNetModel":
        config |= {key: value for key, value in beside.items() if not key.startswith("_")}
    return Source(config, meta.get("onestroke.control", ""), names, meta)


def _arch(config: Mapping[str, Any]) -> Arch:
    """Seen from how the words come in: pooled (embedded), with size numbers (SDXL), by linear or by convolutional projection."""
    if config.get("class_embed_type") == "projection":
        family = EMBEDDED.family
    elif config.get("addition_embed_type") == "text_time":
        family = "sdxl"
    else:
        family = "sd2" if config.get("use_linear_projection") else "sd1"
    return Arch(family, config["cross_attention_dim"], config["in_channels"])


SPECS = tuple(_spec(path, WeightFile(f"adapters/{path.name}", path.stat().st_size)) for path in shipped(KIND))


class ControlAdapter:
    """One control net. It changes nothing in the base: what it adds is computed beside each call of the base's network."""

    def __init__(self, spec: AdapterSpec, net: Any, device: Device) -> None:
        self.spec, self.net, self.device, self.strength = spec, net, device, 1.0
        self._pictures: dict[tuple[str, Extent], Tensor] = {}
        self._cond: Tensor | None = None

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Raises Incompatible when it is made for another base."""
        check_fits(self.spec, base)
        try:
            yield Hooks(prepare=self._prepare, before_denoise=self._residuals)
        finally:
            self._pictures.clear()
            self._cond = None

    def _prepare(self, job: Job, use: AdapterUse) -> None:
        key = use.image.digest, job.extent
        if key not in self._pictures:
            while len(self._pictures) >= PICTURES_KEPT:
                del self._pictures[next(iter(self._pictures))]
            self._pictures[key] = self._fit(use.image, job.extent)
        self._cond = self._pictures[key]

    def _fit(self, picture: Picture, extent: Extent) -> Tensor:
        """[1, C, H, W] as the net's first convolution takes it, from the picture on white, cropped and resized to `extent`. To a net for
        inpainting what is transparent is unknown."""
        rgb = pixels.to_tensor(pixels.cover(pixels.flatten(picture), extent), self.device.name, self.device.dtype)
        if self.spec.control == HOLES and picture.channels == 4:
            alpha = pixels.cover(Picture.from_array(np.ascontiguousarray(picture.array[..., 3])), extent)
            rgb = torch.where(pixels.to_tensor(alpha, self.device.name) < 0.5, -torch.ones_like(rgb), rgb)
        return hint(self.net, rgb).contiguous(memory_format=_layout(self.device))

    def _residuals(self, step: Step) -> dict[str, Any]:
        return residuals(self.net, step.inputs, self._cond, self.strength) if self.strength else {}

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers())) + packed_bytes(self.net)


def _layout(device: Device) -> torch.memory_format:
    return torch.channels_last if device.channels_last else torch.contiguous_format


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> ControlAdapter:
    """Read the net to `device`."""
    path = locate(spec.files[0], cache_dir)
    source = _read(path)
    if source is None:
        raise MissingWeights(f"{path.name} is no ControlNet any more.", AGAIN)
    net = filled(lambda: build(source.config), _tensors(path, source), path.name, device).to(memory_format=_layout(device))
    if device.packs_weights and spec.arch.family == EMBEDDED.family:
        prepack(net)
    return ControlAdapter(spec, net, device)


def _tensors(path: Path, source: Source) -> dict[str, Tensor]:
    if not source.names:
        return checkpoint.load(path, KIND).tensors
    with safe_open(path, "pt") as f:
        return {ours: f.get_tensor(theirs) for ours, theirs in source.names.items()}
