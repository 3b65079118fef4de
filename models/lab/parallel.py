"""Two single-threaded processes train a small network faster than one process with two threads: no layer waits for a sleeping core.

Started through `torchrun --nproc-per-node N -m models.lab ...` or any launcher that sets RANK, WORLD_SIZE and MASTER_PORT; without
them everything here does nothing.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist


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
    """Replace each gradient by its mean over all processes, exchanged in bf16."""
    if world() == 1:
        return
    grads = [p.grad.as_strided((p.grad.numel(),), (1,)) for p in parameters if p.grad is not None]     # in memory order, whatever the layout
    for grad, total in zip(grads, sum_over_processes([g.bfloat16() for g in grads])):
        torch.mul(total, 1 / world(), out=grad)


def sum_over_processes(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Each tensor summed over all processes, in one exchange."""
    if world() == 1:
        return tensors
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    return [part.view_as(t) for t, part in zip(tensors, flat.split([t.numel() for t in tensors]))]


def agreed(value: float) -> float:
    """The first process's `value`, in all: so that a decision by the clock is the same everywhere."""
    if world() == 1:
        return value
    box = torch.tensor([value], dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.broadcast(box, 0)
    return float(box)
