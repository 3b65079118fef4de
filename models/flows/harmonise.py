"""One light pass over a composite that leaves every layer editable.

The partial scenes (background, with the first layer, ...) are painted over together by multi-layer noise blending (the adapter hold_layers;
Fontanella et al. 2024, section 3.3). What that did to the picture is then split: onto each layer's own pixels as slow changes of light and
colour, its alpha staying what it was bit for bit, and into one shadow a layer, which lies under it. Outlines and detail are never taken from
the pass, whose latents are coarse. So a layer can be moved, hidden or painted again afterwards, and its shadow with it; amount 0 is the
composite exactly.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from models.errors import BadInput
from models.flows import Render
from models.flows._canvas import over, shown
from models.flows._cutout import SOLID, box_of
from models.job import AdapterUse, Job, Picture, Result

MOST_LAYERS = 16
SLOW_SHARE = 0.08                                    # of the shorter side: changes faster than this blur are not taken over
LEAST_GAIN, MOST_GAIN = 0.55, 1.8                    # of light, in each colour
BLACK = 16.0                                         # of 255, added before light is divided by light
CONTACT, CONTACT_HEIGHT = 0.45, 0.12                 # darkness of the drawn contact shadow; its height, of the thing's width


@dataclass(frozen=True)
class Layered:
    """A thing on the canvas: straight RGBA uint8 [H, W, 4], its words, and whether it stands on the ground and so throws a shadow there."""
    rgba: np.ndarray
    words: str = ""
    stands: bool = True


@dataclass(frozen=True)
class Harmony:
    """`job`: the place's words, a seed, steps, base, style; its size is the canvas. background: RGB of the canvas.

    hold: id of the adapter that holds layers, "" = none is fitted, then only shadows are drawn. change: how far up the noise the pass
    starts, 0..1. free: from when on layers may change, as a share of the walk's end. amount: how much of it reaches the layers. shadow: how
    dark shadows are, 0 = none.
    """
    job: Job
    background: Picture
    layers: tuple[Layered, ...]
    hold: str = ""
    change: float = 0.4
    free: float = 0.35
    amount: float = 0.7
    shadow: float = 0.6

    def __post_init__(self) -> None:
        if not self.layers:
            raise BadInput("There is nothing to harmonise.", "Put a thing on the canvas first.")
        if len(self.layers) > MOST_LAYERS:
            raise BadInput(f"{len(self.layers)} layers are too many for one pass: {MOST_LAYERS} is the most.", "Choose some of them.")
        for name in ("change", "free", "amount", "shadow"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name.capitalize()} {getattr(self, name)} is outside 0..1.")


@dataclass(frozen=True)
class Harmonised:
    """gains: what each layer's colours (0..255) are multiplied with after BLACK is added, float32 [H, W, 3] over the whole canvas, the
    background's first; shadows: straight RGBA uint8 [H, W, 4] a layer, to lie right under it. flat: the pass itself, uint8 [H, W, 3]."""
    gains: tuple[np.ndarray, ...]
    shadows: tuple[np.ndarray, ...]
    flat: np.ndarray = field(repr=False)


def harmonise(render: Render, wanted: Harmony) -> Iterator[Result | Harmonised]:
    """Yields the pass, and last what it means for the layers."""
    background = np.ascontiguousarray(wanted.background.array[..., :3])
    naive = over(background, [layer.rgba for layer in wanted.layers])
    flat = naive
    if wanted.hold and wanted.change > 0 and wanted.amount > 0:
        result = render(job_of(wanted, naive))
        flat = result.pixels[-1][..., :3]
        yield result
    yield split(wanted, naive, flat)


def job_of(wanted: Harmony, naive: np.ndarray) -> Job:
    """The job of the pass: a partial scene a picture, all with one seed, so that their noise is the same."""
    words = [wanted.job.prompt.strip()]
    for layer in wanted.layers:
        words.append(_joined(words[-1], layer.words.strip(), len(words) == 1))
    use = AdapterUse(wanted.hold, 1.0, wanted.background, tuple(Picture.from_array(layer.rgba) for layer in wanted.layers), stop=max(1e-3, 1 - wanted.free))
    seeds = (wanted.job.seeds[0],) * len(words)
    return wanted.job.but(seeds=seeds, each=tuple(words), image=Picture.from_array(naive), mask=None, strength=wanted.change,
                          adapters=(*wanted.job.adapters, use))


