"""UniCon (Li et al. 2024, arXiv 2410.11439): a picture and a signal of it (lines, a silhouette) are painted as a pair by one network.

What is clean decides what is done: from lines to a picture (the use's own picture is the signal), from a picture to lines (`words` = "read"),
both at once (`noise` = 1), or from lines that are only a hint (`noise` in between: they are noisy at first and get clear on the way).

A job paints one picture, so the adapter carries the other items of the pair along: it puts them into the batch of each call of the network
and takes them out of the answer. The partner's noise comes from the seed with its last bit turned, so a job that paints x and one that
paints y with the other seed walk the very same pair; models.flows.unicon makes use of that.

Our own file (models.nets.pair, kind "onestroke.pair") and the published folders for SD 1.5 (`_unicon_layout`).
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import checkpoint, pixels
from models.adapters import _unicon_layout as published
from models.adapters._fit import check_fits, own_header
from models.adapters._networks import filled, name_of, shipped
from models.contracts import Base, Hooks, Plan, Step
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Extent, Job, Picture
from models.nets.attention import self_attention
from models.nets.pair import KIND, Pair, Pairing, attached, stacked
from models.nets.prepack import packed_bytes, prepack
from models.sampling import TRAIN_STEPS, noise, spaced_sigmas, time_of_sigma, vp_sigmas
from models.spec import EMBEDDED, AdapterSpec, WeightFile, slug, styled
from models.weights import locate

READ = "read"                                        # the word that turns the pair round
TABLE = vp_sigmas()
LATENTS_KEPT = 8
_COMMON: dict[str, Any] = dict(kind="pair", needs_image=True, claims=("pair",), order=65, max_strength=1.5)


def recognise(source: str) -> AdapterSpec | None:
    """The spec of our own file or of a published folder; None for anything else. Raises StudioError for a broken one."""
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return published.spec_of(path, _COMMON)
    return _spec(path, WeightFile(str(path), path.stat().st_size)) if path.suffix == ".safetensors" else None


def _spec(path: Path, file: WeightFile) -> AdapterSpec | None:
    meta = own_header(path, KIND)
    if meta is None:
        return None
    triggers, name = json.loads(meta["onestroke.config"])["triggers"], name_of(path)
    return AdapterSpec(id=slug(name), title=meta.get("modelspec.title") or name, arch=EMBEDDED, files=(file,), bytes=file.bytes, control="edges",
                       max_images=len(triggers), knows=meta.get("modelspec.description", ""), licence=meta.get("modelspec.license", ""), **_COMMON)


SPECS = tuple(_spec(path, WeightFile(f"adapters/{path.name}", path.stat().st_size)) for path in shipped(KIND))


@dataclass(frozen=True)
class Order:
    """What `AdapterUse.words` asks for: `signals` by name, the first one first; `reads`: the painted picture is the signal."""
    signals: tuple[str, ...]
    reads: bool

    @classmethod
    def of(cls, words: str, known: tuple[str, ...]) -> Order:
        """"" = from lines, "shape" = from the silhouette, "read" = lines off a picture, "read shape". Raises BadInput for other words."""
        asked = [word for word in words.lower().split() if word != READ]
        if len(asked) > 1 or any(word not in known for word in asked):
            raise BadInput(f'A pair does not know "{words[:40]}".', f'Write one of: {", ".join(known)}; "{READ}" before it turns it round.')
        first = asked[0] if asked else known[0]
        return cls((first, *(name for name in known if name != first)), READ in words.lower().split())


@dataclass
class Partner:
    """The items that go along with one render, each [seeds, C, h, w]. `given`: their clean latents [1, C, h, w]."""
    job: Job
    use: AdapterUse
    plan: Plan
    reads: bool
    given: list[Tensor]
    conds: dict[bool, Any]                           # of all items, by whether the pass is the one with the negative prompt
    own: dict[bool, Any] | None                      # of the painted picture, when it is the signal
    step: int = -1
    x: Tensor | None = None
    answers: dict[bool, Tensor] = field(default_factory=dict)

    def at(self, step: int) -> tuple[Tensor, float]:
        """(noisy items [n * seeds, C, h, w], their sigma) for a step of the walk; goes on when it is a new one."""
        if step != self.step:
            self.x, self.step = self._start(step) if self.x is None or not self.use.noise else self._next(step), step
        return self.x, self._sigma(step)

    def _sigma(self, step: int) -> float:
        """The partner walks the same way on a shorter ladder: `noise` of the painted picture's time."""
        if self.use.noise == 1:
            return self.plan.sigmas[step]
        time = time_of_sigma(self.plan.sigmas[step], TABLE) / (TRAIN_STEPS - 1)
        return spaced_sigmas(1, TABLE, self.use.noise * time)[0] if self.use.noise else 0.0

    def _noise(self, stream: int) -> Tensor:
        draws = [noise([seed ^ (1 + k) for seed in self.job.seeds], given.shape[1:], stream) for k, given in enumerate(self.given)]
        return torch.cat(draws).to(self.given[0].device)

    def _start(self, step: int) -> Tensor:
        clean = torch.cat([given.expand(len(self.job.seeds), -1, -1, -1) for given in self.given])
        if not self.use.noise:
            return clean
        return (0 if self.use.noise == 1 else clean) + self._sigma(step) * self._noise(0)

    def _next(self, step: int) -> Tensor:
        """The step that models.sampling.run takes, from what the network answered last."""
        plain = self.answers.get(True)
        x0 = self.answers[False] if plain is None else plain + self.plan.guidance * (self.answers[False] - plain)
        now, before = self._sigma(step), self._sigma(self.step)
        return x0 + now * self._noise(step) if self.plan.stochastic else x0 + (now / before) * (self.x - x0)


