"""Writing a file so that it is there whole or not at all."""
from __future__ import annotations

from pathlib import Path

from models.errors import BadInput
from models.files import write_atomic


def write_whole(path: Path, data: bytes) -> None:
    """Write beside `path`, then rename over it. Raises BadInput where the system refuses; what stood there then stays."""
    try:
        write_atomic(path, lambda waiting: waiting.write_bytes(data))
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.", "Choose another place, or make room there.") from None
