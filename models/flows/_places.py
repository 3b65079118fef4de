"""Where a product may stand: words for the background of an advertisement, by rules from the product's words and colours."""
from __future__ import annotations

import cv2
import numpy as np

from models.flows._cutout import SOLID, lab
from models.nouns import words_of
from models.spec import EMBEDDED, BaseSpec

# What a thing goes with: scenes that the embedded base was shown (models/lab/pictures.py), which bigger bases know too.
SCENES = {
    "on a beach": "sun sunscreen lotion juice drink lemonade cocktail coconut ice icecream surf sunglasses hat sandal shell boat ball holiday swim",
    "under the sea": "fish shell crab octopus whale diving pearl salt water",
    "in the snow": "ski sled snowman coat jacket glove boots tea cocoa chocolate mint skate penguin christmas gift winter",
    "at sunset": "wine perfume car motorcycle guitar watch camera coffee rocket bus plane music love rose",
    "on a green field": "milk cheese egg honey bread apple pear fruit salad vegetable carrot tea flower plant bike bicycle tractor dog horse cow soap cream",
    "in a room": "lamp chair sofa bed clock book candle cup mug toy teddy computer phone cake pizza cookie",
    "at night": "moon star lamp candle perfume whisky owl rocket telescope light",
    "in the desert": "cactus camel boots spice pepper jeep"}
COLOURS = {"yellow": (252, 214, 84), "pink": (246, 164, 192), "blue": (74, 134, 226), "teal": (56, 166, 164), "beige": (238, 224, 200),
           "purple": (140, 98, 200), "orange": (246, 150, 60), "green": (92, 178, 96)}
LARGER = ", soft light, empty place, simple background"


def places(words: str, product: np.ndarray, spec: BaseSpec, count: int) -> list[str]:
    """`count` backgrounds for a product, RGBA uint8 [H, W, 4], best first: a scene that goes with it if one is known, then plain colours that
    it stands out from. Bigger bases are told about the light too."""
    said = {form for word in words_of(words) for form in (word.text, word.text.removesuffix("s"))}
    scenes = [scene for scene, things in SCENES.items() if said & set(things.split())]
    colours = [f"on a {name} background" for name in standing_out(product)]
    mixed = [place for pair in zip(scenes, colours) for place in pair] + scenes[len(colours):] + colours[len(scenes):]
    ending = "" if spec.arch == EMBEDDED else LARGER
    return [mixed[i % len(mixed)] + ending for i in range(count)]


def standing_out(product: np.ndarray) -> list[str]:
    """Names of COLOURS, the one farthest from any of the product's main colours first."""
    main = lab(main_colours(product)[None].astype(np.uint8))[0]
    far = {name: np.linalg.norm(main - lab(np.uint8([[rgb]]))[0, 0], axis=1).min() for name, rgb in COLOURS.items()}
    return sorted(COLOURS, key=lambda name: -far[name])


def main_colours(product: np.ndarray, count: int = 4) -> np.ndarray:
    """float32 [count, 3] in 0..255, the commonest first, of the solid part of an RGBA picture."""
    solid = product[product[..., 3] >= SOLID][:, :3].astype(np.float32)
    if len(solid) < count:
        return np.full((count, 3), 128, np.float32)
    cv2.setRNGSeed(0)
    some = solid[:: max(1, len(solid) // 4000)]
    _, labels, centres = cv2.kmeans(some, min(count, len(some)), None, (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5), 1,
                                    cv2.KMEANS_PP_CENTERS)
    return centres[np.argsort(-np.bincount(labels[:, 0], minlength=len(centres)))]
