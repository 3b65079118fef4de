"""Benchmarks: one file a bench. `python3 launch.py bench NAME [--json PATH]` finds it by its file name.

A bench module has a docstring whose first line says what it measures, and

    def run(settings: Settings) -> Mapping[str, float]

that returns figures by name; a name ends in its unit (`dab_p50_ms`, `sustained_fps`, `engine_mib`, `pipeline_ratio`). One that takes many
minutes may have QUICK = {name of a constant of the module: its smaller value}, for `--quick`.
"""
from __future__ import annotations

import importlib
import json
import math
import os
import pkgutil
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from models.errors import BadInput, UnknownId
from studio.files import write_whole
from studio.settings import Settings

Bench = Callable[[Settings], Mapping[str, float]]


def names() -> tuple[str, ...]:
    """The benches that exist: the public modules of this folder."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def find(name: str) -> Bench:
    """The `run` function of a bench. Raises UnknownId with the names that exist."""
    if name not in names():
        raise UnknownId(f'There is no bench "{name}".', f"Benches: {', '.join(names()) or 'none yet'}.")
    return importlib.import_module(f"{__name__}.{name}").run


def quick(name: str) -> Bench:
    """A bench with few cases. Raises BadInput where it has no such variant."""
    run, module = find(name), importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "QUICK"):
        raise BadInput(f'The bench "{name}" has no quick variant.', "Leave --quick out.")
    for constant, value in module.QUICK.items():
        setattr(module, constant, value)
    return run


def title(name: str) -> str:
    """The first line of a bench's docstring."""
    return (importlib.import_module(f"{__name__}.{name}").__doc__ or name).strip().splitlines()[0]


def table(figures: Mapping[str, float]) -> str:
    """Names left, values right, one figure a line, for reading."""
    wide = max((len(name) for name in figures), default=0)
    return "\n".join(f"{name:<{wide}}  {_number(value):>12}" for name, value in figures.items())


def write_json(path: Path, figures: Mapping[str, float]) -> None:
    """{"machine": text, "figures": {name: number}}, replaced in one step. A figure that is no finite number is refused."""
    if bad := [name for name, value in figures.items() if not math.isfinite(value)]:
        raise BadInput(f"No number was measured for {', '.join(bad)}.", "Run the bench again on an idle machine.")
    text = json.dumps({"machine": machine(), "figures": {name: float(value) for name, value in figures.items()}}, indent=2)
    write_whole(path, f"{text}\n".encode())


def machine() -> str:
    """One line that says what the figures were measured on."""
    return (f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()}, "
            f"Python {platform.python_version()}, torch {version('torch')}, gradio {version('gradio')}")


def _processor() -> str:
    """The processor's name where Linux tells it, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine())


def _memory_gib() -> float:
    import psutil
    return psutil.virtual_memory().total / 2 ** 30


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
