"""What a stack of layers is written as: one format a file, found by folder."""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import UnknownId
from models.job import Picture
from models.layers.stack import Stack

About = Mapping[str, Any]
Write = Callable[[Stack, Mapping[str, Picture], float, About], bytes]


@dataclass(frozen=True)
class Format:
    """`write(stack, pictures, scale, about) -> bytes` of a whole file; raises BadInput for what the format cannot hold.

    about: "name" of the document; "background", #rrggbb laid under everything ("" = none); "jobs", {picture digest: the Job that makes
    it}; all may be left out. suffix: without its dot. media: the MIME type. order: its place in lists.
    """
    id: str
    title: str
    suffix: str
    media: str
    write: Write
    order: int = 99


def formats() -> dict[str, Format]:
    """Every FORMAT in studio/export/*.py by id, in the order of lists."""
    names = (info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    found = (importlib.import_module(f"{__name__}.{name}").FORMAT for name in names)
    return {format.id: format for format in sorted(found, key=lambda format: format.order)}


def format_of(id: str) -> Format:
    """Raises UnknownId."""
    if id not in (known := formats()):
        raise UnknownId(f'Nothing is exported as "{id[:40]}".', f"Known: {', '.join(known)}.")
    return known[id]
