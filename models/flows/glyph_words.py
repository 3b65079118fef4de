"""Words painted into a picture: "a bus with a sign "OPEN"" is painted without the word, then a sign with it in a calm place.

After GlyphDraw (Ma et al. 2023, arXiv 2303.17870) the words in quotes are taken out of the prompt and come back as rendered glyphs that a
control obeys. Only the sign's box is painted again (blended latents), so the rest of the picture stays as it was. Many words are laid
out by annealing, and words that a reader misreads are painted again one by one (after Lakhanpal et al. 2024, arXiv 2403.16422).
Crisp words are no painting: they are type set in the box in the painted word's colours, a text layer of its own.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models import pixels
from models.errors import BadInput
from models.flows import Render
from models.flows._canvas import grown, mask_picture
from models.flows._places import main_colours
from models.job import AdapterUse, Extent, Job, Picture, Result, Timings
from models.words.layout import apart, lined_up
from models.words.legible import ENOUGH, contrast, edge_energy
from models.words.lettering import fitted, measure
from models.words.reading import Line, distance, paired, plain
from models.words.signs import Sign, asked, room
from models.layers.stack import Text

MOST_WORDS, MOST_CHARS = 8, 10
ROUNDS, TRIES = 2, 2                                 # of proofreading; new seeds a word and round
RING_PX, RING_CHANGE = 6, 0.02                       # a repaint may change what is around its box by so much of 255
FREE_PX = 8                                          # around a sign, on 256 px: what is painted with it
STRENGTH = 1.3                                       # of the control: measured, letters are surest there
QUOTED = re.compile(r"[\"“”„«]([^\"“”„«»]{1,80})[\"“”»]")
_LEFT_OVER = re.compile(r"\s*\b(?:that|which)?\s*(?:says|reads|saying|reading|called|named|the words?|with the words?|text)\s*$", re.I)
Reader = Callable[[np.ndarray], Sequence[Line]]


@dataclass(frozen=True)
class Wanted:
    """job: the picture, its prompt with the words in quotes unless `words` are given; with an image, that is painted on. control: id of
    the glyph adapter. signs: where they go, () = found by rule. boards: the words stand on boards. font: of the words."""
    job: Job
    control: str
    words: tuple[str, ...] = ()
    signs: tuple[Sign, ...] = ()
    boards: bool = True
    font: str = "inter-black"

    def __post_init__(self) -> None:
        words = self.said
        if not words:
            raise BadInput("No words to paint.", 'Put them in quotes: a bus with a sign "OPEN".')
        if len(words) > MOST_WORDS or max(map(len, words)) > MOST_CHARS:
            raise BadInput(f"{MOST_WORDS} words of {MOST_CHARS} letters are the most that can be painted.", "Set longer ones as a text layer.")

    @property
    def said(self) -> tuple[str, ...]:
        return self.words or quoted(self.job.prompt)[1]

    @property
    def plain(self) -> Job:
        """The job of the picture without its words."""
        return self.job.but(prompt=quoted(self.job.prompt)[0], seeds=self.job.seeds[:1])


def quoted(prompt: str) -> tuple[str, tuple[str, ...]]:
    """("a bus with a sign", ("OPEN",)): the prompt without what stands in quotes, and that, word by word."""
    words = tuple(word for part in QUOTED.findall(prompt) for word in part.split())
    parts = [_LEFT_OVER.sub("", part) for part in QUOTED.split(prompt)[::2]]
    return re.sub(r"\s+([,.])", r"\1", " ".join(" ".join(parts).split())).strip(" ,"), words


def glyph_words(render: Render, wanted: Wanted, read: Reader | None = None) -> Iterator[tuple[Result, tuple[Sign, ...]]]:
    """Yields (the picture, its signs): first without words, then with them, then, with a reader, after each accepted repair."""
    given = wanted.job.image is not None
    first = Result(_given(wanted.job)[None], wanted.plain.but(strength=0.0), Timings()) if given else render(wanted.plain)
    yield first, ()
    picture = first.pixels[0][..., :3]
    signs = wanted.signs or laid_out(wanted.said, picture, wanted.font, wanted.boards)
    done = paint_words(render, wanted, picture, signs, wanted.job.seeds[0])
    yield done, signs
    if read is not None:
        yield from proofread(render, wanted, done, signs, read)


def paint_words(render: Render, wanted: Wanted, picture: np.ndarray, signs: Sequence[Sign], seed: int) -> Result:
    """Paint signs into uint8 [H, W, 3]; what lies outside their boxes stays."""
    extent = Extent(picture.shape[1], picture.shape[0])
    free = grown(room(signs, extent), max(1, round(FREE_PX * min(picture.shape[:2]) / 256)))
    use = AdapterUse(wanted.control, STRENGTH, Picture.from_array(asked(signs, extent)))
    return render(wanted.plain.but(seeds=(seed,), extent=extent, image=Picture.from_array(np.ascontiguousarray(picture)), mask=mask_picture(free),
                                   strength=1.0, adapters=(*wanted.job.adapters, use)))


def _given(job: Job) -> np.ndarray:
    """The picture that a job starts from, RGB of the job's size."""
    return pixels.cover(pixels.flatten(job.image), job.extent).array


# --- where words go -----------------------------------------------------------------------------------------------------

def laid_out(words: Sequence[str], picture: np.ndarray, font: str, boards: bool = True) -> tuple[Sign, ...]:
    """One sign a word, in reading order, without overlap, in the calmest part of the picture."""
    extent = Extent(picture.shape[1], picture.shape[0])
    unit = [measure(Text(word, font, 100)).ink for word in words]
    boxes = lined_up([(1.25 * (x1 - x0), 1.45 * (y1 - y0)) for x0, y0, x1, y1 in unit], extent, 0.8 if len(words) > 1 else 0.6)
    boxes = apart(_moved_to_calm(boxes, picture), extent)
    return tuple(sign_in(word, font, box, picture, boards) for word, box in zip(words, boxes))


