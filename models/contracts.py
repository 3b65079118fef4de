"""The protocols between the engine and what can be plugged into it.

One numerical convention everywhere: x = x0 + sigma * noise, and `denoise(x, sigma, cond)` returns the estimate of x0. How a
network was trained (epsilon, v, flow) stays inside its base.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from models.job import AdapterUse, Job
from models.spec import AdapterSpec, BaseSpec, PerceptSpec

Progress = Callable[[int, int, str], None]           # (steps done, steps in all, what is happening)
Cancel = Callable[[], bool]                          # True = stop as soon as possible


def ignore_progress(done: int, total: int, what: str) -> None:
    """The Progress of a caller that does not care."""


def never_cancel() -> bool:
    """The Cancel of a caller that waits to the end."""
    return False


@dataclass(frozen=True)
class Step:
    """One call of the network. `x` [B, C, h, w] = x0 + sigma * noise; `cond` as batch_cond returned it; `inputs`: the keyword
    inputs the network is about to get (sample, timestep, encoder_hidden_states, ...), which a ControlNet takes too;
    `negative`: the pass with the negative prompt, whose answer is subtracted by classifier-free guidance; `region`: a pass with the
    words of a part of the picture."""
    x: Tensor
    sigma: float
    cond: Any
    inputs: dict[str, Any]
    negative: bool = False
    region: bool = False


@dataclass
class Hooks:
    """What an attached adapter adds to a render; every part is optional.

    prepare(job, use): called once a render, before the first step; returns nothing, may cache by picture digest.
    start(x, cond) -> x: changes the first noise [B, C, h, w] before the first step.
    before_denoise(step) -> extra keyword inputs of the network, e.g. the residuals of a ControlNet; those of several adapters
    are added up by `merge_extra`. Called only inside the window of the adapter's use.
    after_denoise(x0, share) -> x0: changes the finished estimate [B, C, h, w] of a step at `share` of the walk, guidance and regions
    included, before a mask puts the given picture back; called at every step, whatever the window.
    decode(latents): replaces the base's decoder (e.g. a transparent or a tiny one).
    report() -> arrays by name, asked once after the walk: what an adapter that looks on saw. They come back as Result.seen.
    """
    prepare: Callable[[Job, AdapterUse], None] | None = None
    start: Callable[[Tensor, Any], Tensor] | None = None
    before_denoise: Callable[[Step], dict[str, Any]] | None = None
    after_denoise: Callable[[Tensor, float], Tensor] | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    report: Callable[[], dict[str, Any]] | None = None


def merge_extra(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The union of two sets of keyword inputs; tensors of the same name are added, sequences and dicts item by item."""
    out = dict(one)
    for key, value in other.items():
        out[key] = _joined(out[key], value) if key in out else value
    return out


def _joined(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return merge_extra(a, b)
    return type(a)(_joined(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, list | tuple) else a + b


@dataclass(frozen=True)
class Plan:
    """How a base walks from noise to a picture: noise levels, high to low, without the final 0.

    `stochastic`: fresh per-seed noise between steps (distilled students) instead of the deterministic DDIM step.
    """
    sigmas: tuple[float, ...]
    stochastic: bool = False
    guidance: float = 1.0


class Base(Protocol):
    """A resident generator. Tensors live on `device` in `dtype`."""
    spec: BaseSpec
    device: Any
    dtype: Any
    latent_channels: int
    latent_px: int                                   # pixels a latent cell covers
    network: Any                                     # the module adapters attach to (a UNet2DConditionModel or alike)

    def plan(self, job: Job) -> Plan:
        """Noise levels and guidance for this job; image-to-image starts part way down."""
    def encode_prompt(self, text: str) -> Any:
        """Conditioning of one prompt; cached by text."""
    def forget_prompts(self) -> None:
        """Called by an adapter that changes how text is read, when it comes, turns and goes."""
    def batch_cond(self, conds: Sequence[Any]) -> Any:
        """Conditionings of the samples of one batch, stacked."""
    def encode(self, rgb: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> latents [B, C, H/latent_px, W/latent_px]."""
    def inputs(self, x: Tensor, sigma: float, cond: Any) -> dict[str, Any]:
        """The keyword inputs of `network` for x = x0 + sigma * noise, in the names of diffusers."""
    def denoise(self, x: Tensor, sigma: float, cond: Any, extra: dict[str, Any]) -> Tensor:
        """The estimate of x0 for x = x0 + sigma * noise; `extra` comes from Hooks.before_denoise."""
    def decode(self, latents: Tensor) -> Tensor:
        """latents -> [B, 3 or 4, H, W] in [0, 1]."""
    def networks(self) -> Sequence[Any]:
        """All its modules: what moves when it is parked in main memory. Percepts may offer it too."""
    def bytes_resident(self) -> int:
        """Bytes of weights and caches held."""


class Adapter(Protocol):
    """Something attached to a base and detached again without a trace."""
    spec: AdapterSpec

    def set_strength(self, strength: float) -> None:
        """A knob: never re-attaches. 0 is the identity."""
    def attach(self, base: Base) -> AbstractContextManager[Hooks]:
        """Leaving the context restores the base bit for bit."""


class Percept(Protocol):
    """A network that looks: same residency rules as a base."""
    spec: PerceptSpec

    def look(self, rgb: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> what it sees (a mask, edges, an embedding). Those that see alpha take hints, see PerceptSpec."""
