"""Adapters that this project trained, each one file for the embedded base: what their headers say as a spec."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from models.adapters._fit import own_header
from models.adapters._networks import name_of, shipped
from models.spec import EMBEDDED, AdapterSpec, WeightFile, slug


def recognised(source: str, file_kind: str, **facts: Any) -> AdapterSpec | None:
    """The spec of a user's own copy of such a file, None for anything else. `file_kind`: of the checkpoint; `facts`: further fields."""
    path = Path(source).expanduser().absolute()
    return _spec(path, WeightFile(str(path), path.stat().st_size), file_kind, facts) if path.is_file() and path.suffix == ".safetensors" else None


def shipped_specs(file_kind: str, **facts: Any) -> tuple[AdapterSpec, ...]:
    """The specs of those that lie in assets/adapters."""
    return tuple(_spec(path, WeightFile(f"adapters/{path.name}", path.stat().st_size), file_kind, facts) for path in shipped(file_kind))


def _spec(path: Path, file: WeightFile, file_kind: str, facts: dict[str, Any]) -> AdapterSpec | None:
    meta = own_header(path, file_kind)
    if meta is None:
        return None
    name = name_of(path)
    return AdapterSpec(id=slug(name), title=meta.get("modelspec.title") or name, arch=EMBEDDED, files=(file,), bytes=file.bytes,
                       knows=meta.get("modelspec.description", ""), licence=meta.get("modelspec.license", ""), **facts)
