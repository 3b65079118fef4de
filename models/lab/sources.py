"""The training drawings from the registry packages themselves: fetched by npm, named by Unicode's metadata, cleaned, split.

Same packages, same Items: every version and tarball digest is pinned, nothing depends on the clock or on the order of a folder.
The rules (which icon is a variant, what is a duplicate, which concepts and which style+concept cells no painter may see) are
those of the packed set that `items.read_pack` reads.
"""
from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.errors import StudioError
from models.lab.items import STYLES, Item, is_wanted, main_color, numbered
from models.lab.looks import MIN_COVER, color_shares, duplicates, small_picture


@dataclass(frozen=True)
class Package:
    """One npm package; `wanted` are the files and folders ("name/") read from it."""
    name: str
    version: str
    sha256: str
    wanted: tuple[str, ...]

    @property
    def file(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


ICON_SETS = ("noto", "noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat")
ICONIFY = Package(
    "@iconify/json", "2.2.535", "1a545f86fa224d6531d8fb101dcbe83aac2b28689a21cbed6fc68318a5af4d91",
    ("collections.json", *(f"json/{s}.json" for s in ICON_SETS)))
FLUENT_3D = Package(
    "@lobehub/fluent-emoji-3d", "1.1.0", "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ("assets/",))
EMOJIBASE = Package(
    "emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    ("en/data.json",))
EMOJILIB = Package(
    "emojilib", "4.0.3", "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303",
    ("dist/emoji-en-US.json",))
CLDR = Package(
    "cldr-annotations-full", "48.2.0", "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    ("annotations/en/annotations.json",))
PACKAGES = (ICONIFY, FLUENT_3D, EMOJIBASE, EMOJILIB, CLDR)

GROUPS = {0: "smileys", 1: "people", 2: "component", 3: "animals & nature", 4: "food & drink", 5: "travel & places",
          6: "activities", 7: "objects", 8: "symbols", 9: "flags"}

# Drawn by hash from the one-word concepts that five sets or more draw; no painter sees any picture whose label holds one.
HELD_OUT_NOUNS = frozenset(
    "beaver boar briefcase burrito candle candy chair crocodile crown dumpling envelope fireworks gorilla hammer headphone "
    "joystick kimono kite lime lobster locomotive maracas monkey moose mountain mushroom onion panda pill potato rainbow ribbon "
    "scissors shower skateboard spoon taco tangerine telephone trolleybus trumpet zebra".split())
# Concepts that fewer than five of our six sets draw, but five of all the sets looked at when the splits were first made.
WIDELY_DRAWN = frozenset((
    "man astronaut", "man curly hair", "broken chain", "white cane", "man in manual wheelchair facing right",
    "woman in manual wheelchair facing right", "woman walking facing right"))
_HELD_OUT_FORMS = HELD_OUT_NOUNS | {noun + "s" for noun in HELD_OUT_NOUNS}

_EMOJI_MARK = "\ufe0f"                                # "show as a picture"; sources disagree on where to put it
_TONE = re.compile(r"(^|-)(light|medium-light|medium|medium-dark|dark)-skin-tone")
_TONE_SUFFIX = re.compile(r"-(light|medium-light|medium|medium-dark|dark)$")
_TONE_CODE = re.compile(r"1f3f[b-f]")
_JUNK = re.compile(r"\b(nude|naked|breast|condom|sex)\b|cjk|ideograph|katakana|regional indicator|japanese .*button|squared ")
_PLAIN_WORD = re.compile(r"^[a-z][a-z \-]+$")
_LATIN = str.maketrans({"’": "", "'": "", "ñ": "n", "å": "a", "é": "e", "ã": "a", "í": "i", "ç": "c", "ô": "o"})


# Fetching

_PACK = "or use a packed folder (see python -m models.lab data --help)."


def fetch(package: Package, work_dir: Path, say: Callable[[str], None] = print) -> Path:
    """The package's tarball in `work_dir`, downloaded by `npm pack` unless it lies there already; its digest is checked."""
    path = work_dir / package.file
    if not path.exists():
        say(f"fetching {package.name} {package.version}")
        _npm_pack(package, work_dir)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise StudioError(f"{path.name} is not the pinned package (sha256 {digest[:12]}..., expected {package.sha256[:12]}...).",
                          "Delete it and run again; a download may have been cut short.")
    return path


def _npm_pack(package: Package, work_dir: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise StudioError("npm was not found; the drawings are fetched by it.",
                          f"Install Node.js (it brings npm), {_PACK}")
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=work_dir, capture_output=True, text=True)
    if done.returncode or not (work_dir / package.file).exists():
        why = (done.stderr or done.stdout).strip().splitlines()
        raise StudioError(f"npm could not fetch {package.name}@{package.version}: {why[0] if why else 'no reason given'}",
                          f"Check the connection to the npm registry, {_PACK}")


def files_of(package: Package, work_dir: Path, say: Callable[[str], None]) -> dict[str, bytes]:
    """{path inside the package: content} of what is wanted, in the order of the paths."""
    found = {}
    with tarfile.open(fetch(package, work_dir, say), "r:gz") as tar:
        for member in tar:
            path = member.name.removeprefix("package/")
            if member.isfile() and any(path == w or w.endswith("/") and path.startswith(w) for w in package.wanted):
                found[path] = tar.extractfile(member).read()
    return dict(sorted(found.items()))


# Naming

@dataclass(frozen=True)
class Words:
    """What Unicode's metadata says of one emoji."""
    label: str
    keywords: tuple[str, ...]
    category: str


def slug(text: str) -> str:
    """"Piñata!" -> "pinata", as the icon sets name their files."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().translate(_LATIN)).strip("-")


def code_of(hexcode: str) -> str:
    """"0023-FE0F-20E3" -> "0023-20e3": lower case, four digits at least, without the emoji presentation mark."""
    parts = [part.lstrip("0").zfill(4) for part in hexcode.lower().split("-")]
    return "-".join(part for part in parts if part != "fe0f")


class Names:
    """Finds the Words of an icon by its codepoints, else by its name or a spelling of it."""

    def __init__(self, emojibase: list[dict], emojilib: dict[str, list[str]], cldr: dict[str, dict]) -> None:
        emojilib, cldr = ({key.replace(_EMOJI_MARK, ""): value for key, value in table.items()} for table in (emojilib, cldr))
        self.by_code: dict[str, Words] = {}
        self.by_slug: dict[str, Words] = {}
        aliases: list[tuple[str, Words]] = []
        for entry in emojibase:
            char = entry["emoji"].replace(_EMOJI_MARK, "")
            said = emojilib.get(char, [])
            category = GROUPS.get(entry.get("group"), "other")
            words = Words(entry["label"].lower(), _keywords(entry, said, cldr.get(char, {})), category)
            self.by_code[code_of(entry["hexcode"])] = words
            self.by_slug[slug(entry["label"])] = words
            aliases += [(slug(alias), words) for alias in (*cldr.get(char, {}).get("tts", [])[:1], *said[:1]) if alias]
        for alias, words in aliases:
            self.by_slug.setdefault(alias, words)
        self._squeezed = {}
        for name, words in self.by_slug.items():
            self._squeezed.setdefault(name.replace("-", ""), words)

    def find(self, name: str, hexcode: str | None = None) -> Words | None:
        """Words of the icon `name`; `hexcode` is its codepoints in hexadecimal when the set tells them."""
        found = self.by_code.get(code_of(hexcode)) if hexcode else None
        return (found or self.by_slug.get(name) or self._squeezed.get(name.replace("-", "")) or self.by_slug.get(name + "-face")
                or self.by_slug.get(re.sub("^(person|man|woman)-", "", name)))


def _keywords(entry: dict, said: list[str], annotation: dict) -> tuple[str, ...]:
    every = [*entry.get("tags", []), *(word.replace("_", " ") for word in said), *annotation.get("default", [])]
    return tuple(dict.fromkeys(word.lower() for word in every if _PLAIN_WORD.match(word.lower())))[:14]


def clean_label(label: str) -> str:
    """"family: man, woman" -> "family of man, woman"; other colons fall away."""
    label = re.sub(r"\s+", " ", label.lower().replace("_", " ")).strip()
    return label.replace(": ", " of ", 1) if label.startswith("family: ") else label.replace(": ", " ")


# Candidates

@dataclass
class Candidate:
    """A drawing before cleaning; `name` is its name in its set and decides by hash whether it is held out."""
    source: str
    name: str
    label: str
    category: str
    licence: str
    keywords: tuple[str, ...] = ()
    svg: str = ""
    raster: bytes = field(default=b"", repr=False)


def _is_variant(name: str, names: Iterable[str], source: str) -> bool:
    """A skin tone of a drawing that the set also holds without one."""
    stem = _TONE_SUFFIX.sub("", name)
    return bool(_TONE.search(name)) or (source.startswith("fluent") and stem != name and stem in names)


def _is_flag(name: str, category: str) -> bool:
    return "flag" in category or name.startswith(("flag-", "flagfor", "regional-indicator"))


def icon_svg(icons: dict, name: str) -> str:
    """The icon as a stand-alone SVG document; measures that it lacks are its set's, else Iconify's default of 16."""
    icon = icons["icons"][name]
    box = (icon.get("left", 0), icon.get("top", 0), *(icon.get(side, icons.get(side, 16)) for side in ("width", "height")))
    return ('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>')


def icon_candidates(source: str, icons: dict, hexcodes: dict[str, str], licence: str, names: Names) -> Iterator[Candidate]:
    """Drawings of one Iconify set in its own order, without hidden aliases, skin tones and flags."""
    categories = {name: category for category, members in (icons.get("categories") or {}).items() for name in members}
    for name, icon in icons["icons"].items():
        if icon.get("hidden") or _is_variant(name, icons["icons"], source):
            continue
        words = names.find(name, hexcodes.get(name))
        category = words.category if words else categories.get(name, "other").lower()
        if not _is_flag(name, category):
            label = words.label if words else name.replace("-", " ")
            yield Candidate(source, name, label, category, licence, words.keywords if words else (), svg=icon_svg(icons, name))


def raster_candidates(files: dict[str, bytes], names: Names) -> Iterator[Candidate]:
    """Drawings of the 3D set, whose files are named by codepoint."""
    for path, data in files.items():
        code = code_of(Path(path).stem)
        words = names.by_code.get(code)
        if words and words.category != "flags" and not _TONE_CODE.search(code):
            yield Candidate("fluent-3d", code, words.label, words.category, "MIT", words.keywords, raster=data)


def candidates(work_dir: Path, say: Callable[[str], None] = print) -> list[Candidate]:
    """Every drawing of the six sets before cleaning, with its vectors."""
    def read(package: Package) -> dict[str, object]:
        return {path: json.loads(data) for path, data in files_of(package, work_dir, say).items()}
    (emojibase,), (emojilib,), (cldr,) = (read(p).values() for p in (EMOJIBASE, EMOJILIB, CLDR))
    names = Names(emojibase, emojilib, cldr["annotations"]["annotations"])
    iconify = read(ICONIFY)
    hexcodes = {s: {name: code for code, name in (iconify[f"json/{s}.json"].get("chars") or {}).items()} for s in ICON_SETS}
    hexcodes["fluent-emoji"] = hexcodes["fluent-emoji-flat"]                          # same drawings, the table is with one only
    found = []
    for source in ICON_SETS:
        licence = iconify["collections.json"][source]["license"]["spdx"]
        found += icon_candidates(source, iconify[f"json/{source}.json"], hexcodes[source], licence, names)
    found += raster_candidates(files_of(FLUENT_3D, work_dir, say), names)
    for candidate in found:
        candidate.label = clean_label(candidate.label)
    return [c for c in found if len(c.label) > 1]


def _small_pictures(candidates: list[Candidate], say: Callable[[str], None]) -> np.ndarray:
    out = []
    for i, candidate in enumerate(candidates):
        out.append(small_picture(candidate.svg, candidate.raster))
        if i % 2000 == 0:
            say(f"looking at drawings: {i} of {len(candidates)}")
    return np.stack(out)


# Who may see what

def concept_of(label: str) -> str:
    """The label without words that only say that it is an icon."""
    return re.sub(r"\b(face|sign|symbol|button|emoji|icon)\b", "", re.sub(r"[^a-z ]", "", label)).strip() or label


def _per_mille(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 1000


def holds_unseen(text: str) -> bool:
    """Does the text hold one of the held-out nouns?"""
    return not _HELD_OUT_FORMS.isdisjoint(re.findall("[a-z]+", text))


def split_of(source: str, name: str, label: str, sets_with_concept: int) -> str:
    """test_concept: the noun is held out everywhere. test_pair: 2.5 % of the style+concept cells whose concept five sets draw.
    val: 1.5 % of the rest. Decided by hash, so adding a drawing moves no other."""
    if holds_unseen(label):
        return "test_concept"
    concept = concept_of(label)
    if (sets_with_concept >= 5 or concept in WIDELY_DRAWN) and _per_mille("cell" + concept + source) < 25:
        return "test_pair"
    return "val" if _per_mille(source + name) < 15 else "train"


def _item(candidate: Candidate, split: str, color: str) -> Item:
    words = [w for w in candidate.keywords if w != candidate.label][:12]
    if split != "test_concept":
        words = [w for w in words if not holds_unseen(w)]
    return Item(source=candidate.source, name=candidate.label.replace(" ", "-"), label=candidate.label,
                style=STYLES[candidate.source], split=split, category=candidate.category, licence=candidate.licence,
                keywords=tuple(words), color=color, svg=candidate.svg, raster=candidate.raster)


def from_packages(work_dir: Path, say: Callable[[str], None] = print) -> list[Item]:
    """All Items of the six sets, sorted as `read_pack` sorts them. Tarballs stay in `work_dir`, about 130 MB.

    Raises StudioError when npm is missing, a package cannot be fetched or a tarball is not the pinned one.
    """
    found = candidates(work_dir, say)
    small = _small_pictures(found, say)
    shown = small[..., 3].mean((1, 2)) > MIN_COVER
    found, small = [c for c, s in zip(found, shown, strict=True) if s], small[shown]
    doubled = duplicates(small.reshape(len(small), -1))
    kept = [(c, s) for c, s, double in zip(found, small, doubled, strict=True) if not double and not _JUNK.search(c.label)]
    sets = defaultdict(set)
    for candidate, _ in kept:
        sets[concept_of(candidate.label)].add(candidate.source)
    items = [_item(c, split_of(c.source, c.name, c.label, len(sets[concept_of(c.label)])), main_color(color_shares(s), c.label))
             for c, s in kept if is_wanted(c.label, c.source)]
    say(f"{len(items)} drawings of {len(STYLES)} sets")
    return list(numbered(sorted(items, key=lambda item: (item.source, item.label))))
