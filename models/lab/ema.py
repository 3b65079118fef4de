"""Exponential moving average of weights, with a horizon that grows with training (Karras et al. 2024, "EDM2", section 3)."""
from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """fp32 copy of `net`'s parameters; decay min(max_decay, (1 + n) / (10 + n)) at update n."""

    def __init__(self, net: nn.Module, max_decay: float = 0.999) -> None:
        self.max_decay, self.updates = max_decay, 0
        self.values = [p.detach().float().clone() for p in net.parameters()]

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.updates += 1
        decay = min(self.max_decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.values, [p.detach().float() for p in net.parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, net: nn.Module) -> nn.Module:
        for p, v in zip(net.parameters(), self.values):
            p.copy_(v)
        return net

    def state_dict(self, net: nn.Module) -> dict[str, Tensor]:
        """Weights by parameter name, for saving."""
        return {name: v for (name, _), v in zip(net.named_parameters(), self.values)}