def _moved_to_calm(boxes: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """All boxes up or down together to where the picture has the least edges under them; ties go to the middle."""
    height = picture.shape[0]
    low, high = 0.05 * height - boxes[:, 1].min(), 0.95 * height - boxes[:, 3].max()
    shifts = np.linspace(low, max(low, high), 9)
    restless = [np.mean([edge_energy(picture, tuple(box + [0, dy, 0, dy])) for box in boxes]) + 1e-3 * abs(dy) for dy in shifts]
    dy = shifts[int(np.argmin(restless))]
    return boxes + [0, dy, 0, dy]


def sign_in(word: str, font: str, box: Sequence[float], picture: np.ndarray, boards: bool = True, angle_deg: float = 0.0) -> Sign:
    """A sign that fills a box: letters and board in colours of the picture that are read on each other."""
    x0, y0, x1, y1 = (float(v) for v in box)
    text = fitted(Text(word, font, 20), (x1 - x0) / 1.25, (y1 - y0) / 1.45, most_lines=1)
    if text is None:
        raise BadInput(f'"{word}" does not fit its box.', "Make the box larger.")
    part = picture[max(0, round(y0)):round(y1) + 1, max(0, round(x0)):round(x1) + 1]
    under = part.reshape(-1, 3).mean(0) if part.size else np.full(3, 128.0)
    ink, board = _colours(float(under.mean()), boards)
    colour = lambda rgb: f"#{bytes(int(v) for v in rgb).hex()}"
    return Sign(replace(text, width_px=0.0, colour=colour(ink)), (x0 + x1) / 2, (y0 + y1) / 2, angle_deg, colour(board) if boards else "", "rounded")


def _colours(brightness: float, boards: bool) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(letters, board) on a part of that mean brightness. Without a board dark letters are near to what the control knows as nothing, so
    bright ground gets red ones."""
    if boards:
        return ((40, 42, 60), (250, 244, 226)) if brightness <= 128 else ((252, 248, 236), (44, 62, 110))
    return ((255, 255, 255) if brightness < 190 else (196, 40, 52)), (0, 0, 0)


# --- proofreading -------------------------------------------------------------------------------------------------------

def proofread(render: Render, wanted: Wanted, done: Result, signs: Sequence[Sign], read: Reader) -> Iterator[tuple[Result, tuple[Sign, ...]]]:
    """Misread words painted again with new seeds, one by one; a try is taken when its word is read with fewer edits, none of the others
    with more, and the ring around it changes by less than RING_CHANGE."""
    for turn in range(ROUNDS):
        faults = misread(done.pixels[0], signs, read)
        if not any(faults):
            return
        for i in [k for k, edits in enumerate(faults) if edits]:
            for k in range(TRIES):
                tried = paint_words(render, wanted, done.pixels[0][..., :3], [signs[i]], wanted.job.seeds[0] + 101 * (turn * TRIES + k + 1) + i)
                after = misread(tried.pixels[0], signs, read)
                if better(faults, after, i) and ring_change(done.pixels[0], tried.pixels[0], signs[i]) < RING_CHANGE:
                    done, faults = tried, after
                    yield done, tuple(signs)
                    break


def better(before: Sequence[int], after: Sequence[int], i: int) -> bool:
    """Word i is nearer, and no other is further off."""
    return after[i] < before[i] and all(a <= b for k, (a, b) in enumerate(zip(after, before)) if k != i)


def misread(picture: np.ndarray, signs: Sequence[Sign], read: Reader) -> list[int]:
    """Edits between each sign's word and what is read there; all of its letters where nothing is."""
    words = [sign.text.words for sign in signs]
    found = paired([(word, sign.box) for word, sign in zip(words, signs)], read(np.ascontiguousarray(picture[..., :3])))
    return [distance(plain(word), plain(line.words) if line else "") for word, line in zip(words, found)]


def ring_change(before: np.ndarray, after: np.ndarray, sign: Sign) -> float:
    """Mean change around a sign's free box, as a share of 255."""
    extent = Extent(before.shape[1], before.shape[0])
    free = max(1, round(FREE_PX * min(before.shape[:2]) / 256))
    inner = room([sign], extent)
    ring = grown(inner, free + RING_PX) & ~grown(inner, free)
    return float(np.abs(before[..., :3].astype(float) - after[..., :3])[ring].mean() / 255) if ring.any() else 0.0


# --- crisp --------------------------------------------------------------------------------------------------------------

def crisp(sign: Sign, picture: np.ndarray) -> Text:
    """The word as type in the colour that it was painted in: typesetting, not painting. The colour is the one among the box's main colours
    that stands out most from the commonest, moved to black or white where that is not read."""
    x0, y0, x1, y1 = (max(0, round(v)) for v in sign.box)
    part = np.ascontiguousarray(picture[y0:y1 + 1, x0:x1 + 1, :3])
    main = main_colours(np.dstack([part, np.full(part.shape[:2], 255, np.uint8)]), 3)
    ink = max(main[1:], key=lambda c: float(contrast(c, main[0])))
    if contrast(ink, main[0]) < ENOUGH:
        ink = max((np.array((16, 18, 24)), np.array((255, 255, 255))), key=lambda c: float(contrast(c, main[0])))
    return replace(sign.text, colour=f"#{bytes(int(v) for v in ink.clip(0, 255)).hex()}")
