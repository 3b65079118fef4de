"""The teacher's training: bounded by minutes, resumable, the same on a CPU and on a GPU.

Running the same command again goes on where the state file stopped. The learning rate warms up, stays, and is brought down
linearly over the last part of the time, so every run ends with weights worth keeping.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.devices import mixed_precision
from models.lab.budget import Budget
from models.lab.diffusion import denoising_loss, random_times
from models.lab.ema import Ema
from models.files import write_atomic
from models.lab.latents import LatentSet
from models.lab.muon import Muon
from models.lab.parallel import agreed, average_gradients, rank, world
from models.nets.unet import build_unet


@dataclass(frozen=True)
class TrainConfig:
    batch_size: int = 32
    lr: float = 5e-4
    warmup_steps: int = 200
    cooldown_share: float = 0.3                      # of the minutes, learning rate falling to zero
    weight_decay: float = 0.01
    text_dropout: float = 0.1
    time_mean: float = 1.2                           # of the logit-normal times: high noise, where the words decide the picture
    time_std: float = 1.3
    ema_decay: float = 0.998
    clip: float = 1.0
    seed: int = 0
    save_every_s: float = 300.0


@dataclass
class Progress:
    """Counted over all runs: `updates`, `pictures_seen`, `seconds`; `losses` = (updates, train, val) at each checkpoint."""
    updates: int = 0
    pictures_seen: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float, float]] | None = None


class Trainer:
    """One network, its optimiser, its average and its counters, all in `state_file`."""

    def __init__(self, config: TrainConfig, state_file: Path, device: str = "cpu", net: Any = None) -> None:
        torch.manual_seed(config.seed)
        self.config, self.state_file, self.device = config, state_file, device
        self.net = (net or build_unet()).to(device, memory_format=torch.channels_last)
        self.ema = Ema(self.net, config.ema_decay)
        self.optimizer = Muon(self.net.named_parameters(), config.lr, config.weight_decay)
        self.progress = Progress(losses=[])
        if state_file.exists():
            self._load()

    def _load(self) -> None:
        state = torch.load(self.state_file, map_location=self.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.ema.values = [v.to(self.device) for v in state["ema"]]
        self.ema.updates = state["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])

    def save(self) -> None:
        state = {"net": self.net.state_dict(), "ema": self.ema.values, "ema_updates": self.ema.updates,
                 "optimizer": self.optimizer.state_dict(), "progress": asdict(self.progress)}
        write_atomic(self.state_file, lambda path: torch.save(state, path))
        log = {"config": asdict(self.config), **asdict(self.progress)}
        write_atomic(self.state_file.with_suffix(".json"), lambda path: path.write_text(json.dumps(log, indent=1)))

    def step(self, loss: Tensor, lr: float) -> None:
        loss.backward()
        average_gradients(self.net.parameters())
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.net)


def learning_rate(config: TrainConfig, updates: int, spent: float) -> float:
    """`spent`: share of this run's minutes gone, 0..1."""
    warm = min(1.0, (updates + 1) / config.warmup_steps)
    cool = min(1.0, (1.0 - spent) / config.cooldown_share) if config.cooldown_share else 1.0
    return config.lr * warm * max(cool, 0.01)


@torch.no_grad()
def validation_loss(net: Any, data: LatentSet, device: str, rows: int = 256) -> float:
    """Mean loss on fixed rows, times and noise of a held-out split."""
    generator = torch.Generator().manual_seed(1)
    total, n = 0.0, min(rows, len(data))
    for start in range(0, n, 64):
        batch = data.rows(range(start, min(start + 64, n))).to(device)
        size = len(batch.latents)
        times = ((torch.arange(size) + 0.5) / size * 998).to(device)
        eps = torch.randn(batch.latents.shape, generator=generator).to(device)
        with mixed_precision(device):
            total += float(denoising_loss(net, batch, times, eps).sum())
    return total / n


def train(trainer: Trainer, data: LatentSet, held_out: LatentSet, budget: Budget,
          at_checkpoint: Callable[[Trainer], None] = lambda t: None, say: Callable[[str], None] = print) -> None:
    """Train until `budget` is spent; every `save_every_s` save, measure and call `at_checkpoint`."""
    config, net = trainer.config, trainer.net.train()
    seed = config.seed + trainer.progress.updates + 1_000_003 * rank()
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    last = time.monotonic()
    running, count = 0.0, 0
    while (spent := agreed(budget.spent)) < 1:
        batch = data.batch(rng, config.batch_size, config.text_dropout).to(trainer.device)
        times = random_times(config.batch_size, generator, config.time_mean, config.time_std).to(trainer.device)
        eps = torch.randn(batch.latents.shape, generator=generator).to(trainer.device)
        with mixed_precision(trainer.device):
            loss = denoising_loss(net, batch, times, eps).mean()
        trainer.step(loss, learning_rate(config, trainer.progress.updates, spent))
        running, count = running + float(loss.detach()), count + 1
        budget.tick()
        trainer.progress.updates += 1
        trainer.progress.pictures_seen += config.batch_size * world()
        if rank():
            continue                                 # the first process saves and reports
        if time.monotonic() - last > config.save_every_s or count == 20:
            _report(trainer, running / count, held_out, budget.minutes_left, count * config.batch_size * world() / (time.monotonic() - last), say)
            if count > 20:
                trainer.progress.seconds += time.monotonic() - last
                running, count, last = 0.0, 0, time.monotonic()
                trainer.save()
                at_checkpoint(trainer)
                net.train()
    if rank() == 0:
        trainer.progress.seconds += time.monotonic() - last
        trainer.save()
        at_checkpoint(trainer)


def _report(trainer: Trainer, loss: float, held_out: LatentSet, minutes_left: float, speed: float, say: Callable[[str], None]) -> None:
    now, p = trainer.net, trainer.progress
    val = validation_loss(now.eval(), held_out, trainer.device)
    now.train()
    p.losses.append((p.updates, round(loss, 4), round(val, 4)))
    say(f"{p.updates} updates, {p.pictures_seen:,} pictures, loss {loss:.4f}, held out {val:.4f}, {speed:.0f} pictures/s, {minutes_left:.0f} min left")
