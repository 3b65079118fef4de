"""Words to pixels: text layers are set in the fonts that ship (assets/fonts), glyph after glyph, at any scale with the same line breaks.

Places are reckoned in ems at one large size, so a layer drawn at four times its size is the same setting, not another one. Kerning
comes from a table beside the font. Not supported, and said so: writing from right to left (Arabic, Hebrew), scripts whose letters change
with their neighbours, marks that combine, coloured emoji, ligatures.
"""
from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.errors import BadInput, UnknownId
from models.layers.stack import Text
from models.weights import ASSETS

FOLDER = ASSETS / "fonts"
EM_PX, INK_PX = 1000, 250                            # advances and boxes of ink are measured at these sizes
MARGIN_EM = 0.25                                     # clear on every side, more where swashes and accents reach further out of their lines
SMOOTH_PX, MOST_SMOOTH = 96, 4                       # smaller type is drawn larger and averaged, so that hinting moves nothing
MAX_PX = 64_000_000
SMALLEST_PX = 4.0
DROPPED = {"Cc", "Cf", "Zl", "Zp"}                   # Unicode categories that leave no mark


@dataclass(frozen=True)
class Font:
    """One face. kind: sans, serif, slab, display, rounded, handwriting, marker, mono or "narrow sans"."""
    id: str
    title: str
    kind: str
    weight: int
    points: frozenset[int]

    def lacks(self, words: str) -> str:
        """The characters of `words` that it cannot show, each once."""
        return "".join(dict.fromkeys(c for c in readable(words) if not c.isspace() and ord(c) not in self.points))


@dataclass(frozen=True)
class Line:
    """One line: its characters, their left ends and its width, in pixels of the text."""
    words: str
    starts: tuple[float, ...]
    width: float


@dataclass(frozen=True)
class Block:
    """A set text, in pixels: the size of its picture, the margin inside it, and the box (x0, y0, x1, y1) that its ink covers."""
    lines: tuple[Line, ...]
    width: float
    height: float
    margin: float
    ink: tuple[float, float, float, float]
    broken: bool                                     # a word was too long for the box and was cut


@cache
def fonts() -> dict[str, Font]:
    """The fonts that ship, by id, in the order in which they are offered."""
    rows = json.loads((FOLDER / "fonts.json").read_text(encoding="utf-8"))
    return {row["id"]: Font(row["id"], row["title"], row["kind"], row["weight"], _points(row["covers"])) for row in rows}


def font_of(name: str) -> Font:
    if name not in fonts():
        raise UnknownId(f'There is no font "{name}".', f"Fonts: {', '.join(fonts())}.")
    return fonts()[name]


def letter(text: Text, scale: float = 1.0) -> np.ndarray:
    """Straight RGBA uint8 [h, w, 4] of the words, `scale` times as large as they say; h and w as `measure` gives them, rounded up.

    Raises BadInput for words that are empty, cannot be written here, or make a picture above 64 megapixels.
    """
    check(text)
    block = measure(text)
    width, height = math.ceil(block.width * scale), math.ceil(block.height * scale)
    smooth = max(1, min(MOST_SMOOTH, math.ceil(SMOOTH_PX / (text.size_px * scale))))
    if width * height > MAX_PX:
        raise BadInput(f"These words would fill {width}x{height} px; {MAX_PX // 10 ** 6} megapixels is the most.", "Make them smaller.")
    mask = _drawn(text, block, scale * smooth, (width * smooth, height * smooth)).reduce(smooth)
    rgba = np.empty((height, width, 4), np.uint8)
    rgba[..., :3] = rgb_of(text.colour)
    rgba[..., 3] = np.asarray(mask)
    return rgba


def measure(text: Text) -> Block:
    """How the words are broken into lines and what room they take; letter(text) has this size."""
    lines, broken = _lines(text)
    wide = text.width_px or max(line.width for line in lines)
    high = len(lines) * text.line_height * text.size_px
    bare = [_moved(line, _indent(text, wide - line.width)) for line in lines]
    x0, y0, x1, y1 = _ink(text, bare, 0.0)
    margin = max(MARGIN_EM * text.size_px, 1 - x0, 1 - y0, x1 - wide + 1, y1 - high + 1)
    ink = (x0 + margin, y0 + margin, x1 + margin, y1 + margin)
    return Block(tuple(_moved(line, margin) for line in bare), wide + 2 * margin, high + 2 * margin, margin, ink, broken)


