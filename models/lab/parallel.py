"""Two single-threaded processes train a small network faster than one process with two threads: no layer waits for a sleeping core.

Started through `torchrun --nproc-per-node N -m models.lab ...` or any launcher that sets RANK, WORLD_SIZE and MASTER_PORT; without
them everything here does nothing.
"""
from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import distributed as dist
from torch import nn


def join() -> int:
    """Meet the other processes, if there are any; returns this one's rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return rank()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in one exchange."""
    if world() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat /= world()
    for grad, part in zip(grads, flat.split([g.numel() for g in grads])):
        grad.copy_(part.view_as(grad))


def agreed(value: float) -> float:
    """The first process's `value`, in all: so that a decision by the clock is the same everywhere."""
    if world() == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(box, 0)
    return float(box)
