"""The fonts that ship: taken from their registry packages, joined, slimmed and kerned. python -m models.lab fonts

A web package cuts a font into pieces by writing system; here Latin, Greek and Cyrillic come together again in one TrueType file.
What shapes letters by rules (GSUB, GPOS) is left out, because models.words.lettering sets glyph after glyph; the pair kerning that it would
have given is measured once and stored beside the font, so it is the same on every machine. Needs npm, and fonttools with brotli.
"""
from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import MissingWeights
from models.files import write_atomic
from models.lab.sources import Package, fetch
from models.weights import ASSETS

FONTS = ASSETS / "fonts"
PIECES = ("latin", "latin-ext", "greek", "cyrillic")
KEPT = ("head", "hhea", "maxp", "hmtx", "cmap", "glyf", "loca", "name", "OS/2", "post")
KERNED = {"latin": "".join(map(chr, range(0x21, 0x7F))) + "\u2019\u201c\u201d\u2013\u2014",
          "greek": "".join(map(chr, range(0x391, 0x3CA))), "cyrillic": "".join(map(chr, range(0x410, 0x450)))}
EM = 1000                                            # kerning is measured at this size, in pixels, and kept in this many parts of an em
LEAST_KERN = 6


@dataclass(frozen=True)
class Family:
    """kind: what a person looks for. weights: those that ship. Fonts with a Reserved Font Name are not here: they may not be changed."""
    id: str
    title: str
    kind: str
    weights: tuple[int, ...]
    sha256: str
    version: str = "5.3.0"

    @property
    def package(self) -> Package:
        return Package(f"@fontsource/{self.id}", self.version, self.sha256, ())


FAMILIES = (
    Family("inter", "Inter", "sans", (400, 700, 900), "02034af8d41dcc67ac8eab88f642e129bb8a2e8922abf30229c32725f54d8fd6"),
    Family("oswald", "Oswald", "narrow sans", (600,), "27bf46420288bb65bd186638cde54686aa8f9d5dc975b1d597dfe81a7dd472cb"),
    Family("eb-garamond", "EB Garamond", "serif", (500, 800), "2e61af0740104953d4fc5cb52a8c6de257ae6d83a4a89e0fd4be2f6132fd40d9"),
    Family("bodoni-moda", "Bodoni Moda", "serif", (700,), "e79339978034bf8891a0f0eb4ef54551b6fd52df3c03bd29de00c1d9a9663406"),
    Family("roboto-slab", "Roboto Slab", "slab", (400, 800), "45d42c2f30be7fa361c673a297cb75e151e977a57905e449d25875adf97e77f5"),
    Family("bebas-neue", "Bebas Neue", "display", (400,), "57928e0ee30b9e8a99033cdd5dc74ad06761007b4ad8fc32173e5d9072ba91fa"),
    Family("anton", "Anton", "display", (400,), "796d0b1b7a503636458c0869ef9993659411c86443a4e4e7555ead4b29293db4"),
    Family("fredoka", "Fredoka", "rounded", (600,), "3826ef8182dca8bec112e8320cd42c4aaec1b4cad9f6a3a2eaa4c98ee7ece323"),
    Family("nunito", "Nunito", "rounded", (400, 800), "4d8e1fb4f4a40c125c7a302b21e5c6810b86569b60bac0fa0405c04380f4c77b"),
    Family("caveat", "Caveat", "handwriting", (700,), "ebf746fc0667b9d10fcac7c8604e2ba40a264da85a1c9b48bd679c0af3221293"),
    Family("pacifico", "Pacifico", "handwriting", (400,), "397f4f0a8a4c44e929cafa4cfede7240f7ac81a922f6779d3fefe2192c67d619"),
    Family("permanent-marker", "Permanent Marker", "marker", (400,), "1fc372d174353a87b0ae7bb9651e32e7d1731f9e0b4c50c5d8704baea032bc1b"),
    Family("jetbrains-mono", "JetBrains Mono", "mono", (400, 800), "1bbea47d1387406da5b6ccc4184cc61eae6851cc0db5c1d9bbd088ea9daa0b4a"))
WEIGHTS = {400: "", 500: "", 600: "semibold", 700: "bold", 800: "extrabold", 900: "black"}


def make_fonts(work_dir: Path, out: Path = FONTS) -> list[dict[str, Any]]:
    """Write every font, its family's licence, and fonts.json; returns what fonts.json says."""
    (out / "licences").mkdir(parents=True, exist_ok=True)
    rows = [row for family in FAMILIES for row in make_family(family, work_dir, out)]
    write_atomic(out / "fonts.json", lambda path: path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8"))
    return rows


def make_family(family: Family, work_dir: Path, out: Path) -> list[dict[str, Any]]:
    files = contents(fetch(family.package, work_dir))
    write_atomic(out / "licences" / f"{family.id}.txt", lambda path: path.write_bytes(files["LICENSE"]))
    rows = []
    for weight in family.weights:
        word = WEIGHTS[weight] if len(family.weights) > 1 else ""
        name = "-".join(filter(None, (family.id, word)))
        pieces = {piece: files[path] for piece in PIECES if (path := f"files/{family.id}-{piece}-{weight}-normal.woff2") in files}
        ttf, pairs = joined(pieces)
        write_atomic(out / f"{name}.ttf", lambda path: path.write_bytes(ttf))
        write_atomic(out / f"{name}.kern.json", lambda path: path.write_text(json.dumps(pairs, separators=(",", ":")), encoding="utf-8"))
        rows.append({"id": name, "title": " ".join(filter(None, (family.title, word))), "kind": family.kind, "weight": weight,
                     "covers": covers(ttf)})
    return rows


def covers(ttf: bytes) -> str:
    """The characters of a font as hexadecimal ranges: "20-7e,a0"."""
    from fontTools.ttLib import TTFont
    spans: list[list[int]] = []
    for point in sorted(TTFont(io.BytesIO(ttf)).getBestCmap()):
        if spans and point == spans[-1][1] + 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return ",".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in spans)


