"""An advertisement from a product's cut-out and a few lines of words: several proposals, each a stack of layers.

After PAID (2025, arXiv 2501.14316): first the words for a place, then the layout, then the place is painted around the product, then type.
The place is painted after the layout, so it can be calm where the words will stand: of four seeds the calmest is taken. Words never go
through the autoencoder: they are text layers, in a colour that is read on what lies under them, or on a plate where nothing is.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models import pixels
from models.layers.compose import flatten
from models.errors import BadInput
from models.flows import Render
from models.flows._cutout import SOLID, box_of
from models.flows._places import main_colours
from models.flows.behind import Behind, behind, paint_place
from models.job import Extent, Job, Picture
from models.words.legible import ENOUGH, best_ink, edge_energy, worst_contrast
from models.words.lettering import check, fonts, letter, measure
from models.words.posters import Poster, layouts, parts_of
from models.layers.stack import Layer, Placement, Stack, Text

MOST_TAGLINES, MOST_COUNT, SEEDS = 4, 6, 4
MOST_CHARS = 160
FONTS = (("anton", "inter-bold"), ("fredoka", "nunito-extrabold"), ("bodoni-moda", "eb-garamond"), ("roboto-slab-extrabold", "roboto-slab"),
         ("inter-black", "inter-bold"), ("bebas-neue", "oswald"))
WHITE, NIGHT = (255, 255, 255), (20, 22, 28)
SAFE = 1.06                                          # contrast is asked for with so much to spare, for the rounding of other programs
SHADOW, SQUASH = 0.42, 0.16                          # of a contact shadow: its opacity, its height as a share of its width
VEILS = (0.0, 0.1, 0.2, 0.3, 0.4)                    # how much of white or black may be laid over a background so that words are read on it
PLATE_PAD = 0.018                                    # of the shorter side, around words that still need a plate; less than half the gap


@dataclass(frozen=True)
class Brief:
    """job: base, style, steps, seed, and the size that the base paints for `extent`, the advertisement's own. places: words for the
    background of each proposal, used in turn. around: paint the place around the product (models.flows.behind) instead of without it."""
    job: Job
    product: Picture
    taglines: tuple[str, ...]
    extent: Extent
    places: tuple[str, ...]
    count: int = 3
    logo: Picture | None = None
    empty: bool = True
    around: bool = False

    def __post_init__(self) -> None:
        for name, picture in (("product", self.product), ("logo", self.logo)):
            if picture is not None and (picture.channels != 4 or not (picture.array[..., 3] >= SOLID).any()):
                raise BadInput(f"The {name} has no visible pixels with an outline.", "Cut it out first.")
        if (self.product.array[..., 3] >= SOLID).all():
            raise BadInput("The product fills its whole picture: it has no outline.", "Cut it out first.")
        if not 1 <= len(self.taglines) <= MOST_TAGLINES or not all(words.strip() for words in self.taglines):
            raise BadInput(f"An advertisement has 1 to {MOST_TAGLINES} lines of words.")
        if max(map(len, self.taglines)) > MOST_CHARS:
            raise BadInput(f"A line has {max(map(len, self.taglines))} characters; {MOST_CHARS} is the most.", "Say it shorter.")
        if not 1 <= self.count <= MOST_COUNT or not self.places:
            raise BadInput(f"1 to {MOST_COUNT} proposals can be made at once.")


@dataclass(frozen=True)
class AdLayer:
    """kind: background, veil, shadow, product, plate, text, logo."""
    kind: str
    name: str
    picture: Picture
    place: Placement
    text: Text | None = None
    opacity: float = 1.0
    blend: str = "normal"
    job: Job | None = None


@dataclass(frozen=True)
class Ad:
    """One proposal, its layers bottom to top; `words`: those of its place; contrast: the least of any text with what lies under it."""
    extent: Extent
    layers: tuple[AdLayer, ...]
    poster: Poster
    words: str
    contrast: float


def advert(render: Render, brief: Brief) -> Iterator[Ad]:
    """Yields brief.count proposals, fewer where so many layouts cannot be had. Raises BadInput when the words fit in no layout."""
    product, found = trimmed(brief.product), []
    logo = trimmed(brief.logo) if brief.logo else None
    for number in range(brief.count):
        parts = parts_of((product.width, product.height), brief.taglines, pair_for(brief.taglines, number), logo and (logo.width, logo.height))
        some = layouts(brief.extent, parts, brief.count, brief.job.seeds[0])
        if not some:
            raise BadInput(f"These words do not fit beside the product on {brief.extent} px.", "Say it shorter, or choose another size.")
        if number >= len(some) + len(FONTS) - 1:
            return
        poster = next((p for p in some if all(p.side != q.side or p.align != q.align for q in found)), some[number % len(some)])
        found.append(poster)
        yield made(render, brief, poster, product, logo, brief.places[number % len(brief.places)])


def pair_for(taglines: tuple[str, ...], number: int) -> tuple[str, str]:
    """(headline font, text font), another pair for each number; only ones that have all the letters. Raises BadInput where none has."""
    words = "".join(taglines)
    able = [pair for pair in FONTS if not any(fonts()[font].lacks(words) for font in pair)]
    pair = able[number % len(able)] if able else ("inter-bold", "inter")
    for line in taglines:
        check(Text(line, pair[1], 20))
    return pair


def made(render: Render, brief: Brief, poster: Poster, product: Picture, logo: Picture | None, words: str) -> Ad:
    """The layers of one proposal."""
    standing = AdLayer("product", "Product", product, _placed(poster.boxes[0]))
    ground = shadow(product, standing.place)
    background = painted(render, brief, poster, standing, words)
    veiled, ink = read_on(poster, background, ground, tints(product)[0])
    under = drawn(brief.extent, [background, *veiled, ground])[..., :3]
    above, contrast = [], 21.0
    for i, part in enumerate(poster.parts):
        if part.is_text:
            layers, least = typeset(poster, i, under, ink, product)
            above += layers
            contrast = min(contrast, least)
        elif part.kind == "logo":
            above.append(AdLayer("logo", "Logo", logo, _placed(poster.boxes[i])))
    return Ad(brief.extent, (background, *veiled, ground, standing, *above), poster, words, contrast)


def read_on(poster: Poster, background: AdLayer, ground: AdLayer, deep: tuple[int, int, int]) -> tuple[list[AdLayer], tuple[int, int, int]]:
    """(the thinnest veil over the background with which one ink is read under all the words, [] where none is needed; that ink). When even
    the thickest is too thin: no veil, and the ink that is read best; its words then get plates."""
    boxes = [tuple(int(v) for v in poster.boxes[i]) for i, part in enumerate(poster.parts) if part.is_text and part.kind != "call"]
    best = (0.0, WHITE)
    for strength in VEILS:
        for ink, colour in ((deep, WHITE), (WHITE, NIGHT), (NIGHT, WHITE)):
            veil = [_veil(poster.extent, colour, strength)] if strength else []
            under = drawn(poster.extent, [background, *veil, ground])[..., :3]
            least = min(worst_contrast(np.array(ink), under[max(0, y0):y1 + 1, max(0, x0):x1 + 1]) for x0, y0, x1, y1 in boxes)
            if least >= ENOUGH * SAFE:
                return veil, ink
            best = max(best, (least, ink)) if not strength else best
    return [], best[1]


def _veil(extent: Extent, colour: tuple[int, int, int], strength: float) -> AdLayer:
    """One flat colour over the whole canvas; its picture is small, since it is the same everywhere."""
    rgba = np.full((8, 8, 4), (*colour, 255), np.uint8)
    return AdLayer("veil", "Veil", Picture.from_array(rgba), _placed((0, 0, extent.width, extent.height)), opacity=strength)


# --- the place ----------------------------------------------------------------------------------------------------------

def painted(render: Render, brief: Brief, poster: Poster, product: AdLayer, words: str) -> AdLayer:
    """The background of the calmest of SEEDS seeds, grown to the canvas."""
    jobs = [brief.job.but(prompt=words, seeds=(brief.job.seeds[0] + k,)) for k in range(SEEDS)]
    tried = [(paint_place(render, job, brief.empty), job) for job in jobs]
    picture, job = min(tried, key=lambda pair: restlessness(pair[0], poster))
    if brief.around:
        *_, last = behind(render, Behind(job, for_painter(product, brief.extent, job.extent), empty=brief.empty))
        picture, job = last.pixels[0], last.job
    whole = pixels.cover(Picture.from_array(np.ascontiguousarray(picture[..., :3])), brief.extent)
    return AdLayer("background", "Background", pixels.with_alpha(whole), _placed((0, 0, brief.extent.width, brief.extent.height)), job=job)


def restlessness(rgb: np.ndarray, poster: Poster) -> float:
    """Mean edge energy of a background of any size under the words of a layout."""
    scale = rgb.shape[0] / poster.extent.height
    boxes = [poster.boxes[i] * scale for i, part in enumerate(poster.parts) if part.is_text]
    return float(np.mean([edge_energy(rgb, tuple(box)) for box in boxes]))


def stack_of(extent: Extent, layers: Sequence[AdLayer]) -> tuple[Stack, dict[str, Picture]]:
    """The layers as a stack, and its pictures."""
    made_ = tuple(Layer(f"ad{i}", layer.name, layer.picture.digest, layer.place, layer.opacity, layer.blend, text=layer.text)
                  for i, layer in enumerate(layers))
    return Stack(extent, made_), {layer.picture.digest: layer.picture for layer in layers}


def drawn(extent: Extent, layers: Sequence[AdLayer], scale: float = 1.0) -> np.ndarray:
    """The layers flattened, RGBA uint8 [H, W, 4]."""
    stack, pictures = stack_of(extent, layers)
    return flatten(stack, pictures, scale)


def for_painter(layer: AdLayer, extent: Extent, working: Extent) -> Picture:
    """A layer alone on a clear canvas of the painter's size."""
    return pixels.resize(Picture.from_array(drawn(extent, [layer], working.height / extent.height)), working)


