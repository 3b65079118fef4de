"""Icons to learn from: monochrome sets out of the registry packages, as path tokens with their names and tags; split by word.

Same packages, same bytes. Only names, tags and outlines are kept; assets/CREDITS.md names the sets and their licences.
"""
from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from models.errors import BadInput, StudioError
from models.files import write_atomic
from models.lab.sources import ICONIFY, Package, files_of, icon_svg
from models.vector.pathtokens import FILL, Icon, drawing_of, icon_of, read_tokens, tokens_of
from models.vector.vectors import draw, read

STROKED = ("lucide", "tabler", "hugeicons", "icon-park-outline", "iconoir", "tdesign", "akar-icons", "ci", "charm", "iconamoon", "mynaui",
           "flowbite", "majesticons", "meteor-icons", "solar", "humbleicons", "proicons", "system-uicons", "lucide-lab", "feather")
FILLED = ("mdi", "ri", "bxs", "fa7-solid", "tabler", "zondicons", "vaadin", "maki", "temaki", "pinhead", "gg", "cil")
SOURCES = ("any", *dict.fromkeys((*STROKED, *FILLED)))
LICENCES = ("MIT", "Apache-2.0", "ISC", "CC0-1.0", "CC-BY-4.0", "Unlicense")
PACK = Package(ICONIFY.name, ICONIFY.version, ICONIFY.sha256, ("collections.json", *(f"json/{s}.json" for s in SOURCES[1:])))
LUCIDE = Package("lucide-static", "1.62.0", "386f9080c440d6f5049cefe3456ae8357f7a0c7f76e59670cd1cb83bc7050a44", ("tags.json",))
TABLER = Package("@tabler/icons", "3.52.0", "626620c7d42afd2f294fba167ce4653b5cb946336d186b4991c70b700e5616af", ("icons.json",))
MAX_TOKENS = 96
MAX_TAGS = 8
SAME_IOU = 0.85                                      # between the original and its tokens, at CHECK_PX
CHECK_PX = 48
_MANNERS = frozenset("outline outlined line linear fill filled solid bold light thin duotone twotone two tone broken sharp rounded regular "
                     "stroke alt variant box o".split())
_LIGHT = frozenset("outline line light thin duotone twotone broken variant".split())
_BRANDS = re.compile(r"(^|-)(brand|logo|letter|number|alpha|numeric|roman|emoji|flag|google|apple|github|twitter|facebook|microsoft)(-|$)")
FILES = ("icons.safetensors", "icons.json")


@dataclass(frozen=True)
class Named:
    """Where an icon is from and what it is called. split: train, val (its name was never trained on) or test (a word of it never was)."""
    source: str
    name: str
    words: str
    tags: tuple[str, ...]
    split: str
    mode: int


@dataclass(frozen=True, eq=False)
class IconSet:
    """tokens: one int16 array an icon; named: the same order."""
    named: tuple[Named, ...]
    tokens: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.named)

    def icon(self, i: int) -> Icon:
        return read_tokens(self.tokens[i].tolist())

    def where(self, split: str) -> np.ndarray:
        return np.array([i for i, n in enumerate(self.named) if n.split == split], int)


def words_of(name: str) -> str:
    """"arrow-up-circle-01-solid" -> "arrow up circle"."""
    parts = [p for p in re.split(r"[-_ ]+", name.lower()) if not p.isdigit() and p not in _MANNERS]
    return " ".join(parts)


def load(folder: Path, say: Callable[[str], None] = print) -> IconSet:
    """The set in the lab's folder, built from the packages when it is not there."""
    if not all((folder / name).exists() for name in FILES):
        _save(build(folder / "packages", say), folder)
    flat = load_file(folder / FILES[0])
    named = tuple(Named(**{**row, "tags": tuple(row["tags"])}) for row in json.loads((folder / FILES[1]).read_text(encoding="utf-8")))
    return IconSet(named, tuple(np.split(flat["tokens"], flat["ends"][:-1])))


def _save(icons: IconSet, folder: Path) -> None:
    flat = {"tokens": np.concatenate(icons.tokens).astype(np.int16), "ends": np.cumsum([len(t) for t in icons.tokens])}
    write_atomic(folder / FILES[0], lambda path: save_file(flat, path))
    write_atomic(folder / FILES[1], lambda path: path.write_text(json.dumps([asdict(n) for n in icons.named]), encoding="utf-8"))


