"""A photo, a picture or a scan becomes strokes on the page's canvas.

What is a drawing already is read as one, line by line; of anything else an annotator (a percept) finds the lines.
"""
from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import BadInput, StudioError
from models.lines import joined, pruned, strokes_of, thinned
from models.weights import locate
from studio.sketch import pairs
from studio.sketch.scan import ink_of, lines_of, linked, outlines_of

CANVAS_PX = 512
FINE = 2                                             # drawings are read at so many times the size of the canvas
MAX_BYTES, MAX_PX = 64 * 2 ** 20, 100_000_000        # as studio/live/page/pictures.js
MAX_STROKES = 2000
FIRST = "lines"                                      # the annotator that needs nothing
NEAR_PX = 0.6                                        # how far a stroke may stray from the line that was found, on the canvas
SMOOTH_PX = 1.2
BESIDE_PX, OUTLINED_SHARE = 3, 0.6                   # how far from an outline its sides are found; how much of what is found that must be
FAN_PX = 10                                          # side branches that ridges have at the round end of a soft line
UNREADABLE = ("This cannot be read as a picture. It may be damaged.", "Use a PNG, JPEG or WebP file.")


@dataclass(frozen=True)
class Found:
    """`strokes`: float [n, 2] each, (x, y) on the canvas, longest first; `note`: what a person should know of them, "" = nothing."""
    strokes: list[np.ndarray]
    note: str = ""


def annotators(engine: Any) -> list[tuple[str, str]]:
    """(id, title) of the percepts that see lines and whose weights are on this machine; the one that needs none is first."""
    cache_dir = engine.registry.cache_dir
    here = [(spec.id, spec.title) for spec in engine.catalog.percepts.values()
            if spec.sees == "lines" and _is_here(spec.files, cache_dir)]
    return sorted([*here, *pairs.readers(engine)], key=lambda one: one[0] != FIRST)


def _is_here(files: Sequence[Any], cache_dir: Any) -> bool:
    try:
        return all(locate(file, cache_dir) for file in files)
    except StudioError:
        return False


def make_lines(engine: Any) -> Callable[[Any], dict[str, Any]]:
    """The page's server function `lines`: {"picture": data URL, "how": annotator id, "base": the chosen model} -> {"strokes": [[x0, y0, x1, y1, ...], ...],
    "note"} on the canvas, or {"error": sentence}."""
    def lines(asked: Any) -> dict[str, Any]:
        try:
            asked = asked if isinstance(asked, dict) else {}
            found = strokes_from(engine, bytes_of(asked.get("picture")), str(asked.get("how") or FIRST), str(asked.get("base") or ""))
        except StudioError as error:
            return {"error": str(error)}
        return told(found)
    return lines


def told(found: Found) -> dict[str, Any]:
    """As the page takes it."""
    return {"strokes": [stroke.round(1).ravel().tolist() for stroke in found.strokes], "note": found.note}


