"""Every blend mode against the formulas of the W3C text, written out for one pixel at a time, and against closed forms."""
from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from models.layers import blending
from models.layers.blending import laid, premultiplied, straight, to_uint8
from models.errors import BadInput
from models.layers.stack import BLENDS


def lum(c: list[float]) -> float:
    return 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]


def set_lum(c: list[float], to: float) -> list[float]:
    c = [x + to - lum(c) for x in c]
    mean, low, high = lum(c), min(c), max(c)
    if low < 0:
        c = [mean + (x - mean) * mean / (mean - low) for x in c]
    if high > 1:
        c = [mean + (x - mean) * (1 - mean) / (high - mean) for x in c]
    return c


def set_sat(c: list[float], to: float) -> list[float]:
    """The text's own way: the middle channel is stretched, the largest becomes `to`, the smallest 0."""
    out, (low, mid, high) = [0.0] * 3, sorted(range(3), key=lambda i: c[i])
    if c[high] > c[low]:
        out[mid], out[high] = (c[mid] - c[low]) * to / (c[high] - c[low]), to
    return out


def sat(c: list[float]) -> float:
    return max(c) - min(c)


def one_channel(mode: str, b: float, s: float) -> float:
    if mode == "overlay":
        return one_channel("hard-light", s, b)
    if mode == "hard-light":
        return one_channel("multiply", b, 2 * s) if s <= 0.5 else one_channel("screen", b, 2 * s - 1)
    if mode == "color-dodge":
        return 0 if b == 0 else 1 if s == 1 else min(1, b / (1 - s))
    if mode == "color-burn":
        return 1 if b == 1 else 0 if s == 0 else 1 - min(1, (1 - b) / s)
    if mode == "soft-light":
        d = ((16 * b - 12) * b + 4) * b if b <= 0.25 else math.sqrt(b)
        return b - (1 - 2 * s) * b * (1 - b) if s <= 0.5 else b + (2 * s - 1) * (d - b)
    return {"normal": s, "multiply": b * s, "screen": b + s - b * s, "darken": min(b, s), "lighten": max(b, s), "difference": abs(b - s),
            "exclusion": b + s - 2 * b * s}[mode]


def mixed(mode: str, b: list[float], s: list[float]) -> list[float]:
    whole = {"hue": lambda: set_lum(set_sat(s, sat(b)), lum(b)), "saturation": lambda: set_lum(set_sat(b, sat(s)), lum(b)),
             "color": lambda: set_lum(s, lum(b)), "luminosity": lambda: set_lum(b, lum(s))}
    return whole[mode]() if mode in whole else [one_channel(mode, x, y) for x, y in zip(b, s)]


def reference(mode: str, under: list[float], over: list[float]) -> list[float]:
    """Two straight RGBA pixels -> one premultiplied one: section 5.1 with the blending of section 10 put in."""
    (*cb, ab), (*cs, a) = under, over
    if mode == "plus-lighter":
        return [min(1, a * s + ab * b) for s, b in zip(cs, cb)] + [min(1, a + ab)]
    colour = [(1 - ab) * s + ab * m for s, m in zip(cs, mixed(mode, cb, cs))]
    return [a * c + (1 - a) * ab * b for c, b in zip(colour, cb)] + [a + ab * (1 - a)]


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """uint8 pixels, two by two: random ones, and every mix of the values at which a formula changes its branch."""
    rng = np.random.default_rng(5)
    edge = np.array([0, 1, 63, 64, 127, 128, 254, 255], np.uint8)
    picked = edge[rng.integers(0, len(edge), (1500, 8))]
    both = np.concatenate([rng.integers(0, 256, (1500, 8), dtype=np.uint8), picked])
    return both[:, :4], both[:, 4:]


@pytest.mark.parametrize("mode", BLENDS)
def test_a_mode_is_what_the_text_says(mode: str) -> None:
    under, over = pairs()
    got = laid(premultiplied(under), premultiplied(over), mode)
    want = np.array([reference(mode, list(b / 255), list(s / 255)) for b, s in zip(under.astype(float), over.astype(float))])
    assert np.abs(got - want).max() < 2e-5


@pytest.mark.parametrize("mode, value", [
    ("normal", 0.6), ("multiply", 0.12), ("screen", 0.68), ("overlay", 0.24), ("darken", 0.2), ("lighten", 0.6), ("color-dodge", 0.5),
    ("color-burn", 0), ("hard-light", 0.36), ("soft-light", 0.2 + 0.2 * (0.2 ** 0.5 if 0.2 > 0.25 else ((16 * 0.2 - 12) * 0.2 + 4) * 0.2) - 0.04),
    ("difference", 0.4), ("exclusion", 0.56), ("hue", 0.2), ("saturation", 0.2), ("color", 0.2), ("luminosity", 0.6), ("plus-lighter", 0.8)])
def test_closed_forms_for_grey(mode: str, value: float) -> None:
    """Backdrop 0.2 and source 0.6, both opaque and grey."""
    under, over = np.float32([0.2, 0.2, 0.2, 1]), np.float32([0.6, 0.6, 0.6, 1])
    assert laid(under, over, mode) == pytest.approx([value, value, value, 1], abs=1e-6)


@pytest.mark.parametrize("mode", BLENDS)
def test_nothing_over_and_nothing_under(mode: str) -> None:
    """A layer of which nothing is seen leaves every bit; on nothing, a layer is itself."""
    some, nothing = premultiplied(pairs()[0]), np.zeros((3000, 4), np.float32)
    assert (laid(some, nothing, mode) == some).all()
    assert np.abs(laid(nothing, some, mode) - some).max() < 1e-6


@pytest.mark.parametrize("mode", BLENDS)
def test_results_are_pictures(mode: str) -> None:
    out = laid(*map(premultiplied, pairs()), mode)
    assert out.min() >= 0 and out.max() <= 1 + 1e-6 and (out[:, :3] <= out[:, 3:] + 1e-6).all()


def test_every_straight_pixel_survives_premultiplying() -> None:
    """All 256 x 255 pairs of a colour and an alpha above 0 come back bit for bit; a colour without alpha is dropped."""
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    pixels = np.stack([colour, colour, colour, alpha], -1).astype(np.uint8)
    back = to_uint8(premultiplied(pixels))
    assert (back[:, 1:] == pixels[:, 1:]).all() and not back[:, 0].any()
    assert straight(premultiplied(pixels)).max() <= 1


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(BadInput, match='no blend mode "dissolve"'):
        laid(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32), "dissolve")
    assert set(blending.MODES) | {"normal", "plus-lighter"} == set(BLENDS)


def test_a_colour_that_rounding_left_below_zero_stays_black() -> None:
    pixels = np.float32([[[-1e-9, 0.5e-9, 1.0, 0.0], [-1e-7, 0.502, 1.0000001, 1.0000001]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_uint8(pixels).tolist() == [[[0, 0, 0, 0], [0, 128, 255, 255]]]