def shadow(product: Picture, place: Placement) -> AdLayer:
    """A soft contact shadow: an ellipse as wide as the product's foot, under it."""
    alpha = product.array[..., 3]
    foot = np.flatnonzero((alpha[round(0.9 * alpha.shape[0]):] >= SOLID).any(0))
    left, right = (foot[0], foot[-1] + 1) if len(foot) else (0, alpha.shape[1])
    scale = place.width / alpha.shape[1]
    width = max(8, round(1.06 * (right - left) * scale))
    height, pad = max(6, round(SQUASH * width)), max(4, round(0.1 * width))
    mask = np.zeros((height + 2 * pad, width + 2 * pad), np.uint8)
    cv2.ellipse(mask, (mask.shape[1] // 2, mask.shape[0] // 2), (width // 2, height // 2), 0, 0, 360, 255, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), pad / 3)
    rgba = np.dstack([np.zeros((*soft.shape, 3), np.uint8), soft])
    x = place.x - place.width / 2 + (left + right) / 2 * scale
    return AdLayer("shadow", "Shadow", Picture.from_array(rgba), Placement(x, place.y + place.height / 2 - 0.3 * height, *soft.shape[::-1]), opacity=SHADOW)


# --- type ---------------------------------------------------------------------------------------------------------------

def typeset(poster: Poster, i: int, under: np.ndarray, ink: tuple[int, int, int], product: Picture) -> tuple[list[AdLayer], float]:
    """(the text layer of part i, above its plate if it needs one; the worst contrast of its colour with what lies under it)."""
    part, box, (dark, bright) = poster.parts[i], poster.boxes[i], tints(product)
    x0, y0, x1, y1 = (int(v) for v in (np.floor(box[0]), np.floor(box[1]), np.ceil(box[2]), np.ceil(box[3])))
    seen, out = under[max(0, y0):y1, max(0, x0):x1], []
    least = worst_contrast(np.array(ink), seen)
    if part.kind == "call":
        colour, _ = best_ink(seen.reshape(-1, 3).mean(0)[None], (dark, WHITE, NIGHT))
        ink, least = best_ink(np.array([colour]), (bright, WHITE, NIGHT) if sum(colour) < 384 else (dark, NIGHT))
        out.append(plate(box, colour))
    elif least < ENOUGH * SAFE:
        colour = WHITE if sum(ink) < 384 else NIGHT
        out.append(plate(box + np.array([-1, -1, 1, 1]) * PLATE_PAD * min(poster.extent.width, poster.extent.height), colour))
        least = worst_contrast(np.array(ink), np.array([colour]))
    return [*out, text_layer(poster.text(i, f"#{bytes(ink).hex()}"), poster.ink(i))], least


def tints(product: Picture) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """A deep and a pale tint of the product's strongest main colour."""
    colours = main_colours(product.array)
    strong = colours[np.argmax(colours.max(1) - colours.min(1))] / 255
    deep = 0.55 * strong / max(strong.max(), 1e-3) * 0.6 + 0.02
    return tuple(int(v) for v in (deep * 255).clip(0, 255)), tuple(int(v) for v in ((0.93 + 0.07 * strong) * 255).clip(0, 255))


def text_layer(text: Text, ink: tuple[float, float, float, float]) -> AdLayer:
    """Words whose ink fills the box `ink`."""
    rgba, block = letter(text), measure(text)
    left, top = ink[0] - block.ink[0], ink[1] - block.ink[1]
    name = text.words if len(text.words) <= 40 else text.words[:39] + "…"
    return AdLayer("text", name, Picture.from_array(rgba), Placement.at(left, top, rgba.shape[1], rgba.shape[0]), text)


def plate(box: np.ndarray, colour: tuple[int, int, int]) -> AdLayer:
    """A plain rounded plate that fills a box."""
    width, height = max(4, round(float(box[2] - box[0]))), max(4, round(float(box[3] - box[1])))
    radius, wide = round(min(0.28 * min(width, height), 0.02 * max(width, height) + 8)), 4
    big = np.zeros((height * wide, width * wide), np.uint8)
    r, w, h = radius * wide, width * wide - 1, height * wide - 1
    cv2.rectangle(big, (r, 0), (w - r, h), 255, -1)
    cv2.rectangle(big, (0, r), (w, h - r), 255, -1)
    for x, y in ((r, r), (w - r, r), (r, h - r), (w - r, h - r)):
        cv2.circle(big, (x, y), r, 255, -1)
    alpha = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA)
    rgba = np.dstack([np.broadcast_to(np.uint8(colour), (height, width, 3)), alpha])
    return AdLayer("plate", "Plate", Picture.from_array(rgba), Placement.at(float(box[0]), float(box[1]), width, height))


def trimmed(picture: Picture) -> Picture:
    """Without the clear rows and columns around it; its pixels stay as they are."""
    x0, y0, x1, y1 = box_of(picture.array[..., 3] > 0)
    return Picture.from_array(np.ascontiguousarray(picture.array[y0:y1, x0:x1]))


def _placed(box: np.ndarray | tuple[float, ...]) -> Placement:
    x0, y0, x1, y1 = map(float, box)
    return Placement.at(x0, y0, x1 - x0, y1 - y0)
