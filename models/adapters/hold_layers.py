"""Layers stay what they are while a scene is painted over: multi-layer noise blending (Fontanella et al. 2024, "Generating Compositional
Scenes via Text-to-image RGBA Instance Generation", arXiv 2411.10913, section 3.3).

It has no weights. Its pictures are a background and one RGBA picture of the whole canvas a layer, bottom to top. A job with one seed more
than there are layers paints the partial scenes together: the background alone, with the first layer, and so on, each with its own words
(Job.each). At every step each scene takes its newest layer from the layer itself and what is under it partly from the scene below, so all
agree. A job of one seed paints the whole scene only. The use's `stop` says from when on layers come free and may change a little, which
is what makes light and shadow fall on them; strength 0 holds nothing.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import pixels
from models.adapters._fit import check_fits
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput
from models.job import AdapterUse, Job, Picture
from models.spec import EMBEDDED, SANA, SD1, SD2, SDXL, AdapterSpec

ORDER = 60
MOST_PICTURES = 17
LEAST_AGREEMENT = 0.3                                # with the scene below, at the end of the walk; 1 at its start
SPECS = (AdapterSpec(id="hold-layers", title="Hold layers", kind="hold_layers", arch=EMBEDDED, needs_image=True, max_images=MOST_PICTURES,
                     families=tuple(arch.family for arch in (EMBEDDED, SD1, SD2, SDXL, SANA)), files=(), bytes=0, grants=("held_layers",),
                     order=ORDER, max_strength=1.0, licence="Apache-2.0",
                     knows="Keeps every layer of a scene what it is while light and shadow come over all of them."),)


def recognise(source: str) -> AdapterSpec | None:
    """It comes in no file."""
    return None


@dataclass
class Held:
    """Latents of the partial scenes, [K + 1, C, h, w], the background first; how much of a cell each layer covers, [K + 1, 1, h, w],
    nothing of it being covered by the background unless it is alone; the noise time the walk starts at and the time layers come free at."""
    scenes: Tensor
    covers: Tensor
    top: float
    free: float
    whole: Tensor | None = None                      # latents of the given picture, where the walk starts from one


def partial_scenes(use: AdapterUse, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [K + 1, H, W, 3]: the background, and with one layer more each; uint8 [K + 1, H, W]: alpha of the layers)."""
    fitted = [pixels.cover(picture, job.extent) for picture in use.images]
    scenes = [pixels.flatten(fitted[0]).array.astype(np.float32)]
    alphas = [np.full(scenes[0].shape[:2], 255 if len(fitted) == 1 else 0, np.uint8)]
    for picture in fitted[1:]:
        rgba = pixels.with_alpha(picture).array.astype(np.float32)
        alpha = rgba[..., 3:] / 255
        scenes.append(rgba[..., :3] * alpha + scenes[-1] * (1 - alpha))
        alphas.append(rgba[..., 3].round().astype(np.uint8))
    return np.stack(scenes).round().astype(np.uint8), np.stack(alphas)


class HoldLayers:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec) -> None:
        self.spec, self.strength = spec, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Nothing of the base is touched. Raises Incompatible for another architecture."""
        check_fits(self.spec, base)
        place: dict[str, Held] = {}
        yield Hooks(prepare=lambda job, use: self._prepare(base, place, job, use), start=lambda x, cond: self._start(place.get("held"), x),
                    after_denoise=lambda x0, share: self._held(place.get("held"), x0, share))

    def _prepare(self, base: Base, place: dict[str, Held], job: Job, use: AdapterUse) -> None:
        place.clear()
        if not self.strength:
            return
        if len(job.seeds) not in (1, len(use.images)):
            raise BadInput(f"{len(use.images) - 1} layers make {len(use.images)} partial scenes, not {len(job.seeds)}.", "Give one seed for each, or one.")
        scenes, alphas = partial_scenes(use, job)
        encode = lambda rgb: base.encode(pixels.to_tensor(Picture.from_array(rgb), base.device, base.dtype)).float()
        covers = torch.cat([pixels.to_tensor(Picture.from_array(alpha), base.device) for alpha in alphas])
        cells = torch.nn.functional.avg_pool2d(covers, base.latent_px)
        given = job.image is not None and job.strength < 1
        whole = encode(pixels.cover(pixels.flatten(job.image), job.extent).array) if given else None
        top = job.strength if given else 1.0
        place["held"] = Held(torch.cat([encode(scene) for scene in scenes]), cells, top, top * (1 - use.stop), whole)

    def _start(self, held: Held | None, x: Tensor) -> Tensor:
        """A walk from the whole picture starts each partial scene from its own."""
        return x if held is None or held.whole is None or len(x) == 1 else x + held.scenes - held.whole

    def _held(self, held: Held | None, x0: Tensor, share: float) -> Tensor:
        """X[k] = g A_k z_k + (1 - g A_k) (w X[k-1] + (1 - w) X[k])."""
        if held is None:
            return x0
        time = held.top * (1 - share)
        hold = self.strength * (1.0 if time > held.free or held.free == 0 else time / held.free)
        if len(x0) == 1:                             # the whole scene only: every layer that shows is held
            cover = hold * held.covers.amax(0, keepdim=True)
            return cover * held.scenes[-1:] + (1 - cover) * x0
        agreement = self.strength * (LEAST_AGREEMENT + (1 - LEAST_AGREEMENT) * time / held.top)
        out = [x0[:1]]
        for k in range(1, len(x0)):
            under = agreement * out[-1] + (1 - agreement) * x0[k:k + 1]
            cover = hold * held.covers[k:k + 1]
            out.append(cover * held.scenes[k:k + 1] + (1 - cover) * under)
        return torch.cat(out)

    def bytes_resident(self) -> int:
        return 0


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> Any:
    """Nothing to read."""
    return HoldLayers(spec)
