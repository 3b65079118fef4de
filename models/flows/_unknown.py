"""Paint what is not known of a canvas, whatever its size, and give back what is known bit for bit.

The whole canvas is painted once at the size a base is used to, so that it is one picture; that is enlarged, sharpened in tiles where
something new lies, and the known pixels are laid over it. Large canvases are uint8 throughout and worked on in strips.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from models.catalog import Abilities
from models.contracts import Cancel, Progress
from models.errors import BadInput, Cancelled
from models.flows import Render
from models.flows._tiles import Tiles, Window
from models.job import AdapterUse, Extent, Job, Picture, Result
from models.spec import EMBEDDED

GRANTS, HOLES = "outpainting", "inpaint"             # the adapter for this is found by what it grants, or by the control that it is
WITHOUT = 0.75                                       # how far up the noise a base starts that cannot see what is known around
MOST_FEATHER_PX = 256
ALL = 0.999                                          # of a pixel: less than that is known = it is painted
BLURS = (2.0, 6.0, 14.0)                             # px: what is known runs out into the unknown ever softer
SHARPENED = (1.75, 4.0)                              # times the base's own size: in between tiles are sharpened
TILE_OVERLAP = 1 / 4
FACTORS = (8, 4, 2)                                  # of whoever enlarges
STRIP_PX = 512
SEAM_PX, TONE_PX, DRIFT = 4, 32.0, 44.0              # the engine's own feather; how far tones are matched; of 255, more is drawn
NEAR = 0.3                                           # of a pixel at the very seam: so much of it is newly painted
Enlarge = Callable[[Picture, int], Picture]


@dataclass(frozen=True)
class Hand:
    """How a base paints beside something. native_px, multiple_px, min_px, max_px: its sizes. adapter: id of what makes it see what is
    known, "" = none; whole: that is shown the whole canvas, as controls are, not the known part and its place. change: how far up the
    noise it starts. detail: the same for the tiles, 0 = none. feather_px: how far inside what is known the seam may reach.
    enlarge(picture, 2 | 4 | 8): who enlarges what was painted small, None = cubic."""
    native_px: int = 256
    multiple_px: int = 16
    min_px: int = 64
    max_px: int = 512
    adapter: str = ""
    change: float = WITHOUT
    detail: float = 0.3
    feather_px: int = 8
    whole: bool = False
    enlarge: Enlarge | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.feather_px <= MOST_FEATHER_PX:
            raise BadInput(f"A seam of {self.feather_px} px is outside 0..{MOST_FEATHER_PX} px.")
        if not (0 < self.change <= 1 and 0 <= self.detail <= 1):
            raise BadInput(f"Change {self.change} and detail {self.detail} lie in 0..1.")


def suited(able: Abilities, feather_px: int = 8, enlarge: Enlarge | None = None) -> Hand:
    """The hand of a base, with the adapter that is there for it. Raises BadInput for a base that takes no mask."""
    spec = able.spec
    if not able.can("inpainting"):
        raise BadInput(able.why_not("inpainting"), "Choose another base.")
    own, controls = able.granted.get(GRANTS, ""), able.controls.get(HOLES, ())
    adapter = own or next(iter(controls), "")
    change = 1.0 if adapter or spec.arch != EMBEDDED else WITHOUT
    return Hand(spec.native_px[0], spec.multiple_px, spec.min_px, spec.max_px, adapter, change, 0.3, feather_px, bool(adapter and not own), enlarge)


@dataclass(frozen=True, eq=False)
class Canvas:
    """rgb: uint8 [H, W, 3], anything where nothing is known. known: bool [H, W]. start: what painting starts from where nothing is known,
    uint8 [H, W, 3]; None = the colours around."""
    rgb: np.ndarray
    known: np.ndarray
    start: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.rgb.shape[1], self.rgb.shape[0]


def seen_extent(hand: Hand, width: int, height: int) -> Extent:
    """A canvas as the base paints it: its shape, about the area the base is used to."""
    scale = min((hand.native_px ** 2 / (width * height)) ** 0.5, hand.max_px / max(width, height))
    step, least = hand.multiple_px, -(-hand.min_px // hand.multiple_px) * hand.multiple_px
    fit = lambda side: min(hand.max_px // step * step, max(least, round(side * scale / step) * step))
    return Extent(fit(width), fit(height))


def paint_unknown(render: Render, job: Job, canvas: Canvas, hand: Hand, progress: Progress, cancel: Cancel) -> Iterator[tuple[np.ndarray, Result]]:
    """(the whole canvas uint8 [H, W, 3], the result of its small view) for every seed of `job`."""
    small = seen_small(canvas, seen_extent(hand, *canvas.size))
    progress(0, 1, "painting the whole")
    wanted = small_job(job, canvas, small, hand)
    for number, seed in enumerate(job.seeds):
        own = wanted.but(seeds=(seed,), each=wanted.each[number:number + 1])
        painted = render(own)
        if cancel():
            raise Cancelled()
        rgb = matched(np.ascontiguousarray(painted.pixels[0][..., :3]), small)
        whole = enlarged(rgb, canvas.size, hand.enlarge)
        scale = canvas.size[0] / rgb.shape[1]
        if hand.detail and SHARPENED[0] < scale <= SHARPENED[1]:
            whole = sharpened(render, own, Canvas(whole, canvas.known), canvas.rgb, hand, progress, cancel)
        progress(1, 1, "joining")
        yield pasted(whole, canvas, hand.feather_px), painted


def seen_small(canvas: Canvas, extent: Extent) -> Canvas:
    """The canvas at another size, what is unknown filled by what lies next to it; a pixel with any unknown part is unknown."""
    size = extent.width, extent.height
    if size == canvas.size:
        rgb, known = canvas.rgb, canvas.known
    else:
        way = cv2.INTER_AREA if extent.width * extent.height < canvas.known.size else cv2.INTER_LINEAR
        share = cv2.resize(canvas.known.astype(np.uint8) * 255, size, interpolation=way).astype(np.float32) / 255
        blank = np.where(canvas.known[..., None], canvas.rgb, np.uint8(0))
        rgb = cv2.resize(blank, size, interpolation=way) / np.maximum(share, 1e-3)[..., None]
        rgb, known = rgb.clip(0, 255).round().astype(np.uint8), share > ALL
        if not known.any():                          # thinner than one pixel here
            known = share >= share.max()
    if canvas.start is not None:
        begun = cv2.resize(canvas.start, size, interpolation=cv2.INTER_AREA if size[0] < canvas.size[0] else cv2.INTER_LINEAR)
        return Canvas(np.where(known[..., None], rgb, begun), known)
    return Canvas(filled(rgb, known), known)


def filled(rgb: np.ndarray, known: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] whose unknown pixels take the nearest known colour, the softer the farther away."""
    if known.all() or not known.any():
        return rgb
    away, nearest = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colour_of = np.zeros((nearest.max() + 1, 3), np.float32)
    colour_of[nearest[known]] = rgb[known]
    out = colour_of[nearest]
    soft = out
    for blur in BLURS:
        soft = cv2.GaussianBlur(soft, (0, 0), blur)
        out = out + (soft - out) * np.clip(away / (2 * blur) - 0.5, 0, 1)[..., None]
    return np.where(known[..., None], rgb, out.clip(0, 255).round().astype(np.uint8))


