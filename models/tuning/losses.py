"""What a tuning makes small."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

MAX_WEIGHT = 5.0


@dataclass(frozen=True)
class Answer:
    """One call of the base: x0 it answered [B, C, h, w], what it should have answered, the noise level, and its words."""
    x0: Tensor
    target: Tensor
    sigma: float
    cond: Any


Loss = Callable[[Answer], Tensor]


def diffusion(answer: Answer) -> Tensor:
    """Squared error of x0 with the weight of a v-prediction, 1 + 1 / sigma^2, up to MAX_WEIGHT: one loss for every parameterisation."""
    return min(1 + answer.sigma ** -2, MAX_WEIGHT) * (answer.x0 - answer.target).square().mean()
