"""What all openers keep: the pictures of the layers so far, how many pixels they have together, and what was lost."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.errors import BadInput
from models.job import MAX_SIDE_PX, Extent, Picture
from models.layers.stack import MAX_NAME_CHARS, Layer, Placement, new_id
from studio import opening

MAX_NOTES = 12


@dataclass
class Room:
    pictures: dict[str, Picture] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    pixels: int = 0

    def make_room(self, width: int, height: int) -> None:
        """Called before pixels are unpacked. Raises BadInput when all layers together are too large."""
        self.pixels += width * height
        if self.pixels > opening.MAX_TOTAL_PX:
            raise BadInput(f"The layers have more than {opening.MAX_TOTAL_PX / 1e6:.0f} megapixels together.", "Merge some of them, or make them smaller.")

    def layer(self, pixels: np.ndarray, left: int, top: int, name: str, **more: object) -> Layer:
        """uint8 RGBA [h, w, 4] as a layer whose left upper corner lies there."""
        picture = Picture.from_array(pixels)
        self.pictures[picture.digest] = picture
        return Layer(new_id(), named(name), picture.digest, Placement.at(left, top, picture.width, picture.height), **more)

    def note(self, text: str) -> None:
        """Once each, and not without end."""
        if text not in self.notes and len(self.notes) <= MAX_NOTES:
            self.notes.append(text if len(self.notes) < MAX_NOTES else "There is more that could not be kept.")


def named(name: str, fallback: str = "Layer") -> str:
    """A name that a layer may have."""
    return "".join(c for c in str(name) if c.isprintable()).strip()[:MAX_NAME_CHARS] or fallback


def canvas(width: int, height: int) -> Extent:
    if max(width, height) > MAX_SIDE_PX:
        raise BadInput(f"The canvas has {width}x{height} px; {MAX_SIDE_PX:,} px a side is the most.", "Make it smaller in the program that made it.")
    return Extent(width, height)