def word_boxes(text: Text) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Every word with the box (x0, y0, x1, y1) of its ink, in pixels of the picture that `letter` gives, in reading order."""
    block, out = measure(text), []
    for number, line in enumerate(block.lines):
        for found in re.finditer(r"\S+", line.words):
            part = replace(line, words=found.group(), starts=line.starts[found.start():found.end()])
            x0, y0, x1, y1 = _ink(text, [part], block.margin)
            down = number * text.line_height * text.size_px
            out.append((part.words, (x0, y0 + down, x1, y1 + down)))
    return out


def fitted(text: Text, width: float, height: float, most_px: float = 4096.0, most_lines: int = 99) -> Text | None:
    """`text` as large as its ink fits a box of width x height pixels, wrapped to the box, no word cut, at most `most_lines` lines;
    None when even SMALLEST_PX is too large. Binary search: a larger size never fits where a smaller one did not, up to line breaks."""
    def fits(size: float) -> Text | None:
        tried = replace(text, size_px=size, width_px=width)
        block = measure(tried)
        x0, y0, x1, y1 = block.ink
        return tried if not block.broken and len(block.lines) <= most_lines and x1 - x0 <= width and y1 - y0 <= height else None
    low, best = SMALLEST_PX, fits(SMALLEST_PX)
    high = max(SMALLEST_PX, min(most_px, 4 * height))
    while best is not None and high - low > 0.25:
        middle = (low + high) / 2
        if found := fits(middle):
            low, best = middle, found
        else:
            high = middle
    return best


def check(text: Text) -> None:
    """Raises BadInput when the words cannot be set as they are, with the cure."""
    font, words = font_of(text.font), readable(text.words)
    if not words.strip():
        raise BadInput("There are no words to set.", "Write some.")
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in words):
        raise BadInput("Writing from right to left (Arabic, Hebrew) cannot be set here yet.", "Set it in your editor, on top of the export.")
    lacking = font.lacks(words)
    if any(ord(c) >= 0x1F000 or c == "\ufe0f" for c in lacking):
        raise BadInput("Emoji are pictures, not letters; they cannot be set as text.", "Make the thing as a layer of its own.")
    if lacking:
        able = [other.title for other in fonts().values() if not other.lacks(words)]
        raise BadInput(f"{font.title} has no {' '.join(lacking[:12])}.", f"These fonts have: {', '.join(able)}." if able else "No font here has it.")


def readable(words: str) -> str:
    """Composed (NFC), tabs as spaces, without characters that leave no mark; line breaks stay."""
    composed = unicodedata.normalize("NFC", words.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    "))
    return "".join(c for c in composed if c == "\n" or unicodedata.category(c) not in DROPPED)


def rgb_of(colour: str) -> tuple[int, int, int]:
    """"#rrggbb" -> three numbers of 0..255."""
    return tuple(bytes.fromhex(colour[1:]))


# --- lines --------------------------------------------------------------------------------------------------------------

def _lines(text: Text) -> tuple[list[Line], bool]:
    """(lines that start at 0, whether a word had to be cut)."""
    out, broken = [], False
    for paragraph in readable(text.words).split("\n"):
        parts, cut = _wrapped(text, paragraph)
        out += [_line(text, part) for part in parts]
        broken |= cut
    return out, broken


def _wrapped(text: Text, paragraph: str) -> tuple[list[str], bool]:
    """Greedy: a line takes words while they fit; a word that is wider than the box is cut."""
    if not text.width_px or _line(text, paragraph).width <= text.width_px:
        return [paragraph.rstrip()], False
    lines, now, broken = [], "", False
    for word in paragraph.split(" "):
        wanted = f"{now} {word}" if now else word
        if _line(text, wanted).width <= text.width_px:
            now = wanted
            continue
        lines += [now] if now else []
        *full, now = _cut(text, word)
        broken |= bool(full)
        lines += full
    return [*lines, now], broken


def _cut(text: Text, word: str) -> list[str]:
    """The word in pieces that fit, each of one letter at least."""
    pieces = [""]
    for letter_ in word:
        if pieces[-1] and _line(text, pieces[-1] + letter_).width > text.width_px:
            pieces.append("")
        pieces[-1] += letter_
    return pieces


def _line(text: Text, words: str) -> Line:
    """Its letters side by side, kerned and spaced; the width counts no space after the last letter."""
    x, starts = 0.0, []
    for before, char in zip(("", *words), words):
        x += _kern(text.font, before, char) * text.size_px if before else 0.0
        starts.append(x)
        x += _advance(text.font, char) * text.size_px + text.letter_spacing
    return Line(words, tuple(starts), max(0.0, x - text.letter_spacing) if words else 0.0)


def _indent(text: Text, room: float) -> float:
    return {"left": 0.0, "center": room / 2, "right": room}[text.align]


def _moved(line: Line, x: float) -> Line:
    return replace(line, starts=tuple(start + x for start in line.starts))


def baseline(text: Text, number: int, margin: float) -> float:
    """y of a line's baseline in the picture: what the line height leaves is shared above and below, as CSS does."""
    ascent, descent = _reach(text.font)
    return margin + text.size_px * (number * text.line_height + (text.line_height - ascent - descent) / 2 + ascent)


