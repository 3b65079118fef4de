"""What the training set is made of: one `Item` a picture, before any pixel exists.

An Item is a drawing's source (SVG text or encoded raster bytes) with its words and its licence. Items come from a packed
folder (`read_pack`) or from the registry packages themselves (`models.lab.sources`), and both give the same Items.
"""
from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.spec import EMBEDDED_STYLES

# The styles the embedded base knows: source set -> style id -> the words that name its look in every caption.
STYLE_IDS = {"twemoji": "flat", "fluent-emoji-flat": "modern", "fluent-emoji": "soft", "fluent-3d": "3d", "noto": "shaded", "noto-v1": "blob"}
PHRASES = {style.id: style.phrase for style in EMBEDDED_STYLES}
STYLES: dict[str, str] = {source: PHRASES[id] for source, id in STYLE_IDS.items()}
STICKER_STYLE = PHRASES["sticker"]                   # drawn from these sets with a cut-out border, never a source of its own
STICKER_SOURCES = ("twemoji", "noto", "fluent-emoji-flat")

# Pictures whose meaning is a glyph: a 256 px painter of things learns nothing from them.
GLYPH_WORDS = ("keycap", "o’clock", "oclock", "thirty", "button", "input ", "japanese", "family", "blood type", "squared", "letter")


@dataclass(frozen=True)
class Item:
    """One captionable drawing. `split` is train, val, test_pair (style+concept cell unseen) or test_concept (concept unseen)."""
    source: str
    name: str
    label: str
    style: str
    split: str
    category: str
    licence: str
    keywords: tuple[str, ...] = ()
    color: str = ""                                  # dominant colour word, empty when there is none
    svg: str = ""
    raster: bytes = field(default=b"", repr=False)

    @property
    def key(self) -> str:
        return f"{self.source}/{self.name}"

    @property
    def concept(self) -> str:
        return self.label


def stable_hash(text: str, modulo: int) -> int:
    """The same number on every machine and in every run, unlike hash()."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16) % modulo


def is_wanted(label: str, source: str) -> bool:
    return source in STYLES and not any(w in label for w in GLYPH_WORDS)


def main_color(colors: dict[str, float], label: str) -> str:
    """The word of the largest share (colours come largest first), or "" when it is small, dull or already in the label."""
    name, share = next(iter(colors.items()), ("", 0.0))
    return name if share >= 0.6 and name not in label and name not in ("white", "gray", "beige") else ""


def _pack_svgs(folder: Path, source: str) -> dict[int, str]:
    path = folder / f"{source}.jsonl.xz"
    if not path.exists():
        return {}
    with lzma.open(path, "rt", encoding="utf-8") as f:
        return {int(i): svg for i, svg in (json.loads(line) for line in f)}


def _pack_rasters(folder: Path) -> dict[int, bytes]:
    blob = (folder / "raster.bin").read_bytes()
    return {i: blob[o:o + n] for i, o, n, *_ in json.loads((folder / "raster.json").read_text())}


def numbered(items: Iterable[Item]) -> Iterator[Item]:
    """The same items with unique keys: a second drawing of one label in one set gets "-2", the first keeps its name."""
    seen: dict[str, int] = {}
    for item in items:
        seen[item.key] = seen.get(item.key, 0) + 1
        yield item if seen[item.key] == 1 else replace(item, name=f"{item.name}-{seen[item.key]}")


def read_pack(folder: Path) -> Iterator[Item]:
    """Items of the packed set (captions.jsonl.xz, one SOURCE.jsonl.xz a set, raster.bin) in a stable order."""
    with lzma.open(folder / "captions.jsonl.xz", "rt", encoding="utf-8") as f:
        rows = [r for r in map(json.loads, f) if is_wanted(r["label"], r["source"])]
    rasters = _pack_rasters(folder)
    svgs = {source: _pack_svgs(folder, source) for source in STYLES}
    rows.sort(key=lambda r: (r["source"], r["label"], r["id"]))
    yield from numbered(_pack_item(r, svgs[r["source"]], rasters) for r in rows)


def _pack_item(row: dict, svgs: dict[int, str], rasters: dict[int, bytes]) -> Item:
    return Item(source=row["source"], name=row["label"].replace(" ", "-"), label=row["label"], style=STYLES[row["source"]],
                split=row["split"], category=row["category"], licence=row["licence"], keywords=tuple(row["keywords"]),
                color=main_color(row["colors"], row["label"]), svg=svgs.get(row["id"], ""), raster=rasters.get(row["id"], b""))
