"""A thing in another colour, its light and shade kept: shifts in CIE L*a*b* inside a mask. Arithmetic only, no network.

The thing's main colour (the commonest of its hues, or of its greys when it has none) moves onto the wished one. A pixel follows as far as it
has that hue; outlines, eyes and highlights are of no hue and stay. Lightness moves as a curve through black and white, so that shade stays
shade and nothing is clipped. Whole pictures and tones ("darker", "black-and-white") go the same way.
"""
from __future__ import annotations

import cv2
import numpy as np

from models.errors import BadInput
from models.flows._cutout import lab
from models.flows._edit_words import colour_of
from models.job import Picture
from models.words.instructions import TONES

HUES, SPREAD_DEG, FOLLOW_DEG = 36, 25.0, 55.0        # bins of hue; what is the main hue; a hue so far off no longer follows
GREY = 9.0                                           # chroma below it is no hue
MAIN_SHARE, HUE_SHARE = 0.45, 0.12                   # below: too many hues for a main one, all follow; too few hues at all, greys follow
TONE_CHROMA = {"black-and-white": 0.0, "paler": 0.45, "stronger": 1.6}
TONE_LIGHT = {"darker": 0.68, "lighter": 1.5}        # exponent-like: see _curve
UNKNOWN = 'Say a colour such as "red" or "dark blue", or "darker", "lighter", "paler", "black-and-white".'


def recoloured(picture: Picture, alpha: np.ndarray, words: str, strength: float = 1.0) -> Picture:
    """`alpha` float32 [H, W]: how much of each pixel changes. Where it is 0 every bit stays, and the picture's own alpha stays everywhere.
    Raises BadInput when words name no colour."""
    colour = colour_of(words)
    if colour is None and words not in TONES.values():
        raise BadInput(f'"{words}" is no colour that is known here.', UNKNOWN)
    array = picture.array
    rgb = np.repeat(array, 3, 2) if picture.channels == 1 else array[..., :3]
    if strength == 0 or not alpha.any():
        return picture
    before = lab(rgb)
    after = _toned(before, words) if colour is None else _moved(before, alpha, lab(np.uint8([[colour]]))[0, 0])
    weight = (alpha * strength)[..., None].astype(np.float32)
    mixed = cv2.cvtColor(np.ascontiguousarray(before + (after - before) * weight), cv2.COLOR_Lab2RGB)
    new = np.where(weight > 0, (mixed.clip(0, 1) * 255).round(), rgb).astype(np.uint8)
    return Picture.from_array(new if picture.channels != 4 else np.dstack([new, array[..., 3]]))


def _toned(before: np.ndarray, tone: str) -> np.ndarray:
    out = before.copy()
    out[..., 1:] *= TONE_CHROMA.get(tone, 1.0)
    if tone in TONE_LIGHT:
        out[..., 0] = 100 * (before[..., 0] / 100).clip(0, 1) ** (1 / TONE_LIGHT[tone])
    return out


def _moved(before: np.ndarray, alpha: np.ndarray, wished: np.ndarray) -> np.ndarray:
    """Main colour -> `wished` [3], each pixel as far as it follows."""
    follows, main = followers(before, alpha)
    out = before.copy()
    out[..., 0] = _curve(before[..., 0], float(main[0]), float(wished[0]))
    chroma = np.hypot(before[..., 1], before[..., 2])
    had = float(np.hypot(*main[1:]))
    share = np.ones_like(chroma) if had < GREY else (chroma / had).clip(0, 1.35)
    out[..., 1:] = wished[1:] * share[..., None]
    return before + (out - before) * follows[..., None]


def followers(before: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [H, W] in 0..1: who follows the main colour, that colour [3]) of L*a*b* [H, W, 3] inside alpha."""
    chroma, hue = np.hypot(before[..., 1], before[..., 2]), np.degrees(np.arctan2(before[..., 2], before[..., 1])) % 360
    inside = alpha > 0.5 if (alpha > 0.5).any() else alpha > 0
    hued = inside & (chroma > GREY)
    if hued.sum() < HUE_SHARE * inside.sum():
        return _greys(before, chroma, inside)
    bins = np.bincount((hue[hued] / 360 * HUES).astype(int) % HUES, weights=chroma[hued], minlength=HUES).astype(float)
    main = (np.convolve(np.tile(bins, 3), [0.5, 1, 0.5], "same")[HUES:2 * HUES].argmax() + 0.5) * 360 / HUES
    off = np.abs((hue - main + 180) % 360 - 180)
    near = hued & (off < SPREAD_DEG)
    many = chroma[near].sum() < MAIN_SHARE * chroma[hued].sum()
    chosen = hued if many else near
    reach = np.ones_like(chroma) if many else ((FOLLOW_DEG - off) / (FOLLOW_DEG - SPREAD_DEG)).clip(0, 1)
    return (reach * ((chroma - GREY / 2) / GREY).clip(0, 1)).astype(np.float32), np.median(before[chosen], 0)


def _greys(before: np.ndarray, chroma: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A thing without hues: its commonest lightness leads, and what is much darker (lines, eyes) stays."""
    light = before[..., 0]
    bins = np.bincount((light[inside].clip(0, 99.9) / 5).astype(int), minlength=20)
    main = float(np.median(light[inside & (np.abs(light - (bins.argmax() + 0.5) * 5) < 10)]))
    reach = ((45 - np.abs(light - main)) / 20).clip(0, 1) * ((3 * GREY - chroma) / GREY).clip(0, 1)
    return reach.astype(np.float32), np.float32([main, 0, 0])


def _curve(light: np.ndarray, main: float, wished: float) -> np.ndarray:
    """L* 0..100 through (0, 0), (main, wished), (100, 100): a power, so that order and both ends stay."""
    a, b = min(max(main, 4.0), 96.0) / 100, min(max(wished, 6.0), 94.0) / 100
    return 100 * (light / 100).clip(0, 1) ** (np.log(b) / np.log(a))
