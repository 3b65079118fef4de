"""Writing so that a file is there whole or not at all."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

TORN_S = 86400.0                                     # nothing takes so long to be written


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """`write(temporary)` beside `path`, then rename over it: a reader sees the old file or the new one, never a part, and what
    stood there stays when writing fails. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def clear_torn(folder: Path, now_s: float | None = None) -> int:
    """Delete what a process left under `folder` when it was killed while it wrote; how many files. Young ones may still be written."""
    old_s, gone = (time.time() if now_s is None else now_s) - TORN_S, 0
    for path in folder.rglob(".*.tmp"):
        if path.stat().st_mtime < old_s:
            path.unlink(missing_ok=True)
            gone += 1
    return gone
