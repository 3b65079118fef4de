"""Things on a canvas: put into boxes, laid over each other, and what of them shows. numpy and OpenCV only; pictures are straight RGBA."""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from models import pixels
from models.flows._cutout import SOLID, box_of
from models.job import Extent, Picture

Box = tuple[int, int, int, int]


def put(rgba: np.ndarray, box: Box, extent: Extent, ground: bool = True) -> np.ndarray:
    """What can be seen of uint8 [h, w, 4], as large as `box` lets it be without stretching it, on a clear canvas [H, W, 4]: in the middle
    across, on the box's ground, or in its middle."""
    x0, y0, x1, y1 = box_of(rgba[..., 3] > 0)
    cut = np.ascontiguousarray(rgba[y0:y1, x0:x1])
    left, top, right, bottom = fitted((x1 - x0, y1 - y0), box, ground)
    small = pixels.resize(Picture.from_array(cut), Extent(right - left, bottom - top)).array
    out = np.zeros((extent.height, extent.width, 4), np.uint8)
    a, b, c, d = max(left, 0), max(top, 0), min(right, extent.width), min(bottom, extent.height)
    if a < c and b < d:
        out[b:d, a:c] = small[b - top:d - top, a - left:c - left]
    return out


def fitted(size: tuple[int, int], box: Box, ground: bool = True) -> Box:
    """The box of a thing of `size` (width, height) inside `box`: whole pixels, its shape kept."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(width / size[0], height / size[1])
    wide, high = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    left = box[0] + (width - wide) // 2
    top = box[3] - high if ground else box[1] + (height - high) // 2
    return left, top, left + wide, top + high


def over(background: np.ndarray, layers: Sequence[np.ndarray]) -> np.ndarray:
    """Straight RGBA layers [H, W, 4], bottom to top, over uint8 [H, W, 3] -> uint8 [H, W, 3]."""
    out = background[..., :3].astype(np.float32)
    for layer in layers:
        alpha = layer[..., 3:].astype(np.float32) / 255
        out = layer[..., :3] * alpha + out * (1 - alpha)
    return out.round().astype(np.uint8)


def together(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Straight RGBA layers as one, uint8 [H, W, 4] (Porter & Duff 1984, "over")."""
    alpha, colour = np.zeros((*layers[0].shape[:2], 1), np.float32), np.zeros((*layers[0].shape[:2], 3), np.float32)
    for layer in layers:
        own = layer[..., 3:].astype(np.float32) / 255
        colour, alpha = layer[..., :3] * own + colour * (1 - own), own + alpha * (1 - own)
    rgb = colour / np.maximum(alpha, 1e-6)
    return np.dstack([rgb, alpha * 255]).clip(0, 255).round().astype(np.uint8)


def shown(layers: Sequence[np.ndarray]) -> list[np.ndarray]:
    """float32 [H, W] a layer: how much of each pixel it decides, layers above it taken off."""
    above, out = np.ones(layers[0].shape[:2], np.float32) if layers else None, []
    for layer in reversed(layers):
        alpha = layer[..., 3].astype(np.float32) / 255
        out.append(alpha * above)
        above = above * (1 - alpha)
    return out[::-1]


def held(rgba: np.ndarray, px: int = 1) -> np.ndarray:
    """Bool [H, W]: what of a thing must come back as it is, without `px` pixels of its rim."""
    solid = (rgba[..., 3] >= SOLID).astype(np.uint8)
    core = cv2.erode(solid, np.ones((2 * px + 1, 2 * px + 1), np.uint8), borderValue=1)
    return (core if core.any() else solid) > 0


def grown(mask: np.ndarray, px: int) -> np.ndarray:
    """Bool [H, W] grown by `px` pixels (shrunk below 0)."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(px) + 1, 2 * abs(px) + 1))
    return (cv2.dilate if px >= 0 else cv2.erode)(mask.astype(np.uint8), kernel) > 0


def mask_picture(mask: np.ndarray) -> Picture:
    """Bool [H, W] -> 255 where it is True."""
    return Picture.from_array(mask.astype(np.uint8) * 255)