def _ink(text: Text, lines: Sequence[Line], margin: float) -> tuple[float, float, float, float]:
    """The box of all glyphs' ink; at 0 where there is none."""
    size = text.size_px
    boxes = [(x + left * size, y + top * size, x + right * size, y + bottom * size)
             for number, line in enumerate(lines) for y in [baseline(text, number, margin)]
             for x, char in zip(line.starts, line.words) if not char.isspace() for left, top, right, bottom in [_box(text.font, char)]]
    return (*np.min(boxes, 0)[:2].tolist(), *np.max(boxes, 0)[2:].tolist()) if boxes else (0.0, 0.0, 0.0, 0.0)


def _drawn(text: Text, block: Block, scale: float, size: tuple[int, int]) -> Image.Image:
    """A mask of the glyphs, grey 0..255."""
    mask = Image.new("L", size)
    draw, face = ImageDraw.Draw(mask), _face(text.font, text.size_px * scale)
    for number, line in enumerate(block.lines):
        y = baseline(text, number, block.margin) * scale
        for x, char in zip(line.starts, line.words):
            if not char.isspace():
                draw.text((x * scale, y), char, 255, face, anchor="ls")
    return mask


# --- measures of a face, in ems -----------------------------------------------------------------------------------------

@lru_cache(32)
def _face(name: str, size_px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FOLDER / f"{font_of(name).id}.ttf", size_px, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(8192)
def _advance(name: str, char: str) -> float:
    return _face(name, EM_PX).getlength(char) / EM_PX


def _kern(name: str, left: str, right: str) -> float:
    return _pairs(name).get(_bare(left), {}).get(_bare(right), 0) / 1000


@cache
def _pairs(name: str) -> dict[str, dict[str, int]]:
    """{left: {right: shift in thousandths of an em}} of letters without accents."""
    return json.loads((FOLDER / f"{font_of(name).id}.kern.json").read_text(encoding="utf-8"))


@lru_cache(8192)
def _bare(char: str) -> str:
    """A letter without its accents."""
    return unicodedata.normalize("NFD", char)[0]


@lru_cache(8192)
def _box(name: str, char: str) -> tuple[float, float, float, float]:
    """What a glyph's ink covers around its start on the baseline, y downwards. (The box that Pillow gives counts its advance too.)"""
    mask, (dx, dy) = _face(name, INK_PX).getmask2(char, "L", anchor="ls")
    x0, y0, x1, y1 = mask.getbbox() or (0, 0, 0, 0)
    return (x0 + dx) / INK_PX, (y0 + dy) / INK_PX, (x1 + dx) / INK_PX, (y1 + dy) / INK_PX


@cache
def _reach(name: str) -> tuple[float, float]:
    """Ascent and descent."""
    return tuple(v / EM_PX for v in _face(name, EM_PX).getmetrics())


def _points(covers: str) -> frozenset[int]:
    """"20-7e,a0" -> code points."""
    ends: Sequence[list[str]] = [part.split("-") for part in covers.split(",")]
    return frozenset(point for end in ends for point in range(int(end[0], 16), int(end[-1], 16) + 1))
