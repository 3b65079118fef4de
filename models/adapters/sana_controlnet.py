"""ControlNet of SANA: a picture of lines or edges steers the composition through residuals added between the transformer's blocks.

A diffusers folder (or a hub id in the cache) whose config.json says SanaControlNetModel. What it looks at is the picture in the
latents of the base, so the base's own encoder prepares it. It is made for one width of SANA and for the flow model: SANA-Sprint
counts its time differently.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from models import pixels
from models.adapters._fit import check_fits
from models.adapters._networks import AGAIN, control_of, filled, folder_of, read_config, weights_in
from models.compat import mend_torchvision
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job
from models.spec import SANA, AdapterSpec, Arch, WeightFile, slug
from models.weights import locate

CLASS = "SanaControlNetModel"
PICTURES_KEPT = 4                                    # encoded control pictures that are remembered
TAKES = ("hidden_states", "encoder_hidden_states", "encoder_attention_mask", "timestep")
SPECS: tuple[AdapterSpec, ...] = ()


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a SANA ControlNet; None for anything else. Raises StudioError for a broken one."""
    folder = None if Path(source).expanduser().is_file() else folder_of(source)
    if folder is None or (config := read_config(folder)).get("_class_name") != CLASS:
        return None
    if lost := [key for key in ("caption_channels", "in_channels") if key not in config]:
        raise MissingWeights(f"{folder.name}/config.json does not say {', '.join(lost)}.", AGAIN)
    path = Path(source).expanduser().absolute()
    name = path.name if path.exists() else source.rpartition("/")[2]
    weights = weights_in(folder)
    size = weights.stat().st_size
    return AdapterSpec(
        id=slug(name), title=name, kind="control", arch=Arch(SANA.family, config["caption_channels"], config["in_channels"]),
        files=(WeightFile(str(weights), size),), bytes=size, needs_image=True, control=control_of(name), order=60, max_strength=2.0,
        knows="Follows the lines and shapes of a picture.")


class SanaControlAdapter:
    """One control net. It changes nothing in the base: what it adds is computed beside each call of the base's network."""

    def __init__(self, spec: AdapterSpec, net: Any, device: Device) -> None:
        self.spec, self.net, self.device, self.strength = spec, net, device, 1.0
        self._pictures: dict[tuple[str, Extent], Tensor] = {}
        self._seen: Tensor | None = None

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Raises Incompatible when it is made for another base."""
        check_fits(self.spec, base)
        _check_network(self.net.config, base.network.config, self.spec.title, base.spec.title)
        try:
            yield Hooks(prepare=lambda job, use: self._prepare(base, job, use), before_denoise=self._residuals)
        finally:
            self._pictures.clear()
            self._seen = None

    def _prepare(self, base: Base, job: Job, use: AdapterUse) -> None:
        """Keeps the picture on white, cropped and resized, in the latents of the base, [1, C, h, w]."""
        key = use.image.digest, job.extent
        if key not in self._pictures:
            while len(self._pictures) >= PICTURES_KEPT:
                del self._pictures[next(iter(self._pictures))]
            rgb = pixels.to_tensor(pixels.cover(pixels.flatten(use.image), job.extent), base.device, base.dtype)
            self._pictures[key] = base.encode(rgb).to(self.device.dtype)
        self._seen = self._pictures[key]

    def _residuals(self, step: Step) -> dict[str, Any]:
        if not self.strength:
            return {}
        told = {key: step.inputs[key] for key in TAKES}
        picture = self._seen.expand(len(step.x), -1, -1, -1)
        added = self.net(**told, controlnet_cond=picture, conditioning_scale=self.strength, return_dict=False)[0]
        return {"controlnet_block_samples": tuple(added)}

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers()))


def _check_network(ours: Any, base: Any, title: str, base_title: str) -> None:
    if base.guidance_embeds:
        raise Incompatible(f'"{title}" is made for the flow model of SANA, "{base_title}" is a SANA-Sprint.', "Choose a SANA base.")
    width, wanted = (config.num_attention_heads * config.attention_head_dim for config in (ours, base))
    if width != wanted or ours.num_layers >= base.num_layers:
        raise Incompatible(f'"{title}" is made for a SANA of width {width}, "{base_title}" has {wanted} and {base.num_layers} layers.',
                           "Choose one made for this size of SANA.")


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> SanaControlAdapter:
    """Read the net to `device`."""
    mend_torchvision()
    from diffusers import SanaControlNetModel
    path = locate(spec.files[0], cache_dir)
    config = read_config(path.parent)
    if config.get("_class_name") != CLASS:
        raise MissingWeights(f"{path.parent.name} is no ControlNet of SANA any more.", AGAIN)
    net = filled(lambda: SanaControlNetModel.from_config(config), load_file(path), path.parent.name, device)
    return SanaControlAdapter(spec, net, device)
