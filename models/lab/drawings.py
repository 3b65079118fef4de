"""The rendered drawings on disk: lossless WebP with alpha, packed into shards below 60 MiB, described by one JSON line each."""
from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import MissingWeights
from models.files import write_atomic
from models.lab.items import Item
from models.lab.latents import SHARD_BYTES
from models.lab.pictures import SIDE_PX, rasterise

INDEX = "items.jsonl"
CACHE = "drawings.cache.npy"                         # decoded, for fast reading; rebuilt when missing


def _encode(item: Item) -> bytes | None:
    rgba = rasterise(item)
    if rgba is None:
        return None
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "WEBP", lossless=True, exact=True, method=2)
    return out.getvalue()


def _shards(encoded: Iterable[tuple[Item, bytes | None]]) -> Iterator[tuple[list[dict], bytes]]:
    """(index lines, bytes) a shard; drawings with nothing to see are left out."""
    lines, parts, size, number = [], [], 0, 0
    for item, data in encoded:
        if data is None:
            continue
        if size + len(data) > SHARD_BYTES:
            yield lines, b"".join(parts)
            lines, parts, size, number = [], [], 0, number + 1
        words = asdict(replace(item, svg="", raster=b""))
        del words["svg"], words["raster"]
        lines.append(words | {"shard": number, "at": size, "bytes": len(data)})
        parts.append(data)
        size += len(data)
    yield lines, b"".join(parts)


def write_drawings(items: Sequence[Item], folder: Path, workers: int) -> int:
    """Rasterise all `items` into `folder`; returns how many were visible."""
    folder.mkdir(parents=True, exist_ok=True)
    index: list[str] = []
    with get_context("spawn").Pool(workers) as pool:   # a forked child would wait for OpenMP threads that only its parent has
        for number, (lines, data) in enumerate(_shards(zip(items, pool.imap(_encode, items, 16)))):
            write_atomic(folder / f"drawings_{number:03d}.bin", lambda p: p.write_bytes(data))
            index += [json.dumps(line, ensure_ascii=False) for line in lines]
    write_atomic(folder / INDEX, lambda p: p.write_text("\n".join(index) + "\n", encoding="utf-8"))
    (folder / CACHE).unlink(missing_ok=True)
    return len(index)


def read_drawings(folder: Path) -> tuple[list[Item], np.ndarray]:
    """Items and their pictures, uint8 [N, 256, 256, 4] as a read-only memory map."""
    if not (folder / INDEX).exists():
        raise MissingWeights(f"There are no drawings in {folder}.", "Build them with: python -m models.lab data")
    lines = [json.loads(line) for line in (folder / INDEX).read_text(encoding="utf-8").splitlines()]
    if not (folder / CACHE).exists():
        write_atomic(folder / CACHE, lambda p: _decode_all(lines, folder, p))
    for line in lines:
        line["keywords"] = tuple(line["keywords"])
    items = [Item(**{k: v for k, v in line.items() if k not in ("shard", "at", "bytes")}) for line in lines]
    return items, np.load(folder / CACHE, mmap_mode="r")


def _decode_all(lines: Sequence[dict], folder: Path, path: Path) -> None:
    shards = {n: (folder / f"drawings_{n:03d}.bin").read_bytes() for n in {line["shard"] for line in lines}}
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (len(lines), SIDE_PX, SIDE_PX, 4))
    for i, line in enumerate(lines):
        data = shards[line["shard"]][line["at"]:line["at"] + line["bytes"]]
        out[i] = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    out.flush()
