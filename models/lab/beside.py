"""The loop that trains something beside a frozen base: a control net, an image prompt."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models import checkpoint
from models.devices import mixed_precision
from models.lab.budget import Budget
from models.lab.muon import Muon
from models.lab.parallel import agreed, average_gradients, rank
from models.lab.train import TrainConfig, learning_rate


def train_beside(net: Any, addition: nn.Module, loss_of: Callable[[np.random.Generator, torch.Generator], Tensor], budget: Budget, lr: float,
                 seed: int = 0, device: str = "cpu", say: Callable[[str], None] = print) -> None:
    """Train `addition` until the budget is spent while `net` keeps its weights. `loss_of(rng, generator)` draws a batch and gives
    its mean loss; the learning rate warms up, stays and cools down. Several processes share the work (models.lab.parallel)."""
    net.requires_grad_(False).eval()
    addition.train()
    optimizer = Muon(addition.named_parameters(), lr)
    schedule = TrainConfig(lr=lr, warmup_steps=50, cooldown_share=0.4)
    seed += 1_000_003 * rank()
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    average = 0.0
    while (spent := agreed(budget.spent)) < 1:
        with mixed_precision(device):
            loss = loss_of(rng, generator)
        loss.backward()
        average_gradients(addition.parameters())
        torch.nn.utils.clip_grad_norm_(addition.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(schedule, budget.updates, spent)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        budget.tick()
        average = float(loss.detach()) if budget.updates == 1 else 0.97 * average + 0.03 * float(loss.detach())
        if rank() == 0 and budget.updates % 50 == 1:
            say(f"{budget.updates} updates, loss {average:.4f}, {budget.minutes_left:.1f} min left")
    addition.eval()


def first(start: Path | None, kind: str, key: str, build: Callable[[Any], Any], fresh: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any, int]:
    """(network, its config, the updates it has had): the file at `start`, whose header holds the config under `key`, else a `fresh` one."""
    if start is None or not start.exists():
        return *fresh(), 0
    saved = checkpoint.load(start, kind)
    net = build(saved.config[key])
    net.load_state_dict(saved.tensors)
    return net, saved.config[key], saved.recipe.get("updates", 0)
