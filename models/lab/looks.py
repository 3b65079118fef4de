"""What a drawing's pixels decide before it enters the training set: is it empty, is it a duplicate, which colour word fits it."""
from __future__ import annotations

import io

import numpy as np
from PIL import Image

from models.lab.pictures import premultiply

_COLOR_NAMES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "beige", "black", "white", "gray")
MIN_COVER = 0.004                                    # mean alpha of a drawing that shows anything
SAME_RMS = 0.012                                     # of 16x16 premultiplied RGBA in [0, 1]


def small_picture(svg: str, raster: bytes) -> np.ndarray:
    """float32 [16, 16, 4] premultiplied in [0, 1]: what the drawing looks like from afar, on its own artboard."""
    if svg:
        import resvg_py
        raster = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=256, height=256, skip_system_fonts=True))
    picture = Image.open(io.BytesIO(raster)).convert("RGBA")
    if picture.size != (256, 256):
        square = Image.new("RGBA", (256, 256))
        picture.thumbnail((256, 256))
        square.paste(picture, ((256 - picture.width) // 2, (256 - picture.height) // 2))
        picture = square
    return premultiply(np.array(picture)).reshape(16, 16, 16, 16, 4).mean((1, 3)) / 255


def duplicates(small: np.ndarray, block: int = 1024) -> np.ndarray:
    """bool [N]: True where a drawing (rows of float32 [N, D]) is within SAME_RMS of an earlier one that stays."""
    norm, doubled = (small ** 2).sum(1), np.zeros(len(small), bool)
    for start in range(0, len(small), block):
        rows = small[start:start + block]
        square = norm[start:start + block, None] + norm[None, :start + len(rows)] - 2 * rows @ small[:start + len(rows)].T
        close = square / small.shape[1] < SAME_RMS ** 2
        for i in range(len(rows)):
            earlier = np.flatnonzero(close[i, :start + i])
            doubled[start + i] = (~doubled[earlier]).any()
    return doubled


def _color_indices(rgb: np.ndarray) -> np.ndarray:
    """[N, 3] in [0, 1] -> [N] indices into _COLOR_NAMES by hue, saturation and value, tuned by eye on these drawings."""
    value, low = rgb.max(1), rgb.min(1)
    spread = value - low + 1e-6
    sat = spread / (value + 1e-6)
    r, g, b = rgb.T
    hue = 60 * np.where(value == r, ((g - b) / spread) % 6, np.where(value == g, (b - r) / spread + 2, (r - g) / spread + 4))
    by_hue = [(hue < 12) | (hue >= 345), hue < 42, hue < 68, hue < 165, hue < 192, hue < 258, hue < 292]
    index = np.select([value < .2, (sat < .13) & (value > .9), sat < .13, *by_hue], [10, 11, 12, 0, 1, 2, 3, 4, 5, 6], 7)
    for found, when, becomes in ((1, value < .68, 8), (1, sat < .45, 9), (2, sat < .3, 9), (0, (sat < .5) & (value > .75), 7),
                                 (7, value < .55, 6), (0, value < .38, 8)):
        index = np.where((index == found) & when, becomes, index)
    bluish = (hue >= 160) & (hue < 260)
    index = np.where(bluish & (sat < .40) & (value < .92), np.where(value < .32, 10, 12), index)
    return np.where(bluish & (sat < .2) & (value >= .92), 11, index)


def color_shares(small: np.ndarray) -> dict[str, float]:
    """Shares of the named colours in a small picture, largest first, at most four of 8 % or more."""
    cells = small.reshape(-1, 4)
    cells = cells[cells[:, 3] > .35]
    if len(cells) < 6:
        return {}
    index = _color_indices(cells[:, :3] / cells[:, 3:])
    share = np.bincount(index, weights=cells[:, 3], minlength=13) / cells[:, 3].sum()
    return {_COLOR_NAMES[i]: round(float(share[i]), 2) for i in np.argsort(-share)[:4] if share[i] > .08}
