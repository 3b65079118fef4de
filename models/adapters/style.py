"""Style transfer in one step (OSDiffST; models.nets.style): what is painted comes out in the style of a picture.

The adapter looks at `AdapterUse.image`, the style. After the last step of a walk the finished latents are given to the same network once
more, this time without noise and with the style's tokens for words; `AdapterUse.more` may hold a picture that is restyled in their place,
whatever the walk painted. Then neither words nor seed decide anything, and views of one thing come out alike. Strength mixes the style
with none; a mask holds the given picture as ever. Files: kind "onestroke.style", made by `python -m models.lab style_transfer`.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from models import checkpoint, pixels
from models.adapters._fit import check_fits
from models.adapters._networks import filled
from models.adapters._own import recognised, shipped_specs
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import Incompatible
from models.job import AdapterUse, Job, Picture
from models.nets.attention import key_of
from models.nets.prepack import packed_bytes, prepack
from models.nets.style import KIND, Pass, Restyle, Style, attached, eye_view, restyled
from models.spec import AdapterSpec
from models.weights import locate

PICTURES, STYLES_KEPT = 2, 8                         # the style and what is restyled; styles that an adapter remembers
FACTS: dict[str, Any] = dict(kind="style", needs_image=True, max_images=PICTURES, max_strength=1.0, order=80)


def recognise(source: str) -> AdapterSpec | None:
    """The spec of our own file; None for anything else."""
    return recognised(source, KIND, **FACTS)


SPECS = shipped_specs(KIND, **FACTS)


@dataclass
class Now:
    """The render that runs: at which share of the walk it is finished, its style, the latents that are restyled or None for its own."""
    last: float = 2.0
    style: Style | None = None
    content: Tensor | None = None


class StyleAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, restyle: Restyle) -> None:
        self.spec, self.restyle, self.strength = spec, restyle, 1.0
        self._seen: dict[str, Style] = {}

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        self._check_layers(base)
        now = Now()
        with attached(base.network, self.restyle) as call:
            yield Hooks(prepare=lambda job, use: self._prepare(base, now, job, use), after_denoise=lambda x0, share: self._after(base, call, now, x0, share))
        self._seen.clear()

    def _check_layers(self, base: Base) -> None:
        there = {key_of(name) for name, _ in base.network.named_modules()}
        if odd := next((key for key in self.restyle.low if key not in there), ""):
            raise Incompatible(f'"{self.spec.title}" adds to {odd}, which "{base.spec.title}" does not have.', "Choose one made for this base.")

    def _prepare(self, base: Base, now: Now, job: Job, use: AdapterUse) -> None:
        now.style = now.content = None
        if not use.strength:
            return
        steps = len(base.plan(job).sigmas)
        now.last = (steps - 1) / max(steps, 1) - 1e-6
        now.style = self._style(use.image)
        if use.more:
            shown = pixels.cover(pixels.flatten(use.more[0]), job.extent)
            now.content = base.encode(pixels.to_tensor(shown, base.device, base.dtype)).float()

    def _style(self, picture: Picture) -> Style:
        """Looked at once."""
        if picture.digest not in self._seen:
            while len(self._seen) >= STYLES_KEPT:
                del self._seen[next(iter(self._seen))]
            first = next(self.restyle.parameters())
            rgb = eye_view(pixels.to_tensor(pixels.flatten(picture), str(first.device)), self.restyle.eye.side_px)
            self._seen[picture.digest] = self.restyle.style(rgb.to(first.dtype))
        return self._seen[picture.digest]

    def _after(self, base: Base, call: Pass, now: Now, x0: Tensor, share: float) -> Tensor:
        if now.style is None or share < now.last:
            return x0
        latents = x0 if now.content is None else now.content.expand(len(x0), -1, -1, -1)
        return restyled(base.network, call, latents, self.restyle.mixed(now.style, self.strength))

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.restyle.parameters()) + packed_bytes(self.restyle)


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> StyleAdapter:
    """Read the file to `device`."""
    path = locate(spec.files[0], cache_dir)
    saved = checkpoint.load(path, KIND)
    restyle = filled(lambda: Restyle(saved.config["style"]), saved.tensors, path.name, device)
    return StyleAdapter(spec, prepack(restyle) if device.packs_weights else restyle)
