"""A WeightFile -> a local path, checked. Offline first; safetensors only, recognised by content."""
from __future__ import annotations

import hashlib
import json
import math
import struct
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from models.errors import BadInput, MissingWeights, StudioError
from models.spec import WeightFile

ASSETS = Path(__file__).resolve().parent.parent / "assets"
HEADER_LIMIT = 25_000_000                            # bytes; the largest models need a tenth of it
MARKS_LIMIT = 2_000_000                              # commas and brackets; each costs a reader about 100 bytes of memory
NAME_LIMIT, DIMS_LIMIT, SIZE_LIMIT = 1024, 16, 2 ** 63 - 1
DTYPE_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
              "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
              "U64": 64, "I64": 64, "F64": 64, "C64": 64}
GET_ANOTHER = "Download it again, from a place you trust."
_PREFIX = 8                                          # bytes that say how long the header is
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
    """The JSON header of a safetensors file, checked whole, without reading a tensor: {name: {dtype, shape, data_offsets}}.

    What it says is bounded before it is parsed and then true of the file: known dtypes, spans that hold exactly their shapes and
    follow one another from the first byte of data to the last. Raises BadInput for anything else, pickles by name, and
    MissingWeights for a file that ends too early. The extension counts for nothing. The dict is the caller's own.
    """
    path = Path(path)
    try:
        stat = path.stat()
        if not S_ISREG(stat.st_mode):
            raise BadInput(f"{path.name} is no file.", "Give the .safetensors file itself.")
        return dict(_header(str(path), stat.st_mtime_ns, stat.st_size))
    except FileNotFoundError:
        raise MissingWeights(f"{path.name} is not there.", "Check the path.") from None
    except (OSError, ValueError) as error:           # ValueError: a path with a zero byte in it
        raise MissingWeights(f"{path.name} cannot be read: {error}.", "Check the path and its permissions.") from None


@lru_cache(maxsize=4)
def _header(path: str, mtime_ns: int, size: int) -> dict:
    name = Path(path).name
    with open(path, "rb") as f:
        first = f.read(_PREFIX)
        length = struct.unpack("<Q", first)[0] if len(first) == _PREFIX else 0
        body = f.read(min(length, size) if length <= HEADER_LIMIT else 1)
    if body[:1] != b"{" or length > size - _PREFIX:
        raise _other_kind(name, first, length, size, body)
    if length > HEADER_LIMIT:
        raise BadInput(f"{name} has a header of {length:,} bytes; {HEADER_LIMIT:,} are the most.", GET_ANOTHER)
    parsed = _parse(name, body)
    _check_spans(name, parsed, size - _PREFIX - length)
    return parsed


def _other_kind(name: str, first: bytes, length: int, size: int, body: bytes) -> StudioError:
    """Why a file is refused whose ninth byte opens no JSON object or whose header would not end within it."""
    if body[:1] == b"{" and size - _PREFIX < length <= HEADER_LIMIT:
        return MissingWeights(f"{name} is truncated within its header.", "Download it again.")
    if first[:2] in _PICKLES and length > HEADER_LIMIT:
        return BadInput(f"{name} is a pickle checkpoint, which can run code when opened.",
                        "Convert it to safetensors on a machine you can spare, or get the .safetensors file.")
    return BadInput(f"{name} is not a safetensors file.", "Use a .safetensors file, or a diffusers folder.")


def _parse(name: str, body: bytes) -> dict:
    """The header's JSON with every key once and every value of its kind. Marks are counted first: they bound what parsing costs."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MARKS_LIMIT:
        raise BadInput(f"{name} has a header of more than {MARKS_LIMIT:,} parts.", GET_ANOTHER)
    try:
        text = body.decode("utf-8")
        parsed = json.loads(text, object_pairs_hook=_once)
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()          # half a character cannot be shown or stored
    except (ValueError, RecursionError):
        raise BadInput(f"{name} is not a safetensors file: its header cannot be read.", GET_ANOTHER) from None
    _check_metadata(name, parsed.get("__metadata__", {}))
    for tensor, entry in parsed.items():
        if tensor != "__metadata__" and (wrong := _wrong(tensor, entry)):
            raise BadInput(f"{name} is not a safetensors file: the tensor {tensor[:60]!r} {wrong}.", GET_ANOTHER)
    return parsed


def _once(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object whose keys differ: of a key that stands twice, two readers could see two values."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _check_metadata(name: str, meta: object) -> None:
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise BadInput(f"{name} is not a safetensors file: its metadata is not text by name.", GET_ANOTHER)


def _wrong(tensor: str, entry: object) -> str:
    """What is wrong with one tensor's entry, as the end of a sentence; "" = nothing."""
    if not tensor or len(tensor) > NAME_LIMIT or not tensor.isprintable():
        return f"has no readable name of at most {NAME_LIMIT} characters"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return "has other fields than dtype, shape and data_offsets"
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        return f"is of the unknown kind {str(dtype)[:20]!r}"
    if not _whole(shape) or len(shape) > DIMS_LIMIT:
        return f"has no shape of at most {DIMS_LIMIT} whole numbers"
    if not _whole(span) or len(span) != 2:
        return "does not say where its bytes are"
    if math.prod(shape) * DTYPE_BITS[dtype] != (span[1] - span[0]) * 8:
        return f"needs another number of bytes than the {span[1] - span[0]:,} it has"
    return ""


def _whole(values: object) -> bool:
    """Whether this is a list of numbers that 64-bit readers take for sizes; True and 1.0 are none."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= SIZE_LIMIT for value in values)


def _check_spans(name: str, parsed: dict, data_bytes: int) -> None:
    """The tensors' bytes follow one another without a gap or an overlap and end where the file ends."""
    end = 0
    for start, stop in sorted(entry["data_offsets"] for tensor, entry in parsed.items() if tensor != "__metadata__"):
        if start != end:
            what = "share bytes" if start < end else f"leave {start - end:,} bytes unexplained"
            raise BadInput(f"{name} is not a safetensors file: its tensors {what}.", GET_ANOTHER)
        end = stop
    if data_bytes < end:
        raise MissingWeights(f"{name} is truncated: {end - data_bytes:,} bytes are missing.", "Download it again.")
    if data_bytes > end:
        raise BadInput(f"{name} is not a safetensors file: {data_bytes - end:,} bytes follow its last tensor.", GET_ANOTHER)
