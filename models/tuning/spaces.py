"""What a tuning learns. A space knows which numbers are trained, how they work beside a base for a while, and how they are kept in a file."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.contracts import Base
from models.errors import Incompatible
from models.nets.attention import LowRank, beside, key_of

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
EMBEDDED_TOO = ("proj_in", "proj_out", "conv1", "conv2", "conv_in", "conv_out")
"""The embedded base has attention at 8x8 cells and coarser only; what a picture looks like up close goes through its convolutions."""


class Space(Protocol):
    """A place in which something is learned (the "spaces" of a concept: words, low-rank changes, ...)."""

    def parameters(self) -> Sequence[Tensor]:
        """What an optimizer moves."""
    def around(self, base: Base) -> Any:
        """A context in which calls of the base are changed by it; leaving restores the base exactly."""
    def tensors(self) -> dict[str, Tensor]:
        """As they are kept in a file."""


def targets_for(base: Base) -> tuple[str, ...]:
    """Endings of the layers that are changed."""
    return ATTENTION + (EMBEDDED_TOO if base.spec.arch.family == "onestroke-embedded" else ())


class LowRankSpace:
    """Low-rank changes of the layers of one network whose names end with `targets` (LoRA, Hu et al. 2021); zero at the start."""

    def __init__(self, base: Base, rank: int, targets: Sequence[str], seed: int = 0) -> None:
        self.rank, self.targets = rank, tuple(targets)
        layers = self._layers(base)
        if not layers:
            raise Incompatible(f'"{base.spec.title}" has no layers that a picture key can change.', "Choose another base.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.changes = nn.ModuleDict({key_of(name): LowRank(*LowRank.shape_for(layer)[:2], rank, *LowRank.shape_for(layer)[2:])
                                          for name, layer in layers.items()}).to(base.device)
        self.names = {key_of(name): name for name in layers}
        self.count = sum(p.numel() for p in self.changes.parameters())
        self.share = self.count / sum(p.numel() for p in base.network.parameters())

    def _layers(self, base: Base) -> dict[str, nn.Module]:
        return {name: module for name, module in base.network.named_modules()
                if name.endswith(self.targets) and isinstance(module, nn.Linear | nn.Conv2d) and getattr(module, "groups", 1) == 1}

    def parameters(self) -> list[nn.Parameter]:
        return list(self.changes.parameters())

    @contextmanager
    def around(self, base: Base) -> Iterator[None]:
        layers = self._layers(base)
        with beside({key: (layers[self.names[key]], low) for key, low in self.changes.items()}, lambda: slice(0, None)):
            yield

    def tensors(self) -> dict[str, Tensor]:
        """In the diffusers/PEFT layout, fp16."""
        out = {}
        for key, low in self.changes.items():
            out[f"unet.{self.names[key]}.lora_A.weight"] = low.down.weight.detach().half().cpu().contiguous()
            out[f"unet.{self.names[key]}.lora_B.weight"] = low.up.weight.detach().half().cpu().contiguous()
        return out