@dataclass
class Seat:
    """What the hooks around one network hold between `before_denoise` and its answer."""
    pairing: Pairing = field(default_factory=Pairing)
    partner: Partner | None = None
    negative: bool = False
    sigma: float = 0.0
    x: Tensor | None = None
    mine: dict[str, Any] | None = None               # keyword inputs of the painted picture that are not what the base gives
    theirs: dict[str, Any] | None = None


class UniconAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, pair: Pair, triggers: dict[str, str], inverted: bool) -> None:
        """`inverted`: signals are black on white where control pictures are white on black."""
        self.spec, self.pair, self.triggers, self.inverted, self.strength = spec, pair, triggers, inverted, 1.0
        self._latents: dict[tuple[str, Extent, bool], Tensor] = {}

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Hook every self-attention layer. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        self._check_layers(base)
        seat = Seat()
        with attached(base.network, self.pair, seat.pairing):
            before = base.network.register_forward_pre_hook(lambda net, args, inputs: _join(seat, args, inputs), with_kwargs=True)
            after = base.network.register_forward_hook(lambda net, args, out: _part(seat, base, out))
            try:
                yield Hooks(prepare=lambda job, use: self._prepare(seat, base, job, use),
                            before_denoise=lambda step: self._seat(seat, base, step))
            finally:
                before.remove(), after.remove()
                seat.partner = seat.theirs = seat.x = None
                self._latents.clear()

    def _check_layers(self, base: Base) -> None:
        there = {key: layer.to_q.in_features for key, layer in self_attention(base.network).items()}
        own = {key: layer.x.q.up.out_features for key, layer in self.pair.layers.items()}
        if own != there:
            odd = next(key for key in sorted({*own, *there}) if own.get(key) != there.get(key))
            raise Incompatible(f'"{self.spec.title}" brings {own.get(odd, "nothing")} for {odd}, "{base.spec.title}" has {there.get(odd, "none")} there.',
                               "Choose one made for this base.")

    def _prepare(self, seat: Seat, base: Base, job: Job, use: AdapterUse) -> None:
        order = Order.of(use.words, tuple(self.triggers))
        if not use.strength:
            seat.partner = None
            return
        plan, signals = base.plan(job), order.signals[:1 if order.reads else len(use.images)]
        triggered = [[self.triggers[signal] + prompt for signal in signals for prompt in prompts] for prompts in _prompts(job)]
        plain = [[styled(base.spec, prompt, job.style) for prompt in job.prompts], [job.negative] * len(job.seeds)]
        cond = lambda texts: base.batch_cond([base.encode_prompt(text) for text in texts])
        sides = {"y": {negative: cond(texts) for negative, texts in zip((False, True), triggered)},
                 "x": {negative: cond(texts) for negative, texts in zip((False, True), plain)} if order.reads else None}
        given = [self._given(base, picture, job.extent, order.reads) for picture in use.images[:len(signals)]]
        seat.partner = Partner(job, use, plan, order.reads, given, sides["x"] if order.reads else sides["y"], sides["y"] if order.reads else None)

    def _given(self, base: Base, picture: Picture, extent: Extent, reads: bool) -> Tensor:
        """Latents [1, C, h, w] of a signal, or of the picture that is read; found once."""
        key = picture.digest, extent, reads
        if key not in self._latents:
            while len(self._latents) >= LATENTS_KEPT:
                del self._latents[next(iter(self._latents))]
            rgb = pixels.to_tensor(pixels.cover(pixels.flatten(picture), extent), base.device, base.dtype)
            self._latents[key] = base.encode(1 - rgb if self.inverted and not reads else rgb).float()
        return self._latents[key]

    def _seat(self, seat: Seat, base: Base, step: Step) -> dict[str, Any]:
        """The partner takes its place for this call of the network."""
        partner = seat.partner
        if partner is None or not self.strength:
            return {}
        seat.negative = step.negative
        seat.x, seat.sigma = partner.at(partner.plan.sigmas.index(step.sigma))
        seat.theirs = base.inputs(seat.x, seat.sigma, partner.conds[step.negative])
        seat.mine = base.inputs(step.x, step.sigma, partner.own[step.negative]) if partner.own else None
        pairing = seat.pairing
        pairing.count, pairing.latent = len(partner.job.seeds), tuple(step.x.shape[-2:])
        pairing.weights = (self.strength,) * len(partner.given)
        return {}

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.pair.parameters()) + packed_bytes(self.pair)


