"""Random adapters of every kind, for the contract tests: a kind is one file here with `CASES`, found by folder.

CASES: {adapter id: Case}. `write(folder, base)` makes the file or folder a user would have, for the resident `base` (the tiny one
named by `Case.base`), and returns its path; the stem of that path must be the adapter's id.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """`job`: what a job must say besides for the adapter to show, e.g. a negative prompt."""
    base: str
    write: Callable[[Path, Any], Path]
    job: dict[str, Any] = field(default_factory=dict)


def all_cases() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for info in pkgutil.iter_modules(__path__):
        found |= getattr(importlib.import_module(f"{__name__}.{info.name}"), "CASES", {})
    return found
