"""Pictures whose cut-out is known exactly: drawings with their alpha over everything that can stand behind a thing.

A `Cutting` is one sample: what the net sees, and the alpha it is to find. All pictures here are float32 in 0..1; drawings are
premultiplied as soon as they are moved, so that soft edges stay exact.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from models.lab.items import Item
from models.lab.mixtures import HELD_OUT
from models.lab.pictures import SCENES, SIDE_PX, scene_background

HELD_OUT_SET = "noto-v1"                             # no drawing of this set is trained on
PHOTOS = ("brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg", "camera.png")
"""Photographs that scikit-image brings, for the ground behind things only; the rest of its photographs is kept for looking at results."""
Rng = np.random.Generator


@dataclass(frozen=True)
class Cutting:
    """rgb [S, S, 3]; alpha [S, S] of what is to be kept; other [S, S]: alpha of things that are to be dropped, though they are things."""
    rgb: np.ndarray
    alpha: np.ndarray
    other: np.ndarray


def split_rows(items: Sequence[Item]) -> dict[str, list[int]]:
    """Rows of drawings: "train", "concept" (concepts never seen), "set" (a set never seen, its concepts may be)."""
    rows: dict[str, list[int]] = {"train": [], "concept": [], "set": []}
    for i, item in enumerate(items):
        part = "set" if item.source == HELD_OUT_SET else "concept" if item.split == "test_concept" else "train"
        if part != "train" or item.split not in HELD_OUT:
            rows[part].append(i)
    return rows


def photographs(names: Sequence[str] = PHOTOS) -> list[np.ndarray]:
    """uint8 [H, W, 3] of those that are installed; none where scikit-image is not."""
    spec = find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    found = [cv2.imread(str(folder / name)) for name in names] if folder else []
    return [cv2.cvtColor(photo, cv2.COLOR_BGR2RGB) for photo in found if photo is not None]


# --- things ------------------------------------------------------------------------------------------------------------

def moved(drawing: np.ndarray, side: int, scale: float, centre: tuple[float, float], turn_deg: float, flip: bool) -> np.ndarray:
    """uint8 straight [256, 256, 4] -> premultiplied float32 [side, side, 4]; scale 1 fills the square, centre in 0..1."""
    f = drawing.astype(np.float32) / 255
    f[..., :3] *= f[..., 3:]
    factor = scale * side / SIDE_PX
    c, s = np.cos(np.radians(turn_deg)) * factor, np.sin(np.radians(turn_deg)) * factor
    m = np.float32([[-c if flip else c, -s, 0], [-s if flip else s, c, 0]])
    m[:, 2] = np.float32(centre) * side - m[:, :2] @ np.float32([SIDE_PX / 2, SIDE_PX / 2])
    if factor < 0.7:
        f = cv2.GaussianBlur(f, (0, 0), 0.4 / factor)
    return cv2.warpAffine(f, m, (side, side), flags=cv2.INTER_LINEAR).clip(0, 1)


def coloured(f: np.ndarray, rng: Rng) -> np.ndarray:
    """Another tint and contrast of a premultiplied thing."""
    gain, bias = np.exp(rng.normal(0, 0.2, 3)).astype(np.float32), rng.normal(0, 0.05, 3).astype(np.float32)
    rgb = f[..., :3]
    if rng.random() < 0.25:
        rgb = rgb[..., rng.permutation(3)]
    return np.dstack([np.minimum(np.maximum(rgb * gain + bias * f[..., 3:], 0), f[..., 3:]), f[..., 3]])


def noise(side: int, rng: Rng, octaves: int = 4, first: int = 3) -> np.ndarray:
    """Soft random clouds, float32 [side, side] around 0 with a deviation of about 1."""
    total = np.zeros((side, side), np.float32)
    for k in range(octaves):
        cells = first * 2 ** k
        total += cv2.resize(rng.standard_normal((cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC) / 1.6 ** k
    return total


def shaded(f: np.ndarray, rng: Rng) -> np.ndarray:
    """Lit from somewhere as if it were round, and a little uneven."""
    side = f.shape[0]
    height = cv2.GaussianBlur(f[..., 3], (0, 0), side * rng.uniform(0.02, 0.1))
    angle = rng.uniform(0, 2 * np.pi)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) * np.cos(angle) + cv2.Sobel(height, cv2.CV_32F, 0, 1) * np.sin(angle)
    light = 1 + rng.uniform(0.1, 0.6) * slope / (np.abs(slope).max() + 1e-6) + rng.uniform(0, 0.12) * noise(side, rng)
    return np.dstack([np.clip(f[..., :3] * light[..., None], 0, f[..., 3:]), f[..., 3]])


def glassy(f: np.ndarray, rng: Rng) -> np.ndarray:
    """Its inside lets the ground through, evenly or in clouds."""
    inside = cv2.GaussianBlur(cv2.erode(f[..., 3], np.ones((7, 7))), (0, 0), f.shape[0] / 60)
    through = rng.uniform(0.3, 0.8) * np.clip(1 + (rng.random() < 0.5) * 0.5 * noise(f.shape[0], rng, 2), 0, 1)
    return f * (1 - inside * through)[..., None]


def holed(f: np.ndarray, rng: Rng) -> np.ndarray:
    """A round hole or a slit through it."""
    side = f.shape[0]
    hole = np.zeros((side, side), np.float32)
    centre = tuple(int(v) for v in side * rng.uniform(0.3, 0.7, 2))
    axes = tuple(int(v) for v in side * rng.uniform(0.02, 0.14, 2) + 1)
    cv2.ellipse(hole, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
    return f * (1 - hole)[..., None]


def furry(f: np.ndarray, rng: Rng) -> np.ndarray:
    """Hairs that grow out of its outline."""
    side = f.shape[0]
    contours, _ = cv2.findContours((f[..., 3] > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(contours)[:, 0] if contours else np.zeros((0, 2), int)
    if len(points) < 20:
        return f
    out = np.ascontiguousarray(f)
    spin = rng.uniform(0, 2 * np.pi)
    for x, y in points[rng.integers(0, len(points), rng.integers(30, 150))]:
        away = np.arctan2(y - side / 2, x - side / 2) + rng.normal(0, 0.5) + 0.3 * np.cos(spin)
        end = (int(x + side * rng.uniform(0.02, 0.09) * np.cos(away)), int(y + side * rng.uniform(0.02, 0.09) * np.sin(away)))
        colour = f[y, x, :3] / max(f[y, x, 3], 0.1) * rng.uniform(0.7, 1.2)
        cv2.line(out, (int(x), int(y)), end, (*map(float, colour.clip(0, 1)), 1.0), 1, cv2.LINE_AA)
    return out


CHANGES: tuple[tuple[float, Callable[[np.ndarray, Rng], np.ndarray]], ...] = (
    (0.6, coloured), (0.45, shaded), (0.12, glassy), (0.12, holed), (0.12, furry))


def thing(drawing: np.ndarray, side: int, rng: Rng, scale: float, centre: tuple[float, float]) -> np.ndarray:
    """A drawing as something new: moved, tinted, lit, pierced, softened. Premultiplied [side, side, 4]."""
    f = moved(drawing, side, scale, centre, float(rng.normal(0, 15)), rng.random() < 0.5)
    for share, change in CHANGES:
        if rng.random() < share:
            f = change(f, rng)
    return cv2.GaussianBlur(f, (0, 0), rng.uniform(0.4, 2.0)) if rng.random() < 0.2 else f


# --- grounds -----------------------------------------------------------------------------------------------------------

def _colour(rng: Rng) -> np.ndarray:
    return rng.random(3).astype(np.float32)


def flat(side: int, rng: Rng) -> np.ndarray:
    colour = np.float32([1, 1, 1]) if rng.random() < 0.45 else _colour(rng)
    return np.broadcast_to(colour, (side, side, 3)).copy()


def gradient(side: int, rng: Rng) -> np.ndarray:
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    angle = rng.uniform(0, 2 * np.pi)
    t = x * np.cos(angle) + y * np.sin(angle) if rng.random() < 0.6 else np.hypot(x - rng.random(), y - rng.random())
    t = ((t - t.min()) / np.ptp(t))[..., None]
    return _colour(rng) * (1 - t) + _colour(rng) * t


def clouds(side: int, rng: Rng) -> np.ndarray:
    t = noise(side, rng, int(rng.integers(2, 7)), int(rng.integers(2, 6)))[..., None]
    t = 1 / (1 + np.exp(-t * rng.uniform(0.7, 5)))
    return _colour(rng) * (1 - t) + _colour(rng) * t


def tiles(side: int, rng: Rng) -> np.ndarray:
    """Stripes, checks or bricks, turned."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), side * rng.uniform(0.03, 0.25)
    u, v = (x * np.cos(angle) + y * np.sin(angle)) / period, (y * np.cos(angle) - x * np.sin(angle)) / period
    t = np.sin(2 * np.pi * u) if rng.random() < 0.5 else np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v)
    t = (0.5 + 0.5 * np.tanh(t * rng.uniform(1, 12)))[..., None]
    return _colour(rng) * (1 - t) + _colour(rng) * t