def _prompts(job: Job) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """One a seed, of the pass with the prompt and of the one with the negative prompt."""
    return job.prompts, (job.negative,) * len(job.seeds)


def _join(seat: Seat, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The batch with the partner's items: x first."""
    if seat.theirs is None:
        return None
    mine = inputs | (seat.mine or {})
    return args, stacked(seat.theirs, mine) if seat.partner.reads else stacked(mine, seat.theirs)


def _part(seat: Seat, base: Base, out: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """The painted picture's part of the answer; the rest is kept for the partner's next step."""
    if seat.theirs is None:
        return None
    partner, count = seat.partner, seat.pairing.count
    first, rest = out[0][:count], out[0][count:]
    mine, theirs = (rest, first) if partner.reads else (first, rest)
    if partner.use.noise:
        partner.answers[seat.negative] = base.x0_of(theirs.float(), seat.x, seat.sigma)
    seat.theirs, seat.pairing.weights = None, ()
    return (mine.contiguous(memory_format=torch.channels_last), *out[1:])


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> UniconAdapter:
    """Read the file, or the published folder, to `device`."""
    path = locate(spec.files[0], cache_dir)
    meta = own_header(path, KIND)
    if meta is None:
        return UniconAdapter(spec, *published.load(path, device), inverted=False)
    saved = checkpoint.load(path, KIND)
    pair = filled(lambda: Pair(saved.config["pair"]), saved.tensors, path.name, device)
    return UniconAdapter(spec, prepack(pair) if device.packs_weights else pair, saved.config["triggers"], inverted=True)
