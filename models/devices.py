"""Device, number format and free memory. The only file that says "cuda"."""
from __future__ import annotations

import gc
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn


@dataclass(frozen=True)
class Device:
    """Where tensors live and in which format networks run."""
    name: str                                        # "cpu", "cuda", "mps"
    dtype: torch.dtype
    packs_weights: bool = False                      # lay weights out for oneDNN once (bf16 on a CPU)

    @property
    def channels_last(self) -> bool:
        return self.name != "mps"


def pick_device(name: str | None = None) -> Device:
    """The named device, or the best one there is. bf16 where the hardware multiplies it, else fp32."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda":
        return Device(name, torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    if name == "mps":
        return Device(name, torch.float16)
    return Device(name, torch.bfloat16, packs_weights=True) if cpu_has_fast_bf16() else Device(name, torch.float32)


@lru_cache
def cpu_has_fast_bf16() -> bool:
    """True where products in bf16 are quicker than in fp32: with AMX, and with AVX512-BF16 on AMD. Intel's cores without AMX have
    AVX512-BF16 too, at half the rate (measured on one core: 77 GFLOP/s, fp32 143); elsewhere bf16 is emulated. Decided by name and
    not by a clock, so that one machine gives the same pixels every time."""
    quick = _cpu_says("flags", "amx_bf16") or (_cpu_says("flags", "avx512_bf16") and _cpu_says("vendor_id", "AuthenticAMD"))
    return quick and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def training_dtype(device: str) -> torch.dtype:
    """What the lab multiplies matrices in: bf16 where the hardware does, else fp32 (fp16 would need its losses scaled)."""
    dtype = pick_device(device).dtype
    return dtype if dtype == torch.bfloat16 else torch.float32


def mixed_precision(device: str, wanted: bool = True) -> torch.autocast:
    """A context in which matrix products and convolutions on `device` run in its training format."""
    dtype = training_dtype(device)
    return torch.autocast(device, torch.bfloat16, enabled=wanted and dtype == torch.bfloat16)


def threads() -> int:
    """How many threads a computation on the CPU may use; for libraries that would else take every core."""
    return torch.get_num_threads()


def _cpu_says(line_name: str, word: str) -> bool:
    """Whether a line of the processor's description holds a word; False where there is no description."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as f:
            words = next((line.split() for line in f if line.startswith(line_name)), [])
        return word in words
    except OSError:
        return False


def free_bytes(device: str) -> int:
    """Memory that may still be taken on `device`."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as f:
            values = dict(line.split(":") for line in f)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def main_memory_bytes(device: str, share: float) -> int:
    """What may be parked in main memory beside an accelerator: a share of what is free there; 0 where main memory is all there is."""
    return 0 if device == "cpu" else int(free_bytes("cpu") * share)


def move(networks: Iterable[nn.Module], device: str) -> None:
    """Networks to a device, in place; page-locked in main memory when they come from a card, so that the way back is quick."""
    for net in networks:
        page_lock = device == "cpu" and any(p.is_cuda for p in net.parameters())
        net.to(device)
        for tensor in (*net.parameters(), *net.buffers()) if page_lock else ():
            tensor.data = tensor.data.pin_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a computation says that memory ran out, on a card or in main memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def release_cached(device: str) -> None:
    """Free what an eviction left: reference cycles, then cached allocator blocks."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def describe(device: Device) -> str:
    """One line for people: name, format and, on a card, which."""
    kind = str(device.dtype).removeprefix("torch.")
    if device.name == "cuda":
        return f"cuda ({torch.cuda.get_device_name()}, {kind})"
    return f"{device.name} ({torch.get_num_threads()} threads, {kind})"
