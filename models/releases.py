"""Files that a project publishes with its releases and not on the hub: what they are called, how large they are, and getting one.

As models.hub: nothing is fetched before somebody asked for it and its size was said, and what came is compared with its checksum.
"""
from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from models.errors import MissingWeights, StudioError
from models.files import write_atomic

REMBG = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/"
CHUNK, TIMEOUT_S = 1 << 20, 30
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Release:
    """One file, by `source` as people write it: "rembg/u2net.onnx". md5: as its project states it."""
    source: str
    bytes: int
    md5: str
    place: str = REMBG

    @property
    def file(self) -> str:
        return self.source.rsplit("/", 1)[1]

    @property
    def cure(self) -> str:
        return f"Download it ({self.bytes / 1e6:,.1f} MB) in the Models tab, or with: python3 launch.py models add {self.source} --download"


RELEASES = {one.source: one for one in (
    Release("rembg/isnet-general-use.onnx", 178_648_008, "fc16ebd8b0c10d971d3513d564d01e29"),
    Release("rembg/u2net.onnx", 175_997_641, "60024c5c889badc19c04ad937298a77b"),
    Release("rembg/silueta.onnx", 44_173_029, "55e59e0d8062d2f5d013f4725ee84782"),
    Release("rembg/u2netp.onnx", 4_574_861, "8e83ca70e441ab06c318d82300c84806"),
    Release("rembg/u2net_human_seg.onnx", 175_997_641, "c09ddc2e0104f800e3e1bb4652583d1f"),
    Release("rembg/isnet-anime.onnx", 176_069_933, "f184e756bb3bd901c8849220a83e38ef"))}


def home() -> Path:
    """Where rembg keeps its files, and we too, so that both find them."""
    return Path(os.environ.get("U2NET_HOME") or Path(os.environ.get("XDG_DATA_HOME") or "~") / ".u2net").expanduser()


def fetch(release: Release, report: Report = lambda done, total: None, folder: Path | None = None) -> Path:
    """Download into `folder` (home()) unless it is there. Raises StudioError when it cannot be had, MissingWeights when it is not itself."""
    path = (folder or home()) / release.file
    if not path.is_file():
        write_atomic(path, lambda part: _download(release, part, report))
    report(release.bytes, release.bytes)
    return path


def _download(release: Release, part: Path, report: Report) -> None:
    try:
        with urllib.request.urlopen(release.place + release.file, timeout=TIMEOUT_S) as answer, part.open("wb") as out:
            digest = _copied(answer, out, lambda done: report(min(done, release.bytes), release.bytes))
    except (OSError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise StudioError(f'"{release.source}" cannot be had now: {said}.', "Check the network and run the same again.") from None
    if digest != release.md5:
        raise MissingWeights(f"{release.file} does not have the checksum that its project states; it was not kept.", "Download it again.")


def _copied(answer: BinaryIO, out: BinaryIO, report: Callable[[int], None]) -> str:
    """The md5 of what was copied."""
    digest, done = hashlib.md5(usedforsecurity=False), 0
    while data := answer.read(CHUNK):
        out.write(data)
        digest.update(data)
        done += len(data)
        report(done)
    return digest.hexdigest()
