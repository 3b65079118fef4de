"""Coloured strokes as numbers: where they begin, and what they are as SVG. The raster that pulls at them is strokes_raster.

First strokes come from a picture (ours; the paper starts at random and needs far longer): short thick ones in the thing's own colours lie
below, its contours above.
"""
from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from models.lines import edges, silhouette, strokes_of
from models.vector.pathdata import Path
from models.vector.vectors import Drawing, Shape, write

SHEET = 224.0                                        # units of the SVG's side
CONTOURS = 0.5                                       # of the first strokes
FEWEST_PX = 6                                        # of a contour that becomes a stroke, at 256 px
WHITE = np.ones(3)


@dataclass(frozen=True)
class Strokes:
    """points float [N, 4, 2] (cubic Beziers, x right, y down) and widths [N] in shares of the side, colours [N, 3], alphas [N], paper [3], in
    [0, 1]; bottom to top."""
    points: np.ndarray = field(repr=False)
    widths: np.ndarray = field(repr=False)
    colours: np.ndarray = field(repr=False)
    alphas: np.ndarray = field(repr=False)
    paper: np.ndarray = field(default_factory=lambda: WHITE.copy())

    def __len__(self) -> int:
        return len(self.points)


def at_random(count: int, rng: np.random.Generator, paper: np.ndarray = WHITE) -> Strokes:
    """Short curves anywhere, in any colour, as the paper begins."""
    points = rng.uniform(0.1, 0.9, (count, 1, 2)) + rng.uniform(-0.08, 0.08, (count, 4, 2)).cumsum(1)
    return Strokes(points, rng.uniform(0.01, 0.04, count), rng.random((count, 3)), rng.uniform(0.6, 1, count), paper)


def from_picture(rgb: np.ndarray, count: int, rng: np.random.Generator, paper: np.ndarray = WHITE, colours_of: np.ndarray | None = None) -> Strokes:
    """First strokes of a picture, uint8 [H, W, 3]: fillings inside its thing, then its contours; every one in the colour it lies on, or in
    that which another picture, uint8, would give it."""
    small = cv2.resize(rgb, (256, 256), interpolation=cv2.INTER_AREA)
    seen = small if colours_of is None else in_colours_of(small, colours_of)
    contours = contours_of(small, round(count * CONTOURS))
    fills = fillings(small, count - len(contours), rng)
    points = np.concatenate([fills, contours]) / 256
    colours = np.stack([_colour_under(seen, curve * 256) for curve in points]) if count else np.zeros((0, 3))
    if paper.mean() > 0.5:
        colours[len(fills):] *= 0.72                 # contours are darker than what they bound
    else:
        colours[len(fills):] = 1 - (1 - colours[len(fills):]) * 0.6
    widths = np.concatenate([np.full(len(fills), 0.07), np.full(len(contours), 0.016)])
    return Strokes(points, widths, colours, np.concatenate([np.full(len(fills), 0.85), np.full(len(contours), 0.95)]), paper)


def contours_of(rgb: np.ndarray, most: int) -> np.ndarray:
    """Cubics along the edges of uint8 [256, 256, 3], the longest lines first, cut where a line is long: float [n <= most, 4, 2] in pixels."""
    lines = [line for line in strokes_of(edges(rgb)) if len(line) >= FEWEST_PX]
    pieces = [part for line in lines for part in np.array_split(line, max(1, round(len(line) / 60)))]
    pieces = sorted((p for p in pieces if len(p) >= FEWEST_PX), key=len, reverse=True)[:most]
    return np.stack([fitted(piece) for piece in pieces]) if pieces else np.zeros((0, 4, 2))


def fitted(line: np.ndarray) -> np.ndarray:
    """The cubic [4, 2] nearest to points [n >= 2, 2] along their length, its ends theirs (least squares, Schneider 1990)."""
    line = line.astype(float)
    steps = np.r_[0, np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()]
    t = (steps / max(steps[-1], 1e-9))[:, None]
    ends = (1 - t) ** 3 * line[0] + t ** 3 * line[-1]
    inner = np.concatenate([3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t)], 1)
    handles = np.linalg.lstsq(inner, line - ends, rcond=1e-4)[0]
    return np.stack([line[0], *handles, line[-1]])


