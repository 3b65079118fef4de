"""The trainer of concepts: one loop over the engine's own base. Every step is a turn of its own, taken like a picture's and worked off in
the painting thread, so that live frames are painted in between; the base may be lent to others, parked or even dropped from one step to
the next, since nothing is left on it.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import pixels
from models.contracts import Base, Cancel, never_cancel
from models.engine import Engine
from models.errors import Cancelled
from models.job import Extent, Job, Picture
from models.sampling import noise, run
from models.tuning.levels import Window, visits
from models.tuning.losses import Answer, Loss, diffusion
from models.tuning.spaces import LowRankSpace, Space, targets_for
from models.turns import Urgency

HALF_SCALE = 1024.0                                  # of a loss in fp16, or its gradients vanish; AdamW does not mind


@dataclass(frozen=True)
class Recipe:
    """words: what the picture is called while it is learned. draws: of noise a step, one half the other's negative. The rate warms up over
    `warmup` steps and falls to a tenth at the end."""
    base: str
    picture: Picture
    extent: Extent
    words: str
    window: Window
    steps: int
    lr: float = 2e-3
    rank: int = 16
    draws: int = 2
    warmup: int = 4
    seed: int = 0
    losses: tuple[tuple[float, Loss], ...] = ((1.0, diffusion),)


@dataclass
class Trainer:
    """`step()` until `recipe.steps`; `reconstruct()` whenever one wants to see."""
    engine: Engine
    recipe: Recipe
    session: str = "tuning"
    cancel: Cancel = never_cancel
    done: int = 0
    loss: float = float("nan")
    space: Space | None = None
    _optimizer: Any = None
    _latents: Tensor | None = None
    _levels: Iterator[float] = field(default_factory=lambda: iter(()))

    def step(self) -> float:
        """One step in a turn of its own; returns the loss, averaged over the last few."""
        return self._by_turn(self._step)

    def reconstruct(self, steps: int, strength: float) -> np.ndarray:
        """uint8 [H, W, 3]: what the base with the space makes of the words, from the noised picture."""
        return self._by_turn(lambda base: self._reconstruct(base, steps, strength))

    def _by_turn(self, work: Any) -> Any:
        if self.cancel():
            raise Cancelled("The tuning was cancelled.")

        def leased() -> Any:
            with self.engine.registry.lease(self.recipe.base) as (base, _), torch.inference_mode(False):
                self._prepare(base)
                with self.space.around(base):
                    return work(base)
        with self.engine.turns.take(self.session, Urgency.PICTURE, self.cancel):
            return self.engine.by_hand(leased)

    def _prepare(self, base: Base) -> None:
        """Once: latents of the picture, the space, the optimizer."""
        if self._latents is not None:
            return
        recipe = self.recipe
        with torch.no_grad():
            rgb = pixels.to_tensor(pixels.cover(pixels.flatten(recipe.picture), recipe.extent), base.device, base.dtype)
            self._latents = base.encode(rgb).float().clone()
        self.space = self.space or LowRankSpace(base, recipe.rank, targets_for(base), recipe.seed)
        self._optimizer = torch.optim.AdamW(self.space.parameters(), lr=recipe.lr, weight_decay=1e-4)
        self._levels = visits(recipe.window)

    def _cond(self, base: Base, count: int) -> Any:
        """Words that gradients may flow past: what was encoded for a picture cannot be saved for a backward pass."""
        with torch.no_grad():
            return _cloned(base.batch_cond([_cloned(base.encode_prompt(self.recipe.words))] * count))

    def _sigma(self, base: Base, level: float) -> float:
        """The noise level from which a job of that strength starts."""
        recipe = self.recipe
        return base.plan(Job(base=recipe.base, extent=recipe.extent, image=recipe.picture, strength=level, steps=base.spec.min_steps)).sigmas[0]

    def _step(self, base: Base) -> float:
        recipe = self.recipe
        sigma, half = self._sigma(base, next(self._levels)), max(1, recipe.draws // 2)
        eps = noise([recipe.seed + i for i in range(half)], self._latents.shape[1:], stream=self.done).to(base.device)
        eps = torch.cat([eps, -eps])[: recipe.draws]
        cond, target = self._cond(base, len(eps)), self._latents.expand(len(eps), -1, -1, -1)
        with torch.enable_grad(), _mixed(base):
            answer = Answer(base.denoise(target + sigma * eps, sigma, cond, {}).float(), target, sigma, cond,
                            getattr(base, "prediction", "sample") == "epsilon")
            loss = sum(weight * part(answer) for weight, part in recipe.losses)
            (loss * (HALF_SCALE if base.dtype == torch.float16 else 1.0)).backward()
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.lr * min(1.0, (self.done + 1) / recipe.warmup) * (1 - 0.9 * self.done / max(1, recipe.steps))
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.done += 1
        self.loss = float(loss.detach()) if self.done == 1 else 0.8 * self.loss + 0.2 * float(loss.detach())
        return self.loss

    @torch.no_grad()
    def _reconstruct(self, base: Base, steps: int, strength: float) -> np.ndarray:
        recipe = self.recipe
        plan = base.plan(Job(base=recipe.base, extent=recipe.extent, image=recipe.picture, strength=strength, steps=steps))
        cond = self._cond(base, 1)
        draw = lambda stream: noise([recipe.seed], self._latents.shape[1:], stream=stream).to(base.device)
        with _mixed(base):
            x0 = run(lambda x, sigma: base.denoise(x, sigma, cond, {}), self._latents + plan.sigmas[0] * draw(0), plan.sigmas,
                     (lambda i: draw(1 + i)) if plan.stochastic else None)
            return pixels.to_uint8(base.decode(x0)[:, :3])[0]


def _mixed(base: Base) -> Any:
    """Products in the base's own format, while the learned numbers stay in fp32."""
    half = base.dtype in (torch.bfloat16, torch.float16)
    return torch.autocast(torch.device(base.device).type, base.dtype) if half else nullcontext()


def _cloned(value: Any) -> Any:
    """The same structure with every tensor a fresh one."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _cloned(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return type(value)(_cloned(item) for item in value)
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**{name: _cloned(getattr(value, name)) for name in value.__dataclass_fields__})
    return value
