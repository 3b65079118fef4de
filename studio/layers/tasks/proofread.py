"""Reading the canvas back: which words of text layers and of painted signs a reader does not find where they stand."""
from __future__ import annotations

import math
from collections.abc import Iterator

from models import pixels
from models.errors import BadInput
from models.job import Picture
from models.layers.compose import Renderers, flatten
from models.layers.stack import Layer, Placement
from models.vector.vectors import rasterise
from models.words import reading
from models.words.lettering import letter, measure, word_boxes
from studio.layers.task import Call, Mark, Outcome, Task

MOST_READ_PX, LEAST_READ_PX = 1920, 736              # the longer side that a reader gets
Box = tuple[float, float, float, float]


def run(call: Call) -> Outcome:
    """asked: layers; those of them that hold words, else all that do. Nothing changes; misread words are marked."""
    holding = [layer for layer in call.stack.leaves() if layer.visible and (layer.text or _signs(layer))]
    chosen = {layer.id for layer in call.layers()}
    layers = [layer for layer in holding if layer.id in chosen] or holding
    if not layers:
        raise BadInput("There are no words on the canvas to read.", "Add a text layer, or paint words.")
    wanted = [(word, box, layer.id) for layer in layers for word, box in words_on(layer)]
    call.progress(0, 1, "reading")
    wrong = misread(call, [(word, box) for word, box, _ in wanted])
    marks = tuple(Mark(wanted[i][0], said, tuple(round(v, 1) for v in wanted[i][1]), wanted[i][2]) for i, said in wrong)
    return Outcome(notes=(_note(marks, len(wanted)),), marks=marks)


def _note(marks: tuple[Mark, ...], count: int) -> str:
    if not marks:
        return f"{'The word is' if count == 1 else f'All {count} words are'} read as meant."
    return f"{len(marks)} of {count} words {'is' if len(marks) == 1 else 'are'} not read as meant; outlined in red."


def misread(call: Call, wanted: list[tuple[str, Box]]) -> list[tuple[int, str]]:
    """(which, what was read) of words with boxes on the canvas; see models.words.reading.misread."""
    if not reading.readers():
        raise BadInput("Proofreading needs a reader of words, and none is installed.", reading.CURE)
    longest = max(call.stack.extent.width, call.stack.extent.height)
    scale = min(max(1.0, LEAST_READ_PX / longest), MOST_READ_PX / longest)
    seen = pixels.flatten(Picture.from_array(flatten(call.stack, call.pictures, scale, Renderers(letter, rasterise))))
    call.check()
    lines = reading.read(seen.array)
    return reading.misread([(word, tuple(v * scale for v in box)) for word, box in wanted], lines)


def words_on(layer: Layer) -> Iterator[tuple[str, Box]]:
    """The words of a layer with their upright boxes on the canvas."""
    if layer.text:
        block = measure(layer.text)
        size = math.ceil(block.width), math.ceil(block.height)
        found = word_boxes(layer.text)
    else:
        found, size = _signs(layer) or ([], (1, 1))
    for word, box in found:
        if reading.plain(word):
            yield word, on_canvas(box, size, layer.place)


def _signs(layer: Layer) -> tuple[list[tuple[str, Box]], tuple[int, int]] | None:
    """What the task "words" remembers of where it painted, {"words": [[word, [x0, y0, x1, y1]]], "size": [width, height]}, if it does."""
    try:
        signs = layer.source["signs"]
        found = [(str(word), tuple(map(float, box))) for word, box in signs["words"]]
        width, height = map(float, signs["size"])
    except (KeyError, TypeError, ValueError):
        return None
    whole = width > 0 and height > 0 and all(len(box) == 4 and all(map(math.isfinite, box)) for _, box in found)
    return (found, (width, height)) if whole and layer.source.get("task") == "words" else None


def on_canvas(box: Box, size: tuple[int, int], place: Placement) -> Box:
    """The upright box on the canvas around a box of a picture of `size` that lies at `place`."""
    turn = math.radians(place.angle_deg)
    points = []
    for x in (box[0], box[2]):
        for y in (box[1], box[3]):
            u = (x / size[0] - 0.5) * place.width * (-1 if place.flip_x else 1)
            v = (y / size[1] - 0.5) * place.height * (-1 if place.flip_y else 1)
            points.append((place.x + u * math.cos(turn) - v * math.sin(turn), place.y + u * math.sin(turn) + v * math.cos(turn)))
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)


TASK = Task("proofread", "Proofread", run)
