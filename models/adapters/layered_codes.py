"""Layered codes (AniFaceDrawing, Huang et al. 2023): few strokes become a whole picture; what is not drawn yet is what drawings have on
average. Looser with lines than a ControlNet. A second picture locks the colours: its colour tokens take the place of the guessed ones.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from models import checkpoint, pixels
from models.adapters._fit import check_fits, own_header
from models.adapters._networks import filled, shipped
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import Incompatible
from models.job import AdapterUse, Extent, Job, Picture
from models.nets.image_prompt import Look, attached, cross_attention
from models.nets.layered_codes import KIND, LayeredCodes, build
from models.spec import EMBEDDED, AdapterSpec, WeightFile, slug
from models.weights import locate

CONTROL = "layered"                                  # what it obeys, beside "scribble" and its kin
CODES_KEPT = 4                                       # drawings whose code is remembered


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a file of layered codes; None for anything else."""
    path = Path(source).expanduser().absolute()
    return _spec(path, WeightFile(str(path), path.stat().st_size)) if path.is_file() else None


def _spec(path: Path, file: WeightFile) -> AdapterSpec | None:
    meta = own_header(path, KIND)
    if meta is None:
        return None
    return AdapterSpec(
        id=slug(path.stem), title=meta.get("modelspec.title") or path.stem, kind="control", arch=EMBEDDED, files=(file,),
        bytes=path.stat().st_size, needs_image=True, max_images=2, control=CONTROL, order=56,
        knows=meta.get("modelspec.description", ""), licence=meta.get("modelspec.license", ""))


SPECS = tuple(_spec(path, WeightFile(f"adapters/{path.name}", path.stat().st_size)) for path in shipped(KIND))


class LayeredCodesAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, net: LayeredCodes, device: Device) -> None:
        self.spec, self.net, self.device, self.strength = spec, net, device, 1.0
        self._looks: list[Look] = []
        self._known: dict[tuple[str, ...], Tensor] = {}
        self._now: Tensor | None = None

    def set_strength(self, strength: float) -> None:
        self.strength = strength
        for look in self._looks:
            look.amount = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Wrap the processors of the layers that read words. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        own = {number: keys.to_v_ip.out_features for number, keys in self.net.ip_adapter.items()}
        if own != {number: layer.to_k.weight.shape[0] for number, layer in cross_attention(base.network).items()}:
            raise Incompatible(f'"{self.spec.title}" was made for other layers than "{base.spec.title}" has.', "Choose one made for this base.")
        with attached(base.network, self.net, Look(self.strength)) as look:
            self._looks.append(look)
            try:
                yield Hooks(prepare=self._prepare, before_denoise=lambda step: self._show(look, step))
            finally:
                self._looks = [other for other in self._looks if other is not look]
                self._known.clear()
                self._now = None

    def _prepare(self, job: Job, use: AdapterUse) -> None:
        """Read the drawing, and the picture that locks the colours, once for each pair of them."""
        key = (*(picture.digest for picture in use.images[:2]), str(job.extent))
        if key not in self._known:
            while len(self._known) >= CODES_KEPT:
                del self._known[next(iter(self._known))]
            pictures = (self._rgb(picture, job.extent) for picture in use.images[:2])
            self._known[key] = self.net.of_sketch(*pictures).to(self.device.dtype)
        self._now = self._known[key]

    def _rgb(self, picture: Picture, extent: Extent) -> Tensor:
        """[1, 3, H, W] of the picture on white, cropped to the shape of what is painted."""
        return pixels.to_tensor(pixels.cover(pixels.flatten(picture), extent), self.device.name, self.device.dtype)

    def _show(self, look: Look, step: Step) -> dict[str, Any]:
        """The code, gone after this call of the network; the pass with the negative prompt sees none."""
        look.show(None if step.negative else self._now)
        return {}

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers()))


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> LayeredCodesAdapter:
    """Read the net to `device`."""
    path = locate(spec.files[0], cache_dir)
    config = json.loads((own_header(path, KIND) or {"onestroke.config": "{}"})["onestroke.config"])
    return LayeredCodesAdapter(spec, filled(lambda: build(config), checkpoint.load(path, KIND).tensors, path.name, device), device)