def scene(side: int, rng: Rng) -> np.ndarray:
    return cv2.resize(scene_background(SCENES[rng.integers(len(SCENES))], rng), (side, side)).astype(np.float32) / 255


class Grounds:
    """What can stand behind a thing; drawings and photographs are cut out of `drawings` (straight uint8) and `photos`."""

    def __init__(self, drawings: np.ndarray, rows: Sequence[int], photos: Sequence[np.ndarray]) -> None:
        self.drawings, self.rows, self.photos = drawings, rows, photos
        self.kinds = ((0.26, flat), (0.12, gradient), (0.14, clouds), (0.1, tiles), (0.1, scene), (0.14, self.blown_up), (0.07, self.crowd),
                      (0.07, self.photograph))

    def blown_up(self, side: int, rng: Rng) -> np.ndarray:
        """A drawing far too near, out of focus or not."""
        f = moved(self._any(rng), side, rng.uniform(1.6, 5), tuple(rng.uniform(0, 1, 2)), rng.uniform(0, 360), False)
        ground = f[..., :3] + _colour(rng) * (1 - f[..., 3:])
        return cv2.GaussianBlur(ground, (0, 0), side * rng.uniform(0.01, 0.05)) if rng.random() < 0.7 else ground

    def crowd(self, side: int, rng: Rng) -> np.ndarray:
        """Many small things out of focus."""
        ground = gradient(side, rng)
        for _ in range(int(rng.integers(4, 10))):
            f = moved(self._any(rng), side, rng.uniform(0.15, 0.5), tuple(rng.uniform(0, 1, 2)), rng.uniform(0, 360), False)
            ground = f[..., :3] + ground * (1 - f[..., 3:])
        return cv2.GaussianBlur(ground, (0, 0), side * rng.uniform(0.01, 0.03))

    def photograph(self, side: int, rng: Rng) -> np.ndarray:
        if not self.photos:
            return clouds(side, rng)
        photo = self.photos[rng.integers(len(self.photos))]
        cut = int(min(photo.shape[:2]) * rng.uniform(0.3, 1))
        y, x = (int(rng.integers(0, n - cut + 1)) for n in photo.shape[:2])
        ground = cv2.resize(photo[y:y + cut, x:x + cut], (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        return np.clip(ground * np.exp(rng.normal(0, 0.2, 3)).astype(np.float32), 0, 1)

    def _any(self, rng: Rng) -> np.ndarray:
        return np.asarray(self.drawings[rng.choice(self.rows)])

    def draw(self, side: int, rng: Rng) -> np.ndarray:
        """One ground, float32 [side, side, 3] in 0..1."""
        shares = np.cumsum([share for share, _ in self.kinds])
        ground = self.kinds[int(np.searchsorted(shares, rng.random() * shares[-1]))][1](side, rng)
        if rng.random() < 0.2:
            ground = ground * (1 - rng.uniform(0.1, 0.5) * np.abs(gradient(side, rng)[..., :1]))
        return ground.astype(np.float32)


# --- the two together --------------------------------------------------------------------------------------------------

def cast(ground: np.ndarray, alpha: np.ndarray, rng: Rng) -> np.ndarray:
    """The ground with the thing's shadow on it."""
    side = len(alpha)
    shift = np.float32([[1, rng.normal(0, 0.15), side * rng.normal(0, 0.03)], [0, rng.uniform(0.6, 1), side * rng.uniform(0, 0.12)]])
    shade = cv2.GaussianBlur(cv2.warpAffine(alpha, shift, (side, side)), (0, 0), side * rng.uniform(0.008, 0.05))
    return ground * (1 - rng.uniform(0.15, 0.6) * shade)[..., None]


def seen_by_camera(rgb: np.ndarray, alphas: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """A little blur (of the alphas too), exposure and grain. rgb [S, S, 3], alphas [S, S, 2]."""
    if rng.random() < 0.25:
        sigma = rng.uniform(0.3, 1.1)
        rgb, alphas = cv2.GaussianBlur(rgb, (0, 0), sigma), cv2.GaussianBlur(alphas, (0, 0), sigma)
    if rng.random() < 0.3:
        rgb = np.clip(rgb, 0, 1) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.4:
        rgb = rgb + rng.standard_normal(rgb.shape).astype(np.float32) * np.float32(rng.uniform(0, 0.05))
    return np.clip(rgb, 0, 1).astype(np.float32), alphas


class Cuttings:
    """Draws samples from the drawings of `rows`."""

    def __init__(self, drawings: np.ndarray, rows: Sequence[int], photos: Sequence[np.ndarray] = ()) -> None:
        self.drawings, self.rows = drawings, rows
        self.grounds = Grounds(drawings, rows, photos)

    def draw(self, side: int, rng: Rng, selective: bool = False) -> Cutting:
        """One sample. selective: at least two things, of which hints will have to say which one is meant."""
        several = selective or rng.random() < 0.15
        return self._several(side, rng, selective) if several else self._one(np.asarray(self.drawings[rng.choice(self.rows)]), side, rng)

    def of(self, row: int, side: int, rng: Rng) -> Cutting:
        """A sample of one drawing."""
        return self._one(np.asarray(self.drawings[row]), side, rng)

    def _one(self, drawing: np.ndarray, side: int, rng: Rng) -> Cutting:
        f = thing(drawing, side, rng, rng.uniform(0.45, 1.15), tuple(rng.normal(0.5, 0.07, 2)))
        return self._composed([f], 1, side, rng)

    def _several(self, side: int, rng: Rng, selective: bool) -> Cutting:
        count = int(rng.integers(2, 4))
        spread = np.linspace(0.22, 0.78, count) + rng.normal(0, 0.04, count)
        things = [thing(np.asarray(self.drawings[rng.choice(self.rows)]), side, rng, rng.uniform(0.9, 1.4) / count, (x, rng.uniform(0.35, 0.65)))
                  for x in rng.permutation(spread)]
        return self._composed(things, 1 if selective else count, side, rng)

    def _composed(self, things: Sequence[np.ndarray], kept: int, side: int, rng: Rng) -> Cutting:
        """Things over a ground, the first `kept` of them wanted; later ones lie above earlier ones."""
        rgb, alphas = self.grounds.draw(side, rng), np.zeros((side, side, 2), np.float32)
        if rng.random() < 0.35:
            rgb = cast(rgb, np.maximum.reduce([f[..., 3] for f in things]), rng)
        for k, f in enumerate(things):
            through = 1 - f[..., 3:]
            rgb, alphas = f[..., :3] + rgb * through, alphas * through
            alphas[..., int(k >= kept)] += f[..., 3]
        rgb, alphas = seen_by_camera(rgb, alphas, rng)
        alphas = alphas.clip(0, 1).astype(np.float32)
        return Cutting(rgb, alphas[..., 0], alphas[..., 1])
