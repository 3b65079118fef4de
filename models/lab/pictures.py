"""From an Item to training pictures: rasterise, move, cut a sticker, compose a scene. Alpha is handled premultiplied throughout.

A picture here is `uint8 [256, 256, 4]`, straight (not premultiplied) RGBA with RGB zeroed where alpha is 0.
"""
from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from models.lab.items import Item, stable_hash

SIDE_PX = 256
MARGIN_PX = 8
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255), "black": (24, 24, 28), "gray": (150, 152, 156), "red": (222, 64, 60), "orange": (246, 150, 60),
    "yellow": (252, 214, 84), "green": (92, 178, 96), "teal": (56, 166, 164), "blue": (74, 134, 226), "purple": (140, 98, 200),
    "pink": (246, 164, 192), "beige": (238, 224, 200)}


def rasterise(item: Item) -> np.ndarray | None:
    """`uint8 [256, 256, 4]`, the drawing centred in the square with an 8 px margin, or None when nothing is visible."""
    if item.svg:
        import resvg_py
        data = bytes(resvg_py.svg_to_bytes(svg_string=item.svg, width=SIDE_PX, height=SIDE_PX, skip_system_fonts=True))
    else:
        data = item.raster
    return fit(np.array(Image.open(io.BytesIO(data)).convert("RGBA")))


