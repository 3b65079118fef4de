"""What a training method is: one file in models/lab/methods/ with a METHOD, found by folder.

A method owns its networks and optimisers; the runner (models.lab.distil) owns time, batches, checkpoints and the log. Adding a
distillation method is adding a file.
"""
from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from models.errors import UnknownId
from models.lab.latents import Batch


@dataclass(frozen=True)
class Lesson:
    """One batch and what a method may need beside it. `empty` conditions on no words (states, mask, pooled; batch 1)."""
    batch: Batch
    empty: tuple[Tensor, Tensor, Tensor]
    rng: np.random.Generator


class Method(Protocol):
    """`name` is what the command line says; Config is a frozen dataclass of its settings."""
    name: str
    paper: str
    Config: type

    def setup(self, teacher: Any, config: Any, device: str) -> Any:
        """A fresh State: the student starts as a copy of the teacher."""
    def step(self, state: Any, lesson: Lesson) -> dict[str, float]:
        """One iteration; returns numbers to log."""
    def student(self, state: Any) -> dict[str, Tensor]:
        """The averaged student's weights by parameter name."""
    def state_dict(self, state: Any) -> dict[str, Any]:
        """Everything needed to go on later."""
    def load_state_dict(self, state: Any, saved: dict[str, Any]) -> None:
        """The inverse of state_dict."""


def find_methods() -> dict[str, Method]:
    from models.lab import methods
    found = (importlib.import_module(f"{methods.__name__}.{m.name}") for m in pkgutil.iter_modules(methods.__path__))
    return {module.METHOD.name: module.METHOD for module in found}


def find_method(name: str) -> Method:
    known = find_methods()
    if name not in known:
        raise UnknownId(f'There is no training method "{name}".', f"Known: {', '.join(sorted(known))}.")
    return known[name]
