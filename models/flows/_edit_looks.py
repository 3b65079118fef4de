"""Looks that are arithmetic on pixels: watercolour, ink, pencil and their kin, for bases that were never taught them.

A small base restyles a whole scene only by painting it again, badly; these keep every shape. numpy and OpenCV; uint8 [H, W, 3] -> same.
"""
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

PAPER = np.float32([250, 246, 236])
LEVELS, PIXELS = 5, 48                               # steps of light in a poster; pixels along the longer side
INK = np.float32([30, 30, 44])


def _scale(rgb: np.ndarray) -> float:
    """Sizes below are meant for 256 px."""
    return max(rgb.shape[:2]) / 256


def _flat(rgb: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Areas even, edges kept (Tomasi & Manduchi 1998)."""
    for _ in range(rounds):
        rgb = cv2.bilateralFilter(rgb, 9, 40, max(3.0, 4 * _scale(rgb)))
    return rgb


def _lines(rgb: np.ndarray, width: float = 1.0) -> np.ndarray:
    """float32 [H, W], 1 on dark sides of edges: a difference of Gaussians, softly cut (Winnemoeller 2011, "XDoG", eq. 6)."""
    light = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sigma = 0.8 * width * _scale(rgb)
    sharp = cv2.GaussianBlur(light, (0, 0), sigma) - 0.98 * cv2.GaussianBlur(light, (0, 0), 1.6 * sigma)
    return (1 - np.where(sharp >= 0, 1, 1 + np.tanh(0.35 * sharp))).clip(0, 1).astype(np.float32)


def _grain(rgb: np.ndarray, size: float, seed: int = 0) -> np.ndarray:
    """float32 [H, W], mean 0, spread 1: the same for the same size."""
    noise = np.random.default_rng(seed).standard_normal(rgb.shape[:2]).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), max(0.6, size * _scale(rgb)))
    return (soft - soft.mean()) / max(float(soft.std()), 1e-6)


def watercolour(rgb: np.ndarray) -> np.ndarray:
    """Even washes, uneven with the paper, darker where they dry at edges, paler in the light."""
    wash = _flat(rgb, 4).astype(np.float32)
    edge = cv2.GaussianBlur(_lines(rgb, 1.4), (0, 0), 0.8 * _scale(rgb))
    pale = PAPER - (PAPER - wash) * (0.82 + 0.07 * _grain(rgb, 6, 1) + 0.03 * _grain(rgb, 0.8, 2))[..., None]
    return _whole(pale * (1 - 0.35 * edge[..., None]))


def ink(rgb: np.ndarray) -> np.ndarray:
    """Black lines and hatching where it is dark."""
    light = cv2.cvtColor(_flat(rgb, 2), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    y, x = np.mgrid[:rgb.shape[0], :rgb.shape[1]].astype(np.float32) / _scale(rgb)
    hatch = np.zeros(light.shape, np.float32)
    for limit, wave in ((0.6, np.sin((x + y) * 1.3)), (0.4, np.sin((x - y) * 1.3)), (0.2, np.sin(y * 1.9))):
        hatch = np.maximum(hatch, ((limit - light) * 6).clip(0, 1) * (wave > 0.35))
    dark = np.maximum(_lines(rgb, 1.2), cv2.GaussianBlur(hatch, (0, 0), 0.5 * _scale(rgb)))[..., None]
    return _whole(PAPER + (INK - PAPER) * dark)


def pencil(rgb: np.ndarray) -> np.ndarray:
    """Grey tone by dividing by its own blur, and the grain of paper."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) + 1
    soft = cv2.GaussianBlur(255 - grey, (0, 0), 7 * _scale(rgb))
    tone = (grey * 255 / (256 - soft)).clip(0, 255)
    tone = tone * (0.75 + 0.25 * grey / 255) + 9 * _grain(rgb, 0.7) * (1 - tone / 255)
    return _whole(np.repeat(tone[..., None], 3, 2) * PAPER / 255)


def charcoal(rgb: np.ndarray) -> np.ndarray:
    dark = cv2.GaussianBlur(255 - pencil(rgb), (0, 0), 0.8 * _scale(rgb)).astype(np.float32) * 1.4
    return _whole(PAPER - dark * (1 + 0.12 * _grain(rgb, 0.9, 3))[..., None])


def poster(rgb: np.ndarray) -> np.ndarray:
    """Few, full colours."""
    flat = cv2.cvtColor(_flat(rgb), cv2.COLOR_RGB2HSV).astype(np.float32)
    flat[..., 2] = np.round(flat[..., 2] / 255 * LEVELS) / LEVELS * 255
    flat[..., 1] = (flat[..., 1] * 1.35).clip(0, 255)
    return cv2.cvtColor(flat.round().astype(np.uint8), cv2.COLOR_HSV2RGB)


def comic(rgb: np.ndarray) -> np.ndarray:
    return _whole(poster(rgb) * (1 - _lines(rgb, 1.3)[..., None] * 0.9))


def oil(rgb: np.ndarray) -> np.ndarray:
    """The commonest colour around every pixel, and a little relief."""
    flat = _flat(rgb, 2)
    daubs = cv2.medianBlur(flat, 2 * round(2.5 * _scale(rgb)) + 1).astype(np.float32)
    relief = cv2.Sobel(_grain(rgb, 1.5, 4), cv2.CV_32F, 1, 1, ksize=3)
    return _whole(daubs + 5 * (relief / max(float(relief.std()), 1e-6))[..., None])


def pixel(rgb: np.ndarray) -> np.ndarray:
    share = PIXELS / max(rgb.shape[:2])
    size = max(1, round(rgb.shape[1] * share)), max(1, round(rgb.shape[0] * share))
    small = (cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) // 24 * 24 + 12).astype(np.uint8)
    return cv2.resize(small, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def vintage(rgb: np.ndarray) -> np.ndarray:
    """Browned, faded, darker towards the corners."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    y, x = np.mgrid[-1:1:rgb.shape[0] * 1j, -1:1:rgb.shape[1] * 1j].astype(np.float32)
    faded = 0.45 * rgb + 0.55 * grey * np.float32([1.08, 0.93, 0.72]) + 14
    return _whole(faded * (1 - 0.18 * (x * x + y * y))[..., None])


def _whole(rgb: np.ndarray) -> np.ndarray:
    return rgb.clip(0, 255).round().astype(np.uint8)


ARITHMETIC: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "watercolour": watercolour, "watercolor": watercolour, "ink": ink, "pencil": pencil, "charcoal": charcoal, "poster": poster, "comic": comic,
    "cartoon": comic, "oil": oil, "pixel": pixel, "vintage": vintage}


def look_of(words: str) -> Callable[[np.ndarray], np.ndarray] | None:
    """The look that words name, None where none of ARITHMETIC is meant."""
    said = words.lower().replace("-", " ").split()
    return next((ARITHMETIC[word] for word in said if word in ARITHMETIC), None)
