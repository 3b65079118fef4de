"""Documents of the Layers tab: a stack each; how they are kept stands in studio/workbench/documents.py."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from models.layers.stack import Stack
from studio.workbench import documents
from studio.workbench.documents import BIN_S as BIN_S
from studio.workbench.documents import MAX_NAME_CHARS as MAX_NAME_CHARS
from studio.workbench.documents import Stale as Stale


def about(stack: Stack) -> dict[str, Any]:
    """What a list shows of a document."""
    return {"width": stack.extent.width, "height": stack.extent.height, "layers": sum(1 for _ in stack.leaves())}


STACKS = documents.Kind("stack", Stack.from_dict, about, lambda pictures, stack: pictures.check(stack))


class Documents(documents.Documents):
    """Of stacks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, STACKS)
