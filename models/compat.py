"""Lets a torchvision that was built against another torch be imported.

The general package index carries torchvision built for CUDA only. Beside a CPU build of torch its compiled library cannot be
loaded, and `import torchvision` then dies with "operator torchvision::nms does not exist", which takes transformers, diffusers
and controlnet-aux down with it although none of them needs those operators. Declaring their schemas is enough.
"""
from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch

SCHEMAS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
           "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_LIBRARIES: list[torch.library.Library] = []         # a declaration lives as long as its Library object


@cache
def mend_torchvision() -> bool:
    """Call before the first import of diffusers, transformers or torchvision. True = schemas had to be declared; calling an
    operator itself then fails with torch's own message. False = torchvision works by itself or is not installed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.origin or any(_loads(file) for file in _compiled(Path(spec.origin).parent)):
        return False
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _LIBRARIES.append(library)
    return True


def _compiled(folder: Path) -> list[Path]:
    """torchvision's compiled operators, found without importing torchvision."""
    return [file for file in sorted(folder.glob("_C*")) if file.suffix in (".so", ".pyd")]


def _loads(binary: Path) -> bool:
    try:
        torch.ops.load_library(str(binary))
    except OSError:
        return False
    return True
