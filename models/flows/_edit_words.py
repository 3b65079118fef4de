"""Words of an edit as the tools need them: names of things, colours as numbers, and the colours that a target speaks of."""
from __future__ import annotations

import cv2
import numpy as np

from models.flows._cutout import lab
from models.nouns import COLOURS, words_of
from models.words.instructions import with_article

PALETTE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((214, 40, 40), (160, 24, 30), (240, 84, 80)), "orange": ((245, 140, 40), (250, 170, 90)),
    "yellow": ((252, 212, 50), (255, 236, 130)), "green": ((70, 170, 70), (30, 110, 50), (160, 205, 80)),
    "turquoise": ((60, 190, 180), (110, 220, 215)), "blue": ((50, 110, 220), (24, 50, 140), (100, 180, 240)),
    "purple": ((140, 80, 200), (90, 40, 140), (180, 140, 225)), "pink": ((246, 130, 180), (250, 180, 205), (235, 60, 150)),
    "brown": ((140, 88, 50), (95, 58, 40), (180, 125, 80)), "black": ((24, 24, 28), (50, 50, 54)),
    "grey": ((140, 142, 146), (100, 102, 106), (185, 187, 190)), "white": ((250, 250, 250), (232, 232, 234)), "beige": ((238, 222, 190),)}
SAME = {"violet": "purple", "gray": "grey", "golden": "yellow", "gold": "yellow", "silver": "grey", "cyan": "turquoise", "teal": "turquoise",
        "magenta": "pink", "navy": "blue", "crimson": "red", "scarlet": "red", "cream": "beige"}
OWN = {"gold": (230, 180, 50), "golden": (230, 180, 50), "silver": (190, 194, 200), "cyan": (40, 200, 220), "teal": (30, 130, 130),
       "magenta": (220, 40, 160), "navy": (24, 40, 110), "crimson": (170, 20, 50), "scarlet": (235, 50, 30), "cream": (250, 240, 210), "violet": (120, 70, 210)}
LIGHTER, DARKER = ("light", "pale", "bright"), ("dark", "deep")
_PROTOTYPES = [(name, rgb) for name, several in PALETTE.items() for rgb in several]
_IN_LAB = lab(np.uint8([[rgb for _, rgb in _PROTOTYPES]]))[0]
COLOUR_NAMES = tuple(PALETTE)


def named(words: str) -> str:
    """"the red hat" -> "a red hat"."""
    return with_article(" ".join(word for word in words.split() if word.lower() not in ("the", "this", "that", "my", "its")))


def colours_in(words: str) -> list[str]:
    """The names of PALETTE that words speak of, in their order."""
    return [SAME.get(word.text, word.text) for word in words_of(words) if SAME.get(word.text, word.text) in PALETTE]


def without_colours(words: str) -> str:
    return " ".join(word for word in words.split() if word.lower() not in COLOURS)


def colour_of(words: str) -> tuple[int, int, int] | None:
    """The colour that words ask for, RGB, lighter or darker where they say so; None where they name none."""
    said = [word.text for word in words_of(words)]
    name = next((word for word in reversed(said) if word in OWN or word in PALETTE or word in SAME), None)
    if name is None:
        return None
    rgb = np.float32(OWN.get(name) or PALETTE[SAME.get(name, name)][0])
    if any(word in said for word in DARKER):
        rgb = rgb * 0.55
    elif any(word in said for word in LIGHTER):
        rgb = rgb + (255 - rgb) * 0.5
    return tuple(int(round(float(v))) for v in rgb)


def colour_names(rgb: np.ndarray) -> np.ndarray:
    """uint8 [N, 3] -> int [N], the number in COLOUR_NAMES of the nearest prototype, lightness counting half."""
    if not len(rgb):
        return np.zeros(0, int)
    weigh = np.float32([0.5, 1, 1])
    pixels = cv2.cvtColor(np.ascontiguousarray(rgb[None]).astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0] * weigh
    nearest = (((pixels[:, None] - _IN_LAB[None] * weigh) ** 2).sum(-1)).argmin(1)
    return np.array([COLOUR_NAMES.index(name) for name, _ in _PROTOTYPES])[nearest]


def colour_share(rgb: np.ndarray, weight: np.ndarray, name: str) -> float:
    """The share of `weight` [H, W] whose pixels of uint8 rgb [H, W, 3] have the colour `name`."""
    inside = weight > 0.5
    if not inside.any():
        return 0.0
    return float((colour_names(rgb[inside]) == COLOUR_NAMES.index(SAME.get(name, name))).mean())