def contents(tarball: Path) -> dict[str, bytes]:
    """{path inside the package: content} of its licence and its fonts."""
    with tarfile.open(tarball, "r:gz") as tar:
        return {path: tar.extractfile(member).read() for member in tar
                if member.isfile() and ((path := member.name.removeprefix("package/")) == "LICENSE" or path.endswith(".woff2"))}


def joined(pieces: dict[str, bytes]) -> tuple[bytes, dict[str, dict[str, int]]]:
    """(one TrueType file of the pieces {writing system: woff2} without hints and shaping rules, its kerning)."""
    ttf = {piece: _plain(data) for piece, data in pieces.items()}
    pairs = {left: row for piece, data in ttf.items() if piece in KERNED for left, row in kerning(data, KERNED[piece]).items()}
    font, buffer = _merged([_slim(data) for data in ttf.values()]), io.BytesIO()
    font.save(buffer)
    return buffer.getvalue(), pairs


def kerning(ttf: bytes, letters: str) -> dict[str, dict[str, int]]:
    """{left: {right: what the space between them grows by, in thousandths of an em}} by the font's own rules; no entry = nothing.
    Only letters without accents: an accented one is kerned as its base."""
    from PIL import ImageFont
    font = ImageFont.truetype(io.BytesIO(ttf), EM, layout_engine=ImageFont.Layout.RAQM)
    length = lambda text: font.getlength(text, features=["kern", "-liga", "-clig", "-calt"])
    own = {letter: length(letter) for letter in letters}
    rows = {a: {b: round(length(a + b) - own[a] - own[b]) for b in letters} for a in letters}
    return {a: kept for a, row in rows.items() if (kept := {b: value for b, value in row.items() if abs(value) >= LEAST_KERN})}


def _tools() -> Any:
    try:
        import brotli  # noqa: F401  woff2 is packed with it
        import fontTools
        return fontTools
    except ImportError:
        raise MissingWeights("Making the fonts needs fonttools.", "Install it with: pip install fonttools brotli") from None


def _plain(woff2: bytes) -> bytes:
    """The same font as TrueType."""
    _tools()
    from fontTools.ttLib import TTFont
    font, buffer = TTFont(io.BytesIO(woff2)), io.BytesIO()
    font.flavor = None
    font.save(buffer)
    return buffer.getvalue()


def _slim(ttf: bytes) -> Any:
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont
    font = TTFont(io.BytesIO(ttf))
    options = Options(layout_features=[], hinting=False, glyph_names=True, notdef_outline=True, recalc_bounds=True, name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14])
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=font.getBestCmap())
    subsetter.subset(font)
    for tag in [tag for tag in font.keys() if tag not in (*KEPT, "GlyphOrder")]:
        del font[tag]
    return font


def _merged(fonts: list[Any]) -> Any:
    if len(fonts) == 1:
        return fonts[0]
    from fontTools.merge import Merger
    from fontTools.ttLib import TTFont
    buffers = []
    for font in fonts:
        buffers.append(io.BytesIO())
        font.save(buffers[-1])
        buffers[-1].seek(0)
    merged = Merger().merge(buffers)
    merged["name"] = fonts[0]["name"]
    for table, keys in (("hhea", ("ascent", "descent", "lineGap")), ("OS/2", ("sTypoAscender", "sTypoDescender", "usWinAscent", "usWinDescent"))):
        for key in keys:
            setattr(merged[table], key, getattr(fonts[0][table], key))
    out = io.BytesIO()
    merged.save(out)
    out.seek(0)
    return TTFont(out)


def credits(families: Iterable[Family] = FAMILIES) -> str:
    """The table of assets/CREDITS.md."""
    rows = [f"| {f.title} | {_licence(f)} | `{f.package.name}` {f.version} |" for f in families]
    return "\n".join(["| font | licence | taken from |", "|---|---|---|", *rows])


def _licence(family: Family) -> str:
    text = (FONTS / "licences" / f"{family.id}.txt").read_text(encoding="utf-8")
    name = "Apache-2.0" if "Apache License" in text[:200] else "OFL-1.1"
    return f"[{name}](fonts/licences/{family.id}.txt)" + ("" if name == "Apache-2.0" else f", {text.splitlines()[0].split(' (')[0]}")
