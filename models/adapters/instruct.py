"""Instructions (models.nets.instruct, after PixWizard): it looks at one picture and does with it what one sentence says.

The sentence is `AdapterUse.words`, or the job's prompt where those are empty; the prompt is what the base itself is told meanwhile. The base
looks at the clean picture once for each (picture, sentence) and what it sees is kept, so that a step costs a third more than without. What is
transparent is shown on white: nothing else was trained. Files: kind "onestroke.instruct".
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import checkpoint, pixels
from models.adapters._fit import check_fits
from models.adapters._networks import filled
from models.adapters._own import recognised, shipped_specs
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Job
from models.nets.instruct import KIND, LOOK_TIME, Instruct, Source, Taps, tap_places, tapped
from models.nets.prepack import packed_bytes, prepack
from models.sampling import vp_sigmas
from models.spec import AdapterSpec
from models.weights import locate

KEPT = 4                                             # (picture, sentence) pairs a base remembers
LOOK_SIGMA = float(vp_sigmas()[int(LOOK_TIME)])
FACTS: dict[str, Any] = dict(kind="edit", needs_image=True, claims=("edit",), order=67)


def recognise(source: str) -> AdapterSpec | None:
    """The spec of our own file; None for anything else."""
    return recognised(source, KIND, **FACTS)


SPECS = shipped_specs(KIND, **FACTS)


@dataclass(frozen=True)
class Told:
    """What is known of one picture and one sentence: the picture, the sentence as the base reads it, what the base sees in it."""
    source: Source
    sentence: tuple[Tensor, Tensor | None, Tensor]
    seen: dict[str, Tensor]

    def of(self, rows: int) -> tuple[Source, tuple[Tensor, Tensor | None, Tensor], dict[str, Tensor]]:
        """The same for a batch."""
        wide = lambda t: None if t is None else t.expand(rows, *t.shape[1:])
        return self.source.of(rows), tuple(map(wide, self.sentence)), {name: wide(t) for name, t in self.seen.items()}


@dataclass
class Seat:
    """What the hooks around one network hold: what is told, and between `before_denoise` and the network's answer the net's features."""
    told: Told | None = None
    features: list[Tensor] | None = None
    source: Source | None = None


class InstructAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, net: Instruct, places: dict[str, Any]) -> None:
        self.spec, self.net, self.places, self.strength = spec, net, places, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Hook the network and the blocks that tell what it sees. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        if (there := {name: list(place) for name, place in tap_places(base.network).items()}) != self.places:
            odd = next(name for name in sorted({*there, *self.places}) if there.get(name) != self.places.get(name))
            wants, has = self.places.get(odd, "nothing"), there.get(odd, "none")
            raise Incompatible(f'"{self.spec.title}" expects {wants} of {odd}, "{base.spec.title}" has {has} there.', "Choose one made for this base.")
        seat, known = Seat(), {}
        with tapped(base.network) as taps:
            after = base.network.register_forward_hook(lambda net, args, out: self._answer(seat, taps, out))
            try:
                yield Hooks(prepare=lambda job, use: self._prepare(base, seat, taps, known, job, use),
                            before_denoise=lambda step: self._steer(seat, step))
            finally:
                after.remove()
                seat.told = seat.features = seat.source = None
                taps.seen = {}
                known.clear()

    def _prepare(self, base: Base, seat: Seat, taps: Taps, known: dict[Any, Told], job: Job, use: AdapterUse) -> None:
        seat.told = seat.features = None
        if not use.strength:
            return
        sentence = use.words.strip() or job.prompt.strip()
        if len(sentence) < 2:
            raise BadInput("Nothing says what to do with the picture.", 'Write for example: "make the hat red".')
        key = use.image.digest, job.extent, sentence
        if key not in known:
            while len(known) >= KEPT:
                del known[next(iter(known))]
            known[key] = self._look(base, taps, job, use, sentence)
        seat.told = known[key]

    @staticmethod
    def _look(base: Base, taps: Taps, job: Job, use: AdapterUse, sentence: str) -> Told:
        """The base at LOOK_TIME on the clean picture, with the sentence as its words."""
        rgb = pixels.to_tensor(pixels.cover(pixels.flatten(use.image), job.extent), base.device, base.dtype)
        latents = base.encode(rgb).float()
        cond = base.batch_cond([base.encode_prompt(sentence)])
        taps.open, taps.seen = True, {}
        try:
            base.network(**base.inputs(latents, LOOK_SIGMA, cond), return_dict=False)
        finally:
            taps.open = False
        seen, taps.seen = taps.seen, {}
        return Told(Source(latents, torch.ones_like(latents[:, :1]), latents.new_ones(1)), cond, seen)

    def _steer(self, seat: Seat, step: Step) -> dict[str, Any]:
        """Residuals for the next call of the network; its answer is then what the sentence says."""
        if seat.told is None:
            return {}
        x_vp = step.inputs["sample"]
        source, sentence, seen = seat.told.of(len(x_vp))
        seat.features, seat.source = self.net.features(source, x_vp, step.inputs["timestep"].reshape(-1).expand(len(x_vp)), sentence, seen), source
        return self.net.residuals(seat.features, self.strength)

    def _answer(self, seat: Seat, taps: Taps, out: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if seat.features is None or taps.open:
            return None
        features, seat.features = seat.features, None
        told = self.net.answer(features, seat.source, out[0].float())
        return (torch.lerp(out[0].float(), told, self.strength).to(out[0].dtype), *out[1:])

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters()) + packed_bytes(self.net)


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> InstructAdapter:
    """Read the file to `device`."""
    path = locate(spec.files[0], cache_dir)
    saved = checkpoint.load(path, KIND)
    config = saved.config["instruct"]
    net = filled(lambda: Instruct(config), saved.tensors, path.name, device)
    places = {name: list(place) for name, place in config["taps"].items()}
    return InstructAdapter(spec, prepack(net) if device.packs_weights else net, places)
