"""Beyond a picture's edges and into its holes: the embedded base sees what is known and where it lies (models/nets/outpaint.py, after PQDiff).

A job's image and mask say what is known; that is all it needs. For a known part that is small on the canvas, `AdapterUse.image` shows it in
as much detail as there is (RGBA, alpha 0 = unknown) and `AdapterUse.words` are its box in shares of the canvas, "x0 y0 x1 y1". It is looked
at once a picture; a step then costs a few thin layers more.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint, pixels
from models.adapters._fit import check_fits
from models.adapters._networks import filled
from models.adapters._own import recognised, shipped_specs
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Extent, Job, Picture
from models.nets.attention import LowRank, key_of
from models.nets.outpaint import ANCHOR, KIND, Outpaint, Sight, attached, cells_of
from models.nets.prepack import packed_bytes, prepack
from models.spec import AdapterSpec
from models.weights import locate

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
KEPT = 4                                             # views a base remembers
MOST_TIMES = 64.0                                    # of the anchor's sides: farther away nothing can be said of it
FACTS: dict[str, Any] = dict(kind="outpaint", grants=("outpainting",), order=64, max_strength=1.0)


def recognise(source: str) -> AdapterSpec | None:
    """The spec of our own file; None for anything else."""
    return recognised(source, KIND, **FACTS)


SPECS = shipped_specs(KIND, **FACTS)


class OutpaintAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, net: Outpaint, device: Device) -> None:
        self.spec, self.net, self.device, self.strength = spec, net, device, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Hook the layers. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        self._check_layers(base)
        sight, known = Sight(), {}
        with attached(base.network, self.net, sight):
            over = base.network.register_forward_hook(lambda *_: setattr(sight, "amount", 0.0))
            try:
                yield Hooks(prepare=lambda job, use: self._prepare(base, sight, known, job, use), before_denoise=lambda step: self._arm(sight))
            finally:
                over.remove()
                sight.seen = None
                known.clear()

    def _check_layers(self, base: Base) -> None:
        there = {key_of(name): LowRank.shape_for(module) for name, module in base.network.named_modules()
                 if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)}
        for key, layer in self.net.layers.items():
            own = LowRank.shape_for(layer.down)
            if key not in there or [there[key][0], there[key][2]] != [own[0], own[2]]:
                raise Incompatible(f'"{self.spec.title}" adds to {key}, which "{base.spec.title}" does not have like that.', "Choose one made for this base.")

    def _prepare(self, base: Base, sight: Sight, known: dict[Any, Tensor], job: Job, use: AdapterUse) -> None:
        sight.seen, sight.amount = None, 0.0
        if not use.strength:
            return
        key = job.image and job.image.digest, job.mask and job.mask.digest, job.extent, use.image and use.image.digest, use.words
        if key not in known:
            while len(known) >= KEPT:
                del known[next(iter(known))]
            known[key] = self._seen(base, job, use)
        sight.seen = known[key]

    def _seen(self, base: Base, job: Job, use: AdapterUse) -> Tensor:
        """What goes behind the first convolution, [1, C, h, w]."""
        canvas = canvas_of(job)
        anchor, box = (use.image, box_of(use.words)) if use.image is not None else anchor_of(canvas)
        anchor = pixels.resize(pixels.with_alpha(anchor), Extent(ANCHOR * base.latent_px, ANCHOR * base.latent_px))
        both = (self._cells(base, picture) for picture in (canvas, anchor))
        return self.net.seen(*both, torch.tensor([box], device=self.device.name))

    def _cells(self, base: Base, rgba: Picture) -> Tensor:
        tensor = pixels.to_tensor(rgba, self.device.name)
        return cells_of(base.encode, tensor[:, :3], (tensor[:, 3:] > 0.5).float()).to(self.device.dtype)

    def _arm(self, sight: Sight) -> dict[str, Any]:
        """For this call of the network only."""
        sight.amount = self.strength
        return {}

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters()) + packed_bytes(self.net)


def canvas_of(job: Job) -> Picture:
    """RGBA of the job's size, alpha 255 where its picture is known: outside its mask; nowhere without one."""
    out = np.zeros((job.extent.height, job.extent.width, 4), np.uint8)
    if job.image is not None and job.mask is not None:
        out[..., :3] = pixels.cover(pixels.flatten(job.image), job.extent).array
        mask = pixels.cover(Picture.from_array(job.mask.array[..., :1]), job.extent).array[..., 0]
        out[..., 3] = np.where(mask == 0, 255, 0)
    return Picture.from_array(out)


def anchor_of(canvas: Picture) -> tuple[Picture, Box]:
    """What is known of a canvas, cut out of it, and its box; the canvas itself where nothing is known."""
    known = canvas.array[..., 3] > 0
    if not known.any():
        return canvas, WHOLE
    ys, xs = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    y0, y1, x0, x1 = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    part = Picture.from_array(np.ascontiguousarray(canvas.array[y0:y1, x0:x1]))
    return part, (x0 / canvas.width, y0 / canvas.height, x1 / canvas.width, y1 / canvas.height)


def box_of(words: str) -> Box:
    """"0.25 0.25 0.75 0.75" -> its numbers; "" = the whole canvas. Raises BadInput."""
    try:
        box = tuple(float(word) for word in words.split()) or WHOLE
    except ValueError:
        box = ()
    if len(box) != 4 or not all(np.isfinite(box)) or min(box[2] - box[0], box[3] - box[1]) < 1 / MOST_TIMES or max(map(abs, box)) > MOST_TIMES:
        raise BadInput(f'"{words[:60]}" is no box on the canvas.', "Write four shares of it: left, top, right, bottom, for example 0.25 0.25 0.75 0.75.")
    return box


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> OutpaintAdapter:
    """Read the file to `device`."""
    path = locate(spec.files[0], cache_dir)
    saved = checkpoint.load(path, KIND)
    net = filled(lambda: Outpaint(saved.config["outpaint"]), saved.tensors, path.name, device)
    return OutpaintAdapter(spec, prepack(net) if device.packs_weights else net, device)
