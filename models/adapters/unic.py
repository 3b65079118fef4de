"""UNIC-Adapter (Duan et al. 2025, arXiv 2412.18928) on a UNet: it looks at one picture and does with it what a sentence says.

The sentence is `AdapterUse.words` ("" = follow the edges). The base itself sees the picture once with the sentence as its words, and the
keys and values of that are kept for each (picture, sentence), so that a step costs little more than without. Files: models.nets.unic,
kind "onestroke.unic". The published weights are for SD3 and FLUX, which are no bases here.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models import checkpoint, pixels
from models.adapters._fit import check_fits
from models.adapters._networks import filled
from models.adapters._own import recognised, shipped_specs
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Job
from models.nets.attention import self_attention
from models.nets.prepack import packed_bytes, prepack
from models.nets.unic import KIND, Kept, Memory, Unic, attached
from models.spec import AdapterSpec
from models.weights import locate

KEPT = 4                                             # (picture, sentence) pairs a base remembers
DRAWN = "edges"                                      # the task whose picture comes white on black, as control pictures do
FACTS: dict[str, Any] = dict(kind="instruct", needs_image=True, control="edges", order=66)


def recognise(source: str) -> AdapterSpec | None:
    """The spec of our own file; None for anything else."""
    return recognised(source, KIND, **FACTS)


SPECS = shipped_specs(KIND, **FACTS)


class UnicAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, unic: Unic, sentences: dict[str, str]) -> None:
        self.spec, self.unic, self.sentences, self.strength = spec, unic, sentences, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Hook every self-attention layer. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        self._check_layers(base)
        memory, known = Memory(), {}
        with attached(base.network, self.unic, memory):
            over = base.network.register_forward_hook(lambda *_: setattr(memory, "amount", 0.0))
            try:
                yield Hooks(prepare=lambda job, use: self._prepare(base, memory, known, job, use),
                            before_denoise=lambda step: self._arm(memory, step))
            finally:
                over.remove()
                memory.kept = {}
                known.clear()

    def _check_layers(self, base: Base) -> None:
        there = {key: layer.to_q.in_features for key, layer in self_attention(base.network).items()}
        own = {key: layer.query.in_features for key, layer in self.unic.layers.items()}
        if own != there:
            odd = next(key for key in sorted({*own, *there}) if own.get(key) != there.get(key))
            raise Incompatible(f'"{self.spec.title}" brings {own.get(odd, "nothing")} for {odd}, "{base.spec.title}" has {there.get(odd, "none")} there.',
                               "Choose one made for this base.")

    def _prepare(self, base: Base, memory: Memory, known: dict[Any, Kept], job: Job, use: AdapterUse) -> None:
        memory.kept, memory.amount = {}, 0.0
        if not use.strength:
            return
        sentence = use.words.strip() or self.sentences[DRAWN]
        if len(sentence) < 3:
            raise BadInput(f'"{sentence}" does not say what to do with the picture.', f"Write for example: {self.sentences[DRAWN]}.")
        key = use.image.digest, job.extent, sentence
        if key not in known:
            while len(known) >= KEPT:
                del known[next(iter(known))]
            known[key] = self._look(base, memory, job, use, sentence)
        memory.kept = known[key]

    def _look(self, base: Base, memory: Memory, job: Job, use: AdapterUse, sentence: str) -> Kept:
        """Run the branch: the base at time 0 on the clean picture, with the sentence as its words."""
        rgb = pixels.to_tensor(pixels.cover(pixels.flatten(use.image), job.extent), base.device, base.dtype)
        latents = base.encode(1 - rgb if sentence == self.sentences[DRAWN] else rgb).float()
        cond = base.batch_cond([base.encode_prompt(sentence)])
        with memory.records(tuple(latents.shape[-2:])) as kept:
            base.network(**base.inputs(latents, 0.0, cond), return_dict=False)
        return kept

    def _arm(self, memory: Memory, step: Step) -> dict[str, Any]:
        """For this call of the network only."""
        memory.amount, memory.latent = self.strength, tuple(step.x.shape[-2:])
        return {}

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.unic.parameters()) + packed_bytes(self.unic)


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> UnicAdapter:
    """Read the file to `device`."""
    path = locate(spec.files[0], cache_dir)
    saved = checkpoint.load(path, KIND)
    unic = filled(lambda: Unic(saved.config["unic"]), saved.tensors, path.name, device)
    return UnicAdapter(spec, prepack(unic) if device.packs_weights else unic, saved.config["sentences"])
