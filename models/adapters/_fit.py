"""What several adapters ask of a file and of a base: an id, a header, the architecture it was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.contracts import Base
from models.errors import Incompatible, StudioError
from models.spec import AdapterSpec, Arch
from models.weights import header

ARCH, KIND, CONFIG = "onestroke.arch", "onestroke.kind", "onestroke.config"


def said_arch(meta: Mapping[str, str]) -> Arch | None:
    """The architecture a header names, None when it names none."""
    return Arch(**json.loads(meta[ARCH])) if ARCH in meta else None


def own_header(path: Path, kind: str) -> dict[str, str] | None:
    """The header of one of our own files of this kind; None for any other file. Raises for a broken one."""
    meta = header(path).get("__metadata__", {}) if path.is_file() else {}
    return meta if meta.get(KIND) == kind else None


def peek(path: Path) -> dict[str, Any] | None:
    """The header of a safetensors file, None when it cannot be read as one."""
    try:
        return header(path) if path.is_file() else None
    except StudioError:
        return None


def check_fits(spec: AdapterSpec, base: Base) -> None:
    """Raise Incompatible with both names unless `spec` was made for the architecture of `base`."""
    if not spec.fits(base.spec.arch):
        raise Incompatible(
            f'"{spec.title}" is made for {spec.arch}, "{base.spec.title}" is {base.spec.arch}.', "Choose one made for this base."
        )