def fillings(rgb: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Short curves spread over the thing of uint8 [256, 256, 3], along its own direction: float [count, 4, 2] in pixels."""
    inside = silhouette(rgb) > 0
    ys, xs = np.nonzero(inside if inside.sum() > 200 else np.ones(rgb.shape[:2], bool))
    chosen = [int(rng.integers(len(ys)))] if count else []
    away = np.full(len(ys), np.inf)
    for _ in range(count - 1):                       # farthest of a few: spread out, not on a grid
        away = np.minimum(away, (ys - ys[chosen[-1]]) ** 2 + (xs - xs[chosen[-1]]) ** 2)
        tried = rng.integers(0, len(ys), 48)
        chosen.append(int(tried[away[tried].argmax()]))
    turns, reach = rng.uniform(0, np.pi, count), 10.0
    middle = np.stack([xs[chosen], ys[chosen]], 1).astype(float) if count else np.zeros((0, 2))
    along = np.stack([np.cos(turns), np.sin(turns)], 1)
    return middle[:, None] + along[:, None] * (np.linspace(-1, 1, 4) * reach)[None, :, None] + rng.uniform(-2, 2, (count, 4, 2))


def _colour_under(rgb: np.ndarray, curve: np.ndarray) -> np.ndarray:
    at = curve.round().astype(int).clip(0, 255)
    return np.median(rgb[at[:, 1], at[:, 0]], axis=0) / 255


def paper_of(rgb: np.ndarray) -> np.ndarray:
    """The colour of the rim of uint8 [H, W, 3], [3] in [0, 1]; pure white where it is nearly that."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    colour = np.median(rim, axis=0) / 255
    return WHITE.copy() if colour.min() > 0.94 else colour


def in_colours_of(rgb: np.ndarray, other: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] with the colours of another: its thing takes those of the other's thing by rank in each channel of L*a*b*, its paper the
    other's paper, since a drawing is half paper."""
    a, b = (cv2.cvtColor(np.ascontiguousarray(one).astype(np.float32) / 255, cv2.COLOR_RGB2Lab) for one in (rgb, other))
    thing, wanted = (silhouette(np.ascontiguousarray(one)) > 0 for one in (rgb, other))
    out = np.broadcast_to(np.median(b[~wanted], axis=0) if (~wanted).any() else b.mean((0, 1)), a.shape).copy()
    for c in range(3) if thing.any() and wanted.any() else ():
        own = a[..., c][thing]
        ranks = own.argsort(kind="stable").argsort(kind="stable") / max(len(own) - 1, 1)
        out[..., c][thing] = np.quantile(b[..., c][wanted], ranks)
    return (cv2.cvtColor(out, cv2.COLOR_Lab2RGB).clip(0, 1) * 255).round().astype(np.uint8)


def svg_of(strokes: Strokes) -> str:
    """One path a stroke, bottom to top, on a sheet of SHEET units; coloured paper is one more, the first."""
    shapes = tuple(Shape((Path(curve * SHEET, "C"),), fill="none", stroke=_hex(colour), width=float(width) * SHEET, opacity=float(alpha), round=True)
                   for curve, width, colour, alpha in zip(strokes.points, strokes.widths, strokes.colours, strokes.alphas))
    if (strokes.paper < 1).any():
        sheet = Path(np.array([[0, 0], [SHEET, 0], [SHEET, SHEET], [0, SHEET]], float), "LLL", True)
        shapes = (Shape((sheet,), fill=_hex(strokes.paper)), *shapes)
    return write(Drawing(SHEET, SHEET, shapes))


def _hex(colour: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(c) * 255):02x}" for c in np.clip(colour, 0, 1))
