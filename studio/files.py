"""Writing a file so that it is there whole or not at all."""
from __future__ import annotations

import os
from pathlib import Path

from models.errors import BadInput


def write_whole(path: Path, data: bytes) -> None:
    """Write beside `path`, then rename over it. Raises BadInput where the system refuses; what stood there then stays."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        waiting.write_bytes(data)
        os.replace(waiting, path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.", "Choose another place, or make room there.") from None
    finally:
        waiting.unlink(missing_ok=True)
