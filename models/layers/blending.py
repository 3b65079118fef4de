"""Laying one picture on another: the formulas of W3C Compositing and Blending Level 1.

Pictures are float32 [..., 4], premultiplied, in [0, 1]. Colours are mixed as they are stored (sRGB), as browsers and editors do.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.errors import BadInput

EXACT = 1e-5                                         # far below one step of 8 bits: what rounding may take from a 0 or a 1
LUMA = np.float32([0.3, 0.59, 0.11])                 # section 10.2, Lum
Blend = Callable[[np.ndarray, np.ndarray], np.ndarray]


def laid(under: np.ndarray, over: np.ndarray, mode: str = "normal") -> np.ndarray:
    """`over` laid on `under` (sections 5.1 and 10): co = cs as (1 - ab) + cb ab (1 - as) + as ab B(cb, cs). Where nothing of `over`
    is seen, `under` comes back exactly."""
    if mode == "plus-lighter":                       # section 9.1.14 "plus": both lights added
        return np.minimum(under + over, 1)
    a_over, a_under = over[..., 3:], under[..., 3:]
    out = over + under * (1 - a_over)                # = normal; its alpha is that of every mode but plus-lighter
    if mode == "normal":
        return out
    if mode not in MODES:
        raise BadInput(f'There is no blend mode "{mode}".', f"Known: normal, {', '.join(MODES)}, plus-lighter.")
    mixed = MODES[mode](straight(under)[..., :3], straight(over)[..., :3])
    out[..., :3] += (a_over * mixed - over[..., :3]) * a_under
    return bounded(out)


def bounded(pixels: np.ndarray) -> np.ndarray:
    """Premultiplied pixels brought back into 0 <= colour <= alpha <= 1, in place; what is there already is not touched."""
    np.clip(pixels, 0, 1, out=pixels)
    np.minimum(pixels, pixels[..., 3:].copy(), out=pixels)
    return pixels


def premultiplied(pixels: np.ndarray) -> np.ndarray:
    """uint8 straight [..., 4] -> float32 premultiplied in [0, 1]."""
    out = pixels.astype(np.float32) / 255
    out[..., :3] *= out[..., 3:]
    return out


def straight(pixels: np.ndarray) -> np.ndarray:
    """float32 premultiplied -> float32 straight in [0, 1]; no colour where nothing is seen."""
    alpha = pixels[..., 3:]
    out = pixels / np.maximum(alpha, 1e-30)          # where alpha is 0 so is the colour
    out[..., 3:] = alpha
    return np.clip(out, 0, 1, out=out)               # rounding leaves colours just below 0, which a clear pixel would make huge


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """float32 premultiplied -> uint8 straight, rounded; where alpha rounds to 0 the colour is 0 too."""
    out = straight(pixels)
    out *= 255
    out += 0.5
    bytes_ = out.astype(np.uint8)
    bytes_ *= bytes_[..., 3:] > 0
    return bytes_


# --- B(cb, cs): section 10.1, channel by channel -----------------------------------------------------------------------------

def _hard_light(b: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.where(s <= 0.5, b * 2 * s, b + (2 * s - 1) - b * (2 * s - 1))


def _dodge(b: np.ndarray, s: np.ndarray) -> np.ndarray:
    out = np.minimum(1, b / np.maximum(1 - s, EXACT))
    return np.where(b <= EXACT, 0, np.where(s >= 1 - EXACT, 1, out))


def _burn(b: np.ndarray, s: np.ndarray) -> np.ndarray:
    out = 1 - np.minimum(1, (1 - b) / np.maximum(s, EXACT))
    return np.where(b >= 1 - EXACT, 1, np.where(s <= EXACT, 0, out))


def _soft_light(b: np.ndarray, s: np.ndarray) -> np.ndarray:
    d = np.where(b <= 0.25, ((16 * b - 12) * b + 4) * b, np.sqrt(b))
    return np.where(s <= 0.5, b - (1 - 2 * s) * b * (1 - b), b + (2 * s - 1) * (d - b))


# --- section 10.2: the whole colour at once ----------------------------------------------------------------------------------

def _lum(c: np.ndarray) -> np.ndarray:
    return (c @ LUMA)[..., None]


def _sat(c: np.ndarray) -> np.ndarray:
    return np.ptp(c, axis=-1, keepdims=True)


def _with_lum(c: np.ndarray, lum: np.ndarray) -> np.ndarray:
    """SetLum and ClipColor: moved to that luminosity, then drawn towards grey until it lies in [0, 1]."""
    c = c + (lum - _lum(c))
    lum = _lum(c)
    low, high = c.min(-1, keepdims=True), c.max(-1, keepdims=True)
    c = np.where(low < 0, lum + (c - lum) * lum / np.maximum(lum - low, 1e-9), c)
    return np.where(high > 1, lum + (c - lum) * (1 - lum) / np.maximum(high - lum, 1e-9), c)


def _with_sat(c: np.ndarray, sat: np.ndarray) -> np.ndarray:
    """SetSat: stretched so that its smallest channel is 0 and its largest is `sat`."""
    low, span = c.min(-1, keepdims=True), _sat(c)
    return np.where(span > EXACT, (c - low) * sat / np.maximum(span, EXACT), 0)


MODES: dict[str, Blend] = {
    "multiply": lambda b, s: b * s,
    "screen": lambda b, s: b + s - b * s,
    "overlay": lambda b, s: _hard_light(s, b),
    "darken": np.minimum,
    "lighten": np.maximum,
    "color-dodge": _dodge,
    "color-burn": _burn,
    "hard-light": _hard_light,
    "soft-light": _soft_light,
    "difference": lambda b, s: np.abs(b - s),
    "exclusion": lambda b, s: b + s - 2 * b * s,
    "hue": lambda b, s: _with_lum(_with_sat(s, _sat(b)), _lum(b)),
    "saturation": lambda b, s: _with_lum(_with_sat(b, _sat(s)), _lum(b)),
    "color": lambda b, s: _with_lum(s, _lum(b)),
    "luminosity": lambda b, s: _with_lum(b, _lum(s)),
}
