"""A picture as paths: few flat colours, each outlined by vtracer (visioncortex, MIT), which fits curves to the borders of pixel clusters.

Soft edges would become rings of in-between colours, so the picture is enlarged first, its colours are gathered into a few (k-means in
Lab) and its alpha is cut at one half; curves give the smoothness back.
"""
from __future__ import annotations

import io

import cv2
import numpy as np
import vtracer
from PIL import Image

from models.errors import BadInput
from models.job import Extent, Picture
from models.pixels import resize, with_alpha
from models.vector.vectors import Drawing, Shape, read, write

WORKING_PX = 768                                     # the longer side at which borders are followed
SAMPLES = 20_000
MOST_COLOURS = 32


def trace(picture: Picture, colours: int = 8, detail: float = 0.5) -> str:
    """SVG of the picture's size. colours: 1..32 flat ones; detail in [0, 1]: from broad shapes to every speck. Raises BadInput when
    nothing is visible."""
    if not (1 <= colours <= MOST_COLOURS and 0 <= detail <= 1):
        raise BadInput(f"Tracing takes 1 to {MOST_COLOURS} colours and a detail from 0 to 1.")
    scale = WORKING_PX / max(picture.width, picture.height)
    extent = Extent(*(max(1, round(side * scale)) for side in (picture.width, picture.height)))
    rgba = resize(with_alpha(picture), extent).array
    shown = rgba[..., 3] >= 128
    if not shown.any():
        raise BadInput("Nothing in this picture is visible enough to be traced.", "Choose a layer with something on it.")
    flat = flattened(rgba[..., :3], shown, colours, detail)
    drawing = read(_outlined(flat, shown, detail))
    return write(_scaled(drawing, picture.width, picture.height))


def flattened(rgb: np.ndarray, shown: np.ndarray, colours: int, detail: float) -> np.ndarray:
    """uint8 [H, W, 3] in at most `colours` colours, gathered from what is shown (bool [H, W])."""
    lab = cv2.cvtColor(cv2.medianBlur(np.ascontiguousarray(rgb), 5 if detail < 0.75 else 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    seen = lab[shown]
    few = seen[np.random.default_rng(0).choice(len(seen), min(SAMPLES, len(seen)), replace=False)]
    count = min(colours, len(np.unique(few.round(1), axis=0)))
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    _, _, centres = cv2.kmeans(few, count, None, stop, 2, cv2.KMEANS_PP_CENTERS)
    nearest = np.stack([((lab - centre) ** 2).sum(-1) for centre in centres]).argmin(0).astype(np.uint8)
    nearest = cv2.medianBlur(nearest, 5 if detail < 0.75 else 3) if count > 1 else nearest
    table = cv2.cvtColor(centres[None].astype(np.float32), cv2.COLOR_LAB2RGB)[0]
    return (table.clip(0, 1) * 255).round().astype(np.uint8)[nearest]


def _outlined(flat: np.ndarray, shown: np.ndarray, detail: float) -> str:
    data = io.BytesIO()
    Image.fromarray(np.dstack([flat, np.where(shown, 255, 0).astype(np.uint8)])).save(data, "PNG")
    return vtracer.convert_raw_image_to_svg(
        data.getvalue(), img_format="png", colormode="color", hierarchical="stacked", mode="spline", filter_speckle=round(12 - 10 * detail),
        color_precision=8, layer_difference=0, corner_threshold=round(75 - 30 * detail), length_threshold=8 - 4.5 * detail, max_iterations=10,
        splice_threshold=45, path_precision=2)


def _scaled(drawing: Drawing, width: int, height: int) -> Drawing:
    scale = np.array([width / drawing.width, height / drawing.height])
    shapes = tuple(Shape(tuple(type(p)(p.points * scale, p.kinds, p.closed) for p in s.paths), s.fill.lower()) for s in drawing.shapes)
    return Drawing(width, height, shapes)