def bytes_of(url: object) -> bytes:
    """The bytes that a base64 data URL carries. Raises BadInput."""
    head, _, body = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise BadInput(*UNREADABLE)
    _check_bytes(len(body) * 3 // 4)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(*UNREADABLE) from None


def _check_bytes(count: int) -> None:
    if count > MAX_BYTES:
        raise BadInput(f"The picture has {count / 2 ** 20:.0f} MB; up to {MAX_BYTES // 2 ** 20} MB can be loaded.", "Make it smaller and try again.")


def strokes_from(engine: Any, picture: bytes | Image.Image, how: str = FIRST, base: str = "") -> Found:
    """The lines of a picture, laid whole and centred on the canvas; base: that a pair reads with, "" = the first that fits. Raises
    StudioError for what is no picture, and for an annotator that is unknown or has no weights."""
    if not how.startswith(pairs.READ):
        engine.catalog.percept(how)
    image = opened(picture) if isinstance(picture, bytes) else picture
    fine = fitted(image, CANVAS_PX * FINE)
    ink = ink_of(fine)
    paths = _seen(engine, fine, how, base) if ink is None else [(path, 1 / FINE) for path in lines_of(ink)]
    strokes = [laid(path, scale, fine.shape) for path, scale in paths[:MAX_STROKES]]
    return Found(strokes, _note(len(paths), ink is not None))


def _note(count: int, drawing: bool) -> str:
    if count == 0:
        return "No lines were found in this picture."
    if count > MAX_STROKES:
        return f"{count:,} lines were found; the {MAX_STROKES:,} longest were taken."
    return "Read as a drawing: one stroke for each line." if drawing else ""


# --- pictures ----------------------------------------------------------------------------------------------------------

def opened(data: bytes) -> Image.Image:
    """An encoded PNG, JPEG or WebP, upright by its EXIF orientation. Its size is read and judged before it is decoded."""
    _check_bytes(len(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            if image.width * image.height > MAX_PX:
                raise BadInput(f"The picture is {image.width:,} x {image.height:,} pixels; up to {MAX_PX // 10 ** 6} megapixels can be loaded.",
                               "Make it smaller and try again.")
            image.draft("RGB", (2 * FINE * CANVAS_PX,) * 2)          # lets a JPEG be decoded at a fraction of its size
            return ImageOps.exif_transpose(image)
        except Image.DecompressionBombError:
            raise BadInput(f"The picture is far larger than {MAX_PX // 10 ** 6} megapixels, which is the most.", "Make it smaller and try again.") from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise BadInput(*UNREADABLE) from None


def fitted(image: Image.Image, side_px: int) -> np.ndarray:
    """A picture whose longer side is `side_px`, over white, uint8 [H, W, 3]; the paper beside it is left out, so that its border is no
    line."""
    scale = side_px / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    clear = image.has_transparency_data
    try:
        if image.mode.startswith("I"):               # 16 bits, which convert() would cut off instead of scaling
            image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
        image = image.convert("RGBA" if clear else "RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    except (OSError, SyntaxError, ValueError):       # pixels are decoded only here
        raise BadInput(*UNREADABLE) from None
    return np.asarray(Image.alpha_composite(Image.new("RGBA", size, "white"), image).convert("RGB") if clear else image)


# --- lines -------------------------------------------------------------------------------------------------------------

def _seen(engine: Any, fine: np.ndarray, how: str, base: str) -> list[tuple[np.ndarray, float]]:
    """What an annotator finds in a picture at FINE times the canvas, longest first: (stroke, canvas pixels of one of its pixels).

    Where most of it lies along dark outlines, as in a comic, their middle is taken instead of their two sides.
    """
    size = tuple(max(1, side // FINE) for side in fine.shape[1::-1])
    small = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    thin = thin_lines(pairs.read(engine, how, small, base) if how.startswith(pairs.READ) else engine.look(how, small))
    outlines = outlines_of(fine)
    if outlines is None:
        return [(path, 1.0) for path in joined(strokes_of(thin))]
    reach = 2 * round(outlines.width_px / 2 + BESIDE_PX * FINE) + 1
    beside = cv2.dilate(outlines.mask.astype(np.uint8), np.ones((reach, reach), np.uint8))
    beside = cv2.resize(beside, size, interpolation=cv2.INTER_NEAREST) > 0
    if not thin.any() or beside[thin].mean() < OUTLINED_SHARE:
        return [(path, 1.0) for path in joined(strokes_of(thin))]
    paths = [(path, 1 / FINE) for path in lines_of(outlines)] + [(path, 1.0) for path in joined(strokes_of(thin & ~beside))]
    return sorted(paths, key=lambda one: len(one[0]) * one[1], reverse=True)


def thin_lines(seen: np.ndarray) -> np.ndarray:
    """uint8 [H, W], white lines on black, soft or hard, of any width -> bool [H, W] one pixel wide.

    Of soft lines the ridges are kept: pixels that no neighbour outshines on either side in one of four directions.
    """
    if not ((seen > 0) & (seen < 255)).any():
        return thinned(seen > 0)
    soft = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 1.5)
    full = float(np.percentile(soft, 99.5))
    across = [np.eye(3), np.fliplr(np.eye(3)), np.outer([0, 1, 0], [1, 1, 1]), np.outer([1, 1, 1], [0, 1, 0])]
    ridge = np.any([cv2.dilate(soft, one.astype(np.uint8)) == soft for one in across], 0) & (soft > max(10.0, 0.2 * full))
    ridge = linked(ridge, soft > max(20.0, 0.45 * full))
    whole = cv2.morphologyEx(ridge.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return pruned(thinned(whole > 0), FAN_PX)


def laid(path: np.ndarray, scale: float, shape: tuple[int, ...]) -> np.ndarray:
    """A path of pixels as a stroke on the canvas: scaled, moved to where a picture of `shape` (at FINE times the canvas) lies on it,
    freed of the steps of the pixel grid, and with as few points as stay within NEAR_PX (Douglas & Peucker 1973). Rings are closed."""
    margin = (CANVAS_PX - np.array(shape[1::-1]) / FINE) / 2
    ring = len(path) > 12 and np.abs(path[0] - path[-1]).max() <= 2
    points = (_smoothed(path.astype(np.float32), SMOOTH_PX / scale, ring) + 0.5) * scale + margin
    few = cv2.approxPolyDP(points.astype(np.float32).reshape(-1, 1, 2), NEAR_PX, ring).reshape(-1, 2).clip(0, CANVAS_PX)
    return np.concatenate([few, few[:1]]) if ring else few


def _smoothed(points: np.ndarray, sigma_px: float, ring: bool) -> np.ndarray:
    """Blurred along the path. The ends of an open one stay where they are, because beyond them it goes on point-mirrored."""
    reach = min(len(points) - 1, round(3 * sigma_px))
    if reach < 2:
        return points
    before, after = points[reach:0:-1], points[-2:-reach - 2:-1]
    longer = [points[-reach:], points, points[:reach]] if ring else [2 * points[0] - before, points, 2 * points[-1] - after]
    weights = cv2.getGaussianKernel(2 * reach + 1, sigma_px)[:, 0]
    return np.stack([np.convolve(axis, weights, "valid") for axis in np.concatenate(longer).T], 1)
