"""Runs a training method: minutes, batches, checkpoints, log. Running the same command again goes on where it stopped."""
from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.lab.budget import Budget
from models.files import write_atomic
from models.lab.latents import LatentSet
from models.lab.method import Lesson, Method
from models.lab.parallel import agreed, rank


def distil(method: Method, config: Any, teacher: Any, data: LatentSet, budget: Budget, state_file: Path, batch_size: int = 24,
           device: str = "cpu", save_every_s: float = 240.0, at_checkpoint: Callable[[dict[str, Tensor], int], None] = lambda w, n: None,
           say: Callable[[str], None] = print) -> dict[str, Tensor]:
    """Train until `budget` is spent and return the averaged student's weights. `at_checkpoint(weights, turns)` may save or look at them."""
    torch.manual_seed(0)                             # the same fresh networks in every process
    state = method.setup(teacher, config, device)
    if state_file.exists():
        method.load_state_dict(state, torch.load(state_file, map_location=device, weights_only=True))
    seed = state.turn + 1_000_003 * rank()
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    empty = tuple(t.to(device) for t in data.table.batch(np.array([0])))
    last = time.monotonic()
    sums: dict[str, list[float]] = defaultdict(list)
    log: list[dict[str, float]] = []
    while agreed(budget.spent) < 1:
        batch = data.batch(rng, batch_size, text_dropout=0.0).to(device)
        for name, value in method.step(state, Lesson(batch, _as_long(empty, batch.states), rng)).items():
            sums[name].append(value)
        budget.tick()
        if rank() == 0 and time.monotonic() - last > save_every_s:
            log.append({"turn": state.turn} | {k: round(float(np.mean(v)), 4) for k, v in sums.items()})
            say(f"{method.name} {log[-1]}, {budget.minutes_left:.0f} min left")
            _save(method, state, config, state_file, log)
            at_checkpoint(method.student(state), state.turn)
            sums.clear()
            last = time.monotonic()
    weights = method.student(state)
    if rank() == 0:
        _save(method, state, config, state_file, log)
        at_checkpoint(weights, state.turn)
    return weights


def _as_long(empty: tuple[Tensor, ...], states: Tensor) -> tuple[Tensor, ...]:
    """The empty prompt padded to the batch's length, its mask hiding the padding, so that both fit one network call."""
    short, mask, pooled = empty
    missing = states.shape[1] - short.shape[1]
    if missing <= 0:
        return empty
    return torch.nn.functional.pad(short, (0, 0, 0, missing)), torch.nn.functional.pad(mask, (0, missing)), pooled


def _save(method: Method, state: Any, config: Any, state_file: Path, log: list[dict[str, float]]) -> None:
    write_atomic(state_file, lambda p: torch.save(method.state_dict(state), p))
    write_atomic(state_file.with_suffix(".json"), lambda p: p.write_text(json.dumps({"config": asdict(config), "log": log}, indent=1)))