def matched(rgb: np.ndarray, small: Canvas) -> np.ndarray:
    """uint8 [H, W, 3] whose new part takes the tone of what is known beside it, less and less with the distance: a base's own colours drift a
    little, which shows as a frame. Steps larger than DRIFT are drawn ones and stay."""
    if small.known.all() or not small.known.any():
        return rgb
    away, nearest = cv2.distanceTransformWithLabels((~small.known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    known = small.known.astype(np.float32)
    soft = cv2.GaussianBlur(small.rgb * known[..., None], (0, 0), 1.5) / np.maximum(cv2.GaussianBlur(known, (0, 0), 1.5), 1e-3)[..., None]
    colour_of = np.zeros((nearest.max() + 1, 3), np.float32)
    colour_of[nearest[small.known]] = soft[small.known]
    step = colour_of[nearest] - rgb
    beside = ((away > SEAM_PX) & (away <= 2.5 * SEAM_PX) & (np.abs(step).max(2) <= DRIFT)).astype(np.float32)
    drift = cv2.GaussianBlur(step * beside[..., None], (0, 0), TONE_PX / 2) / (cv2.GaussianBlur(beside, (0, 0), TONE_PX / 2) + 1e-3)[..., None]
    share = (NEAR + (1 - NEAR) * np.minimum(away / SEAM_PX, 1)) * np.exp(-np.maximum(away - SEAM_PX, 0) / TONE_PX) * (away > 0)
    return (rgb + drift * share[..., None]).clip(0, 255).round().astype(np.uint8)


def small_job(job: Job, canvas: Canvas, small: Canvas, hand: Hand) -> Job:
    """The job of the whole at the base's size. An adapter also gets what is known in as much detail as it can see."""
    extent = Extent(small.size[0], small.size[1])
    use = whole_use(small, hand) if hand.whole else anchor_use(canvas, hand) if hand.adapter else None
    uses = (*job.adapters, use) if use else job.adapters
    return job.but(extent=extent, image=Picture.from_array(small.rgb), mask=mask_of(~small.known), strength=hand.change, adapters=uses, regions=())


def anchor_use(canvas: Canvas, hand: Hand) -> AdapterUse:
    """What is known, cut out of the canvas at the base's size as RGBA (alpha 0 = unknown), and where it lies: `words` are its box as
    shares of the canvas, "x0 y0 x1 y1"."""
    ys, xs = np.flatnonzero(canvas.known.any(1)), np.flatnonzero(canvas.known.any(0))
    y0, y1, x0, x1 = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    part = seen_small(Canvas(canvas.rgb[y0:y1, x0:x1], canvas.known[y0:y1, x0:x1]), Extent(hand.native_px, hand.native_px))
    rgba = np.dstack([part.rgb, part.known.astype(np.uint8) * 255])
    width, height = canvas.size
    return AdapterUse(hand.adapter, 1.0, Picture.from_array(rgba), words=" ".join(f"{v:.5f}" for v in (x0 / width, y0 / height, x1 / width, y1 / height)))


def whole_use(small: Canvas, hand: Hand) -> AdapterUse:
    """The small view as RGBA, alpha 0 = unknown."""
    return AdapterUse(hand.adapter, 1.0, Picture.from_array(np.dstack([small.rgb, small.known.astype(np.uint8) * 255])))


def mask_of(unknown: np.ndarray) -> Picture:
    return Picture.from_array(unknown.astype(np.uint8) * 255)


def enlarged(rgb: np.ndarray, size: tuple[int, int], enlarge: Enlarge | None) -> np.ndarray:
    """uint8 [h, w, 3] at another size (width, height), by `enlarge` as far as its factors go."""
    if size == rgb.shape[1::-1]:
        return rgb
    times = max(size[0] / rgb.shape[1], size[1] / rgb.shape[0])
    factor = next((f for f in FACTORS if f / 2 < times), 1) if enlarge else 1
    if factor > 1:
        rgb = enlarge(Picture.from_array(rgb), factor).array[..., :3]
    shrinking = rgb.shape[1] > size[0]
    return cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)


def sharpened(render: Render, job: Job, whole: Canvas, rgb: np.ndarray, hand: Hand, progress: Progress, cancel: Cancel) -> np.ndarray:
    """The enlarged canvas painted lightly again in tiles of the base's own size, those that hold something unknown; `rgb` holds the
    known pixels."""
    height, width = whole.known.shape
    tiles = Tiles(height, width, tile=hand.native_px, overlap=round(hand.native_px * TILE_OVERLAP))
    done = 0

    def made(window: Window) -> np.ndarray:
        nonlocal done
        if cancel():
            raise Cancelled()
        done += 1
        progress(done, len(tiles) + 1, "sharpening")
        top, left, high, wide = window
        here = slice(top, top + high), slice(left, left + wide)
        known = whole.known[here]
        if known.all():
            return rgb[here].astype(np.float32)
        part = Canvas(np.where(known[..., None], rgb[here], whole.rgb[here]), known)
        return _again(render, job, part, hand).astype(np.float32)

    out = np.empty_like(whole.rgb)
    for top, band in tiles.joined(made):
        out[top:top + len(band)] = band.round().clip(0, 255)
    return out


def _again(render: Render, job: Job, part: Canvas, hand: Hand) -> np.ndarray:
    """One tile, uint8 [h, w, 3], what is known in it held."""
    extent = seen_extent(replace(hand, native_px=min(hand.native_px, max(part.size))), *part.size)
    size = extent.width, extent.height
    rgb = cv2.resize(part.rgb, size, interpolation=cv2.INTER_LINEAR)
    known = cv2.resize(part.known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    again = job.but(extent=extent, image=Picture.from_array(rgb), mask=mask_of(~known), strength=hand.detail, prompt="", each=(),
                    adapters=tuple(use for use in job.adapters if use.id != hand.adapter))
    return cv2.resize(np.ascontiguousarray(render(again).pixels[0][..., :3]), part.size, interpolation=cv2.INTER_LINEAR)


def pasted(whole: np.ndarray, canvas: Canvas, feather_px: int) -> np.ndarray:
    """The known pixels over the painted canvas, bit for bit but for a soft seam of `feather_px` inside them."""
    out = np.where(canvas.known[..., None], canvas.rgb, whole)
    if feather_px:
        for rows in strips(out.shape[0]):
            more = slice(max(0, rows.start - feather_px - 1), min(out.shape[0], rows.stop + feather_px + 1))
            depth = depth_of(canvas.known[more])[rows.start - more.start:rows.stop - more.start]
            seam = canvas.known[rows] & (depth <= feather_px)
            if seam.any():
                share = smooth(depth[seam] / (feather_px + 1))[:, None]
                out[rows][seam] = (canvas.rgb[rows][seam] * share + whole[rows][seam] * (1 - share)).round().astype(np.uint8)
    return out


def depth_of(known: np.ndarray) -> np.ndarray:
    """float32 [H, W]: how far from the unknown a known pixel lies, 1 next to it."""
    if known.all():
        return np.full(known.shape, np.float32(1e6))
    return cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 5)


def smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def strips(height: int) -> Iterator[slice]:
    for top in range(0, height, STRIP_PX):
        yield slice(top, min(height, top + STRIP_PX))


def result_of(rgba: np.ndarray, painted: Result, notes: tuple[str, ...] = (), **seen: Any) -> Result:
    """[H, W, C] as the Result of a flow."""
    return Result(rgba[None], painted.job, painted.timings, (*painted.notes, *notes), dict(seen))
