"""A line of words as a text layer: set anew whenever its words, font or size change, in its old place."""
from __future__ import annotations

import math
from dataclasses import fields

from models.job import Picture
from models.words.lettering import Block, fonts, letter, measure
from models.layers.stack import ALIGNS, MAX_WORDS_CHARS, Layer, Placement, Text
from studio.layers.task import Call, Made, Outcome, Task

OF_CANVAS = 0.12                                     # size of new words, of the canvas's shorter side
LEVER = {"left": 0.0, "center": 0.5, "right": 1.0}   # the part of the box that stays where it is


def run(call: Call) -> Outcome:
    """asked: words, font, size_px, colour, align, width_px, line_height, letter_spacing; layer: the text layer to change, whose own values
    hold where nothing is asked; box: [x, y, width] of a new one."""
    old = call.layer("layer") if call.text("layer") else None
    text = asked_text(call, old.text if old else None)
    rgba, block = letter(text), measure(text)
    place = again(old, text, block, rgba.shape[1], rgba.shape[0]) if old and old.text else fresh(call, text, block, rgba.shape[1], rgba.shape[0])
    name = " ".join(text.words.split())[:60]
    made = Made(name, Picture.from_array(rgba), place, {"task": "text"}, old.blend if old else "normal", old.opacity if old else 1.0, text)
    return Outcome((made,), (old.id,) if old else ())


def asked_text(call: Call, before: Text | None) -> Text:
    """The text that is asked for, over that of the layer it replaces."""
    side = min(call.stack.extent.width, call.stack.extent.height)
    now = before or Text("", "inter-bold", round(OF_CANVAS * side), align="left")
    given = {f.name: getattr(now, f.name) for f in fields(Text)}
    if "words" in call.asked:
        given["words"] = call.asked["words"] if isinstance(call.asked["words"], str) else call.text("words", most=MAX_WORDS_CHARS)
    given |= {"font": call.choice("font", now.font, tuple(fonts())), "align": call.choice("align", now.align, ALIGNS),
              "colour": call.text("colour", now.colour, 7)}
    for name, low, high in (("size_px", 1, 8192), ("width_px", 0, 65_536), ("line_height", 0.1, 10), ("letter_spacing", -1000, 1000)):
        given[name] = call.number(name, float(given[name]), low, high)
    return Text(**given)


def fresh(call: Call, text: Text, block: Block, width: int, height: int) -> Placement:
    """In the dragged box, else in the middle of the canvas."""
    box = call.asked.get("box")
    if isinstance(box, list) and len(box) == 3 and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in box):
        return Placement.at(box[0] - block.margin, box[1] - block.margin, width, height)
    canvas = call.stack.extent
    return Placement(canvas.width / 2, canvas.height / 2, width, height)


def again(old: Layer, text: Text, block: Block, width: int, height: int) -> Placement:
    """The new words where the old ones were, at their scale and angle: the first line's end that they are aligned to stays."""
    place, before = old.place, measure(old.text)
    across, down = place.width / math.ceil(before.width), place.height / math.ceil(before.height)
    x0, y0 = _anchor(before, LEVER[old.text.align])
    x1, y1 = _anchor(block, LEVER[text.align])
    dx, dy = (x0 - x1) * across * (-1 if place.flip_x else 1), (y0 - y1) * down * (-1 if place.flip_y else 1)
    turn = math.radians(place.angle_deg)
    return Placement(place.x + dx * math.cos(turn) - dy * math.sin(turn), place.y + dx * math.sin(turn) + dy * math.cos(turn),
                     width * across, height * down, place.angle_deg, place.flip_x, place.flip_y)


def _anchor(block: Block, lever: float) -> tuple[float, float]:
    """The held point, from the middle of the picture."""
    return (lever - 0.5) * (block.width - 2 * block.margin), block.margin - block.height / 2


TASK = Task("text", "Words", run)
