"""A LoRA with words of its own (SINE, Zhang et al. 2023, eq. 7): the base paints the prompt without it, and in the window of its use the
same network, now with the LoRA, paints the LoRA's words beside it; the answers are mixed, (1 - b) base + b tuned with b the strength.

It is done at the network's answer and only in the pass with the prompt, so it holds for any parameterisation, stays inside guidance, and
the pass that guidance takes away is the base's own: mixing that one too would bring the overfitting back.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.contracts import Base, Hooks, Step
from models.errors import BadInput
from models.job import AdapterUse, Job
from models.spec import styled

WORDS = ("encoder_hidden_states", "encoder_attention_mask", "class_labels", "added_cond_kwargs")


class Mix:
    """`adapter`: has `strength`, `working` (None = as strong as its strength says) and `reads_text`."""

    def __init__(self, adapter: Any, base: Base) -> None:
        self.adapter, self.base = adapter, base
        self.cond: Any = None
        self.step: Step | None = None

    @contextmanager
    def around(self) -> Iterator[Hooks]:
        """The hooks of an attached LoRA."""
        handle = self.base.network.register_forward_hook(self._mixed, with_kwargs=True)
        try:
            yield Hooks(prepare=self._prepare, before_denoise=self._arm)
        finally:
            handle.remove()
            self.adapter.working, self.cond, self.step = None, None, None

    def _prepare(self, job: Job, use: AdapterUse) -> None:
        words = use.words.strip()
        self.adapter.working, self.cond, self.step = (0.0 if words else None), None, None
        if words and self.adapter.reads_text:
            raise BadInput(f'"{self.adapter.spec.title}" changes how words are read, so it cannot paint words of its own beside the prompt.',
                           "Leave its words out, or take a LoRA of the network alone.")
        if words and use.strength:
            read = self.base.encode_prompt(styled(self.base.spec, words, job.style))
            self.cond = self.base.batch_cond([read] * len(job.seeds))

    def _arm(self, step: Step) -> dict[str, Any]:
        """For the next call of the network only."""
        self.step = None if self.cond is None or step.negative or step.region else step
        return {}

    def _mixed(self, network: Any, args: tuple[Any, ...], inputs: dict[str, Any], out: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self.step is None:
            return None
        step, self.step = self.step, None
        own = self.base.inputs(step.x, step.sigma, self.cond)
        self.adapter.working = 1.0
        try:
            tuned = network(*args, **inputs | {name: own[name] for name in WORDS if name in own})
        finally:
            self.adapter.working = 0.0
        return (torch.lerp(out[0], tuned[0], self.adapter.strength), *out[1:])