def fit(rgba: np.ndarray, side_px: int = SIDE_PX, margin_px: int = MARGIN_PX) -> np.ndarray | None:
    """Crop to the visible part and centre it, longest side `side_px - 2 * margin_px`."""
    ys, xs = np.where(rgba[..., 3] > 8)
    if len(ys) < 40:
        return None
    box = rgba[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
    h, w = box.shape[:2]
    scale = (side_px - 2 * margin_px) / max(h, w)
    matrix = np.float32([[scale, 0, (side_px - w * scale) / 2], [0, scale, (side_px - h * scale) / 2]])
    return warp(box, matrix, side_px)


def warp(rgba: np.ndarray, matrix: np.ndarray, side_px: int = SIDE_PX) -> np.ndarray:
    """Affine move (2x3, source -> target, in pixel edges: 0 is the picture's rim), area-like when shrinking, in premultiplied alpha."""
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ np.float32([0.5, 0.5]) - 0.5      # OpenCV counts from pixel centres
    f = premultiply(rgba)
    if shrink < 0.7:                                 # blur first, or thin lines alias away
        f = cv2.GaussianBlur(f, (0, 0), 0.4 / shrink)
    f = cv2.warpAffine(f, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return straighten(f)


def premultiply(rgba: np.ndarray) -> np.ndarray:
    """uint8 straight -> float32 premultiplied, both in 0..255."""
    f = rgba.astype(np.float32)
    f[..., :3] *= f[..., 3:] / 255
    return f


def straighten(f: np.ndarray) -> np.ndarray:
    a = f[..., 3:]
    rgb = np.where(a > 0.5, f[..., :3] * 255 / np.maximum(a, 0.5), 0)
    return np.concatenate([rgb, a], -1).clip(0, 255).round().astype(np.uint8)


def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Composite straight RGBA over `uint8 [H, W, 3]` (or one colour)."""
    a = rgba[..., 3:].astype(np.float32) / 255
    return (rgba[..., :3] * a + np.asarray(background, np.float32) * (1 - a)).round().clip(0, 255).astype(np.uint8)


def place(rgba: np.ndarray, scale: float, cx: float, cy: float, turn_deg: float = 0.0, flip: bool = False) -> np.ndarray:
    """The drawing at `scale` (1 = as fitted), its centre at (cx, cy) in 0..1 of the square."""
    c, s = np.cos(np.deg2rad(turn_deg)) * scale, np.sin(np.deg2rad(turn_deg)) * scale
    m = np.float32([[-c if flip else c, -s, 0], [-s if flip else s, c, 0]])
    m[:, 2] = np.float32([cx, cy]) * SIDE_PX - m[:, :2] @ np.float32([SIDE_PX / 2, SIDE_PX / 2])
    return warp(rgba, m)


def sticker(rgba: np.ndarray, border_px: int = 9) -> np.ndarray:
    """Die-cut: a white border around the drawing and a soft shadow under it."""
    small = place(rgba, 0.84, 0.5, 0.5)
    alpha = small[..., 3]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * border_px + 1,) * 2)
    rim = cv2.GaussianBlur(cv2.dilate(alpha, kernel), (0, 0), 1.0)
    shade = np.roll(cv2.GaussianBlur(rim, (0, 0), 4.0), 4, axis=0).astype(np.float32) * 0.35
    inside = over(small, np.uint8([255, 255, 255]))
    f = np.concatenate([inside * (rim[..., None] / 255.0), rim[..., None].astype(np.float32)], -1)
    f[..., 3] += shade * (1 - rim / 255.0)           # the shadow is black: only alpha grows
    return straighten(f)


@dataclass(frozen=True)
class Placed:
    item: Item
    rgba: np.ndarray
    scale: float
    cx: float
    cy: float


def _gradient(top: tuple[int, ...], bottom: tuple[int, ...]) -> np.ndarray:
    t = np.linspace(0, 1, SIDE_PX, dtype=np.float32)[:, None, None]
    return (np.float32(top) * (1 - t) + np.float32(bottom) * t).repeat(SIDE_PX, 1)


def _ground(picture: np.ndarray, level: float, color: tuple[int, ...], rng: np.random.Generator, bumpy: float) -> None:
    x = np.arange(SIDE_PX)
    line = SIDE_PX * level + bumpy * np.sin(x / SIDE_PX * 2 * np.pi * rng.uniform(0.5, 1.6) + rng.uniform(0, 6))
    mask = np.arange(SIDE_PX)[:, None] >= line[None]
    picture[mask] = np.float32(color)


def _dots(picture: np.ndarray, rng: np.random.Generator, n: int, top: float, color: tuple[int, ...], radius: tuple[int, int]) -> None:
    for _ in range(n):
        centre = int(rng.uniform(0, SIDE_PX)), int(rng.uniform(0, SIDE_PX * top))
        cv2.circle(picture, centre, int(rng.integers(*radius)), tuple(map(float, color)), -1, cv2.LINE_AA)


SCENES = ("on a green field", "on a beach", "at night", "in the snow", "in a room", "in the desert", "under the sea", "at sunset")


def scene_background(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A drawn background, `uint8 [256, 256, 3]`; `kind` is one of SCENES."""
    j = lambda c: tuple(np.clip(np.array(c) + rng.integers(-10, 11, 3), 0, 255))
    level = rng.uniform(0.6, 0.72)
    skies = {"on a green field": ((120, 190, 250), (206, 234, 255)), "on a beach": ((110, 196, 250), (200, 240, 255)),
             "at night": ((16, 20, 60), (52, 56, 120)), "in the snow": ((170, 200, 230), (226, 238, 250)),
             "in a room": ((250, 226, 190), (244, 214, 176)), "in the desert": ((250, 200, 130), (255, 232, 190)),
             "under the sea": ((64, 168, 226), (14, 74, 150)), "at sunset": ((96, 60, 140), (255, 164, 90))}
    p = _gradient(*map(j, skies[kind]))
    if kind == "at night":
        _dots(p, rng, 26, 0.6, (250, 246, 214), (1, 3))
        _ground(p, level, j((34, 52, 60)), rng, 8)
    elif kind == "on a beach":
        _ground(p, level - 0.14, j((40, 140, 210)), rng, 1)
        _ground(p, level, j((244, 216, 160)), rng, 6)
    elif kind == "under the sea":
        _dots(p, rng, 9, 0.9, (180, 224, 250), (2, 6))
        _ground(p, 0.86, j((214, 190, 140)), rng, 5)
    else:
        ground = {"on a green field": (108, 186, 84), "in the snow": (248, 250, 255), "in a room": (176, 120, 78),
                  "in the desert": (226, 170, 96), "at sunset": (70, 50, 84)}[kind]
        _ground(p, level, j(ground), rng, 1 if kind == "in a room" else 8)
        if kind == "in the snow":
            _dots(p, rng, 30, 1.0, (255, 255, 255), (1, 4))
    return p.clip(0, 255).astype(np.uint8)


def may_flip(item: Item) -> bool:
    """A mirror image keeps its meaning only where left and right say nothing."""
    return item.category in ("animals & nature", "food & drink", "smileys", "smileys & emotion") and not any(
        w in item.label for w in ("left", "right", "arrow", "quarter", "crescent", "gibbous"))


def rng_for(*words: object) -> np.random.Generator:
    return np.random.default_rng(stable_hash("/".join(map(str, words)), 2 ** 60))