def build(work_dir: Path, say: Callable[[str], None] = print) -> IconSet:
    """All icons of the sets that are short, plain and survive the grid."""
    packed = {path: json.loads(data) for path, data in files_of(PACK, work_dir, say).items()}
    tags = tags_by_words(*(json.loads(next(iter(files_of(p, work_dir, say).values()))) for p in (LUCIDE, TABLER)))
    found: list[tuple[str, str, list[int]]] = []
    for source in SOURCES[1:]:
        licence = packed["collections.json"][source]["license"]["spdx"]
        if licence not in LICENCES:
            raise StudioError(f"{source} is under {licence}, which is not free enough.", "Take it off the list.")
        found += [(source, name, tokens) for name, tokens in set_icons(source, packed[f"json/{source}.json"])]
        say(f"{source}: {sum(f[0] == source for f in found)} icons")
    return split_up(found, tags)


def set_icons(source: str, icons: dict) -> Iterator[tuple[str, list[int]]]:
    """(name, tokens) of one set, without brands, letters and what the grid or the mode rules out; every drawing once."""
    seen: set[tuple[int, ...]] = set()
    for name, icon in icons["icons"].items():
        if icon.get("hidden") or _BRANDS.search(name) or not words_of(name):
            continue
        tokens = tokens_from(icon_svg(icons, name), source, name)
        if tokens and tuple(tokens) not in seen:
            seen.add(tuple(tokens))
            yield name, tokens


def tokens_from(svg: str, source: str, name: str) -> list[int]:
    """The sequence of one icon; [] when it is too long, of an unwanted mode, or another picture after rounding."""
    try:
        drawing = read(svg)
        icon = icon_of(drawing)
    except BadInput:
        return []
    light = not _LIGHT.isdisjoint(name.split("-"))
    if (icon.mode == FILL and (source not in FILLED or light)) or (icon.mode != FILL and source not in STROKED):
        return []
    tokens = tokens_of(icon)
    if len(tokens) > MAX_TOKENS or tokens_of(read_tokens(tokens)) != tokens:
        return []
    if icon.mode == FILL:                            # overlaps that even-odd would cut out
        a, b = draw(drawing, CHECK_PX) > 127, draw(drawing_of(icon), CHECK_PX) > 127
        if (a & b).sum() < SAME_IOU * (a | b).sum():
            return []
    return tokens


def tags_by_words(lucide: Mapping[str, list[str]], tabler: Mapping[str, dict]) -> dict[str, tuple[str, ...]]:
    """{words of a name: tags that either set gives it}."""
    out: dict[str, list[str]] = defaultdict(list)
    for name, tags in [*lucide.items(), *((name, entry.get("tags", [])) for name, entry in tabler.items())]:
        out[words_of(name)] += [tag.replace("-", " ").lower() for tag in map(str, tags) if re.fullmatch(r"[A-Za-z][A-Za-z \-]+", tag)]
    return {words: tuple(dict.fromkeys(tags))[:MAX_TAGS] for words, tags in out.items()}


def split_up(found: list[tuple[str, str, list[int]]], tags: Mapping[str, tuple[str, ...]]) -> IconSet:
    """Decided by hash: words that a few icons share go to the test whole, some names to val; their words leave the tags of the rest."""
    counts = Counter(word for words in {words_of(name) for _, name, _ in found} for word in set(words.split()))
    unseen = {word for word, n in counts.items() if 2 <= n <= 40 and _per_mille("icon word " + word) < 15}
    named = []
    for source, name, tokens in found:
        words = words_of(name)
        split = "test" if unseen & set(words.split()) else "val" if _per_mille("icon name " + words) < 15 else "train"
        kept = tuple(tag for tag in tags.get(words, ()) if tag != words and not unseen & set(tag.split()))
        named.append(Named(source, name, words, kept if split == "train" else (), split, tokens[0]))
    return IconSet(tuple(named), tuple(np.array(tokens, np.int16) for _, _, tokens in found))


def _per_mille(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 1000
