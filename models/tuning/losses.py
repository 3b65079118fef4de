"""What a tuning makes small."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MAX_WEIGHT = 5.0


@dataclass(frozen=True)
class Answer:
    """One call of the base: x0 it answered [B, C, h, w], what it should have answered, the noise level, its words, and whether its network
    says the noise, so that its x0 is off by sigma times what it said wrong."""
    x0: Tensor
    target: Tensor
    sigma: float
    cond: Any
    says_noise: bool = False


Loss = Callable[[Answer], Tensor]


def diffusion(answer: Answer) -> Tensor:
    """Squared error of x0 with the weight of a v-prediction, 1 + 1 / sigma^2, up to MAX_WEIGHT; of what the network says where that is the noise,
    or the noisiest levels would count two hundred times as much as the others."""
    weight = answer.sigma ** -2 if answer.says_noise else min(1 + answer.sigma ** -2, MAX_WEIGHT)
    return weight * (answer.x0 - answer.target).square().mean()