def _joined(scene: str, thing: str, first: bool) -> str:
    """"on a beach", "a car" -> "a car on a beach"; then "a dog" -> "a dog and a car on a beach"."""
    if not thing:
        return scene
    return " ".join(part for part in ((thing, scene) if first else (thing, "and", scene)) if part)


def split(wanted: Harmony, naive: np.ndarray, flat: np.ndarray) -> Harmonised:
    """What the pass changed, as slow gains inside what shows of each layer, and as shadows."""
    layers = [layer.rgba for layer in wanted.layers]
    visible = shown([np.dstack([naive, np.full(naive.shape[:2], 255, np.uint8)]), *layers])
    blur = max(1.0, SLOW_SHARE * min(naive.shape[:2]))
    gains = tuple(slow_gain(naive, flat, seen, blur, wanted.amount) for seen in visible)
    shadows = tuple(shadow_of(layer.rgba, wanted.shadow if layer.stands else 0.0) for layer in wanted.layers)
    return Harmonised(gains, shadows, flat)


def slow_gain(before: np.ndarray, after: np.ndarray, weight: np.ndarray, blur_px: float, amount: float) -> np.ndarray:
    """float32 [H, W, 3]: by how much `after` is lighter than `before` (uint8 [H, W, 3]) inside `weight` [H, W], blurred within it
    (normalised convolution, Knutsson & Westin 1993) and continued outside. 1 where amount is 0."""
    if amount == 0 or weight.max() < 0.5:
        return np.ones(before.shape, np.float32)
    inside = np.where(weight > 0.95, weight, 0) if (weight > 0.95).sum() >= 16 else weight
    sums = [cv2.GaussianBlur((picture.astype(np.float32) + BLACK) * inside[..., None], (0, 0), blur_px) for picture in (after, before)]
    reach = cv2.GaussianBlur(inside, (0, 0), blur_px)[..., None]
    total = [((picture.astype(np.float32) + BLACK) * inside[..., None]).sum((0, 1)) / inside.sum() for picture in (after, before)]
    mean = total[0] / total[1]
    gain = (sums[0] + 1e-2 * mean) / (sums[1] + 1e-2)
    gain = np.where(reach > 1e-3, gain, mean)
    return (1 + amount * (gain.clip(LEAST_GAIN, MOST_GAIN) - 1)).astype(np.float32)


def lit(rgba: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """A layer's own pixels, uint8 [h, w, 4], in another light (gain [h, w, 3]); its alpha is the same."""
    rgb = (rgba[..., :3].astype(np.float32) + BLACK) * gain - BLACK
    return np.dstack([rgb.clip(0, 255).round().astype(np.uint8), rgba[..., 3]])


def shadow_of(rgba: np.ndarray, darkness: float) -> np.ndarray:
    """A soft contact shadow, straight RGBA uint8 [H, W, 4] in black: the thing's width, squashed flat onto the ground where it stands."""
    out = np.zeros(rgba.shape, np.uint8)
    solid = rgba[..., 3] >= SOLID
    if darkness == 0 or not solid.any():
        return out
    x0, y0, x1, y1 = box_of(solid)
    foot = solid[max(y0, y1 - max(2, (y1 - y0) // 4)):y1].any(0)                 # what of its width stands near the ground
    left, right = np.flatnonzero(foot)[[0, -1]]
    wide, high = max(2.0, (right - left + 1) / 2), max(1.5, CONTACT_HEIGHT * (right - left + 1) / 2)
    drawn = np.zeros(solid.shape, np.float32)
    cv2.ellipse(drawn, ((float(left + right) / 2, y1 - high * 0.4), (2.1 * wide, 2 * high), 0.0), 1.0, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(drawn, (0, 0), max(1.0, high * 0.45))
    out[..., 3] = (255 * CONTACT * darkness / 0.6 * soft).clip(0, 255).round().astype(np.uint8)
    return out


def recomposed(wanted: Harmony, made: Harmonised, background: bool = True) -> np.ndarray:
    """The layers with their gains and shadows, flattened, uint8 [H, W, 3]: what the stack shows afterwards."""
    place = np.ascontiguousarray(wanted.background.array[..., :3])
    rgba = np.dstack([place, np.full(place.shape[:2], 255, np.uint8)])
    stack = [layer for thing, gain, shadow in zip(wanted.layers, made.gains[1:], made.shadows) for layer in (shadow, lit(thing.rgba, gain))]
    return over(lit(rgba, made.gains[0])[..., :3] if background else place, stack)
