"""Specs as JSON text and back, so that an index can keep them."""
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from models.spec import AdapterSpec, Arch, BaseSpec, PerceptSpec, Style, WeightFile

_TYPES = {kind.__name__: kind for kind in (BaseSpec, AdapterSpec, PerceptSpec)}
_PARTS = (*_TYPES.values(), Arch, Style, WeightFile)
FORM = hashlib.sha256(repr([[(f.name, f.type) for f in fields(kind)] for kind in _PARTS]).encode()).hexdigest()[:16]
"""Another value whenever a spec gets other fields; text of another form is not read."""


def freeze(spec: BaseSpec | AdapterSpec | PerceptSpec) -> str:
    return json.dumps({"type": type(spec).__name__, "fields": asdict(spec)})


def thaw(text: str) -> Any:
    """The spec that `freeze` wrote."""
    held = json.loads(text)
    return _made(_TYPES[held["type"]], held["fields"])


def _made(kind: Any, value: Any) -> Any:
    """`value` out of JSON as what the type hint `kind` says: dataclasses and tuples come back as such."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _made(hints[name], part) for name, part in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_made(get_args(kind)[0], part) for part in value)
    return value
