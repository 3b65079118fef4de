"""Reading a zip that somebody else made: no password, no bomb, no more than is said."""
from __future__ import annotations

import io
import zipfile
import zlib

from models.errors import BadInput

MAX_FILES, MAX_ENTRY_BYTES, MAX_ALL_BYTES = 5_000, 300 * 2 ** 20, 2 ** 31
AGAIN = "Save it anew from the program that made it."
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def holds(data: bytes, name: str) -> bool:
    """Whether these bytes are a zip with a file of that name; nothing is unpacked."""
    try:
        return data[:4] == b"PK\3\4" and name in zipfile.ZipFile(io.BytesIO(data)).namelist()
    except _BROKEN:
        return False


class Archive:
    """Files by name. Raises BadInput for what is damaged, encrypted or swells beyond the limits."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._infos = {info.filename: info for info in self._zip.infolist()}
        except _BROKEN:
            raise BadInput("The file is damaged or cut short.", AGAIN) from None
        if any(info.flag_bits & 1 for info in self._infos.values()):
            raise BadInput("The file is locked with a password.", "Save it without one.")
        total = sum(info.file_size for info in self._infos.values())
        if len(self._infos) > MAX_FILES or total > MAX_ALL_BYTES:
            raise BadInput(f"The file unpacks to {len(self._infos):,} files of {total / 1e6:,.0f} MB, which is too much.", "Save it with fewer layers.")

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def read(self, name: str, most: int = MAX_ENTRY_BYTES) -> bytes:
        """One file, whole. It may not be larger than its own header says."""
        if name not in self._infos:
            raise BadInput(f'The file lacks "{name[:80]}".', AGAIN)
        if self._infos[name].file_size > most:
            raise BadInput(f'"{name[:80]}" unpacks to {self._infos[name].file_size / 1e6:,.0f} MB; {most / 1e6:,.0f} MB is the most.', "Save it smaller.")
        try:
            with self._zip.open(name) as file:
                data = file.read(most + 1)
        except _BROKEN:
            raise BadInput(f'"{name[:80]}" in the file is damaged.', AGAIN) from None
        if len(data) > most:
            raise BadInput(f'"{name[:80]}" unpacks to more than it says.', "Do not trust this file.")
        return data
