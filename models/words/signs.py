"""Words that are to be painted into a picture: where they stand, and the control picture that asks for them.

The picture that a glyph control sees (after GlyphDraw, Ma et al. 2023, arXiv 2303.17870, whose network sees the rendered glyphs and the
box they may fill): black where everything is free; a sign's board in its flat colour; the letters in theirs. Black cannot be a colour
of a sign, so colours are lifted to DARKEST.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from models.errors import BadInput
from models.job import Extent
from models.words.lettering import letter, measure, rgb_of
from models.layers.stack import Text

DARKEST = 40                                         # of 255
PAD = 0.35                                           # from the letters to the board's edge, as a share of their height
SHAPES = ("board", "rounded", "banner", "label")     # a rectangle, one with round corners, a ribbon with notched ends, an ellipse
_SUB = 4                                             # bits behind the point in OpenCV's coordinates


@dataclass(frozen=True)
class Sign:
    """`text` with its ink centred at (x, y), turned clockwise. board: "#rrggbb", "" = letters straight on the picture."""
    text: Text
    x: float
    y: float
    angle_deg: float = 0.0
    board: str = ""
    shape: str = "board"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise BadInput(f'"{self.shape}" is not a shape of a sign.', f"Known: {', '.join(SHAPES)}.")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the board (or of the room around the letters) before turning, in pixels."""
        x0, y0, x1, y1 = measure(self.text).ink
        pad = PAD * min(y1 - y0, 0.9 * self.text.size_px)
        wide = {"banner": 2.4, "label": 2.6}.get(self.shape if self.board else "", 1.0) * pad
        high = (1.7 if self.board and self.shape == "label" else 1.0) * pad
        return x1 - x0 + 2 * wide, y1 - y0 + 2 * high

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The upright box (x0, y0, x1, y1) around the turned board."""
        (w, h), c, s = self.size, abs(math.cos(math.radians(self.angle_deg))), abs(math.sin(math.radians(self.angle_deg)))
        wide, high = (w * c + h * s) / 2, (w * s + h * c) / 2
        return self.x - wide, self.y - high, self.x + wide, self.y + high


def asked(signs: Sequence[Sign], extent: Extent) -> np.ndarray:
    """The control picture, uint8 [H, W, 3]; later signs lie above earlier ones."""
    out = np.zeros((extent.height, extent.width, 3), np.float32)
    for sign in signs:
        for alpha, colour in ((board_of(sign, extent), sign.board), (ink_of(sign, extent), sign.text.colour)):
            out = out if alpha is None else out + (lifted(colour) - out) * alpha[..., None]
    return out.round().astype(np.uint8)


def lifted(colour: str) -> np.ndarray:
    """A colour that is not black, float32 [3] in DARKEST..255."""
    return np.maximum(np.float32(rgb_of(colour)), DARKEST)


def room(signs: Sequence[Sign], extent: Extent) -> np.ndarray:
    """Bool [H, W]: the boxes of all signs, boards or not."""
    shapes = [outline(sign) for sign in signs]
    return np.logical_or.reduce([_filled(points, extent) >= 0.5 for points in shapes]) if shapes else np.zeros((extent.height, extent.width), bool)


def board_of(sign: Sign, extent: Extent, share: float = 1.0) -> np.ndarray | None:
    """How much each pixel is board, float32 [H, W]; None without one. share < 1: a smaller one inside it."""
    return _filled(outline(sign, share), extent) if sign.board else None


@lru_cache(16)
def ink_of(sign: Sign, extent: Extent) -> np.ndarray:
    """How much each pixel is letter, float32 [H, W]; not to be written to."""
    alpha, block = letter(sign.text)[..., 3].astype(np.float32) / 255, measure(sign.text)
    middle = (block.ink[0] + block.ink[2]) / 2, (block.ink[1] + block.ink[3]) / 2
    matrix = cv2.getRotationMatrix2D(middle, -sign.angle_deg, 1.0)
    matrix[:, 2] += np.subtract((sign.x, sign.y), middle)
    return cv2.warpAffine(alpha, matrix, (extent.width, extent.height), flags=cv2.INTER_LINEAR)


def outline(sign: Sign, share: float = 1.0) -> np.ndarray:
    """The board's corners, float64 [n, 2] in canvas pixels."""
    w, h = (share * side / 2 for side in sign.size)
    if share < 1:                                    # the inner edge keeps its distance all around
        gap = (1 - share) * sign.size[1] / 2
        w, h = sign.size[0] / 2 - gap, sign.size[1] / 2 - gap
    corners = {"board": _rectangle, "rounded": _rounded, "banner": _banner, "label": _ellipse}[sign.shape if sign.board else "board"](w, h)
    turn = math.radians(sign.angle_deg)
    return corners @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) + (sign.x, sign.y)


def _rectangle(w: float, h: float) -> np.ndarray:
    return np.array([(-w, -h), (w, -h), (w, h), (-w, h)])


def _rounded(w: float, h: float) -> np.ndarray:
    r, arc = 0.6 * min(w, h), np.linspace(0, np.pi / 2, 8)
    corner = r * np.stack([np.sin(arc), -np.cos(arc)], 1)
    return np.concatenate([corner + (w - r, r - h), (corner @ [[0, 1], [-1, 0]]) + (w - r, h - r),
                           -corner + (r - w, h - r), -(corner @ [[0, 1], [-1, 0]]) + (r - w, r - h)])


def _banner(w: float, h: float) -> np.ndarray:
    notch = min(0.5 * h, 0.2 * w)
    return np.array([(-w, -h), (w, -h), (w - notch, 0), (w, h), (-w, h), (notch - w, 0)])


def _ellipse(w: float, h: float) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([w * np.cos(turn), h * np.sin(turn)], 1)


def _filled(points: np.ndarray, extent: Extent) -> np.ndarray:
    """Float32 [H, W] in 0..1 with smooth edges; points are pixel edges, OpenCV counts from centres."""
    out = np.zeros((extent.height, extent.width), np.uint8)
    cv2.fillPoly(out, [np.round((points - 0.5) * 2 ** _SUB).astype(np.int32)], 255, cv2.LINE_AA, _SUB)
    return out.astype(np.float32) / 255
