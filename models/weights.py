"""A WeightFile -> a local path, checked. Offline first; safetensors only, recognised by content."""
from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from pathlib import Path

from models.errors import BadInput, MissingWeights
from models.spec import WeightFile

ASSETS = Path(__file__).resolve().parent.parent / "assets"
_HEADER_LIMIT = 100_000_000
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")   # zip archives and bare pickles


def locate(file: WeightFile, cache_dir: Path | None = None) -> Path:
    """The file on disk. Raises MissingWeights with the cure when it is absent or too short."""
    path = (ASSETS / file.file) if not file.repo else _hub_path(file, cache_dir)
    if not path.exists():
        raise MissingWeights(f"The weight file {path.name} is not there.", _cure(file))
    size = path.stat().st_size
    if file.bytes and size != file.bytes:
        raise MissingWeights(f"The weight file {path.name} has {size:,} bytes instead of {file.bytes:,}.", _cure(file))
    return path


def _cure(file: WeightFile) -> str:
    if file.repo:
        size = f" ({file.bytes / 1e6:,.0f} MB)" if file.bytes else ""
        return f"Download it{size} with: hf download {file.repo}. Or pass a local folder with --base."
    return "Restore it with: git checkout -- assets"


def _hub_path(file: WeightFile, cache_dir: Path | None) -> Path:
    """Where the file lies in `cache_dir` or in the hub's own cache; a name that does not exist when in neither."""
    from huggingface_hub import try_to_load_from_cache
    for place in dict.fromkeys((cache_dir, None)):
        found = try_to_load_from_cache(file.repo, file.file, cache_dir=place)
        if isinstance(found, str):
            return Path(found)
    return Path(file.repo, file.file)


def verify(path: Path, file: WeightFile) -> None:
    """Compare sha256; reads the whole file."""
    if file.sha256 and sha256(path) != file.sha256:
        raise MissingWeights(f"The weight file {path.name} does not have the expected checksum.", _cure(file))


@lru_cache(maxsize=64)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """Hex digest of the content, remembered until the file changes."""
    stat = path.stat()
    return _sha256(str(path), stat.st_mtime_ns, stat.st_size)


def header(path: Path) -> dict:
    """The JSON header of a safetensors file, without reading a tensor. Raises BadInput for anything else, pickles by name."""
    with open(path, "rb") as f:
        first = f.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if length > _HEADER_LIMIT and first[:2] in _PICKLES:
            raise BadInput(f"{path.name} is a pickle checkpoint, which can run code when opened.",
                           "Convert it to safetensors on a machine you can spare, or get the .safetensors file.")
        body = f.read(length) if 2 <= length <= _HEADER_LIMIT else b""
    try:
        parsed = json.loads(body)
        end = max((v["data_offsets"][1] for k, v in parsed.items() if k != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        if 2 <= length <= _HEADER_LIMIT and len(body) < length and body[:1] == b"{":
            raise MissingWeights(f"{path.name} is truncated within its header.", "Download it again.") from None
        raise BadInput(f"{path.name} is not a safetensors file.", "Use a .safetensors file, or a diffusers folder.") from None
    _check_length(path, 8 + length + end)
    return parsed


def _check_length(path: Path, expected: int) -> None:
    size = path.stat().st_size
    if size < expected:
        raise MissingWeights(f"{path.name} is truncated: {expected - size:,} bytes are missing.", "Download it again.")
