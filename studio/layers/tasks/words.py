"""Words painted into what is on the canvas by a glyph control; crisp: set as a text layer over the painted sign; proofread: misread ones again."""
from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from models.words import reading
from models.errors import BadInput
from models.flows._canvas import grown
from models.flows.glyph_words import FREE_PX, Wanted, crisp, glyph_words, sign_in
from models.job import Extent, Picture
from models.words.lettering import fonts, letter, measure
from models.words.signs import Sign, room
from models.layers.stack import Placement
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making


def run(call: Call) -> Outcome:
    """asked: words, one sign each; font; board; box: [x0, y0, x1, y1] in canvas px for one word; crisp 0..1; proofread; seed; adapter. What is on the
    canvas is painted on; the signs come as one layer above it, and crisp words as text layers."""
    able, canvas = making.able_of(call), call.stack.extent
    known = able.controls.get("glyph", ())
    if not known:
        raise BadInput(f"{able.spec.title} has no adapter that paints words.", "Choose the embedded base, or set the words as a text layer.")
    control = call.choice("adapter", known[0], known)
    working, words = making.working_extent(able.spec, canvas), tuple(call.words().split())
    under = making.backdrop(call, [layer for layer in call.stack.leaves() if layer.visible], working)
    font, boards = call.choice("font", "inter-black", tuple(fonts())), call.flag("board", True)
    signs = (sign_in(words[0], font, asked_box(call, working), under.array, boards),) if "box" in call.asked and len(words) == 1 else ()
    job = making.job_of(call, able.spec, call.text("place") or "a picture", working).but(image=under, strength=0.0)
    read = partial(reading.read, reader="") if call.flag("proofread") else None
    if read and not reading.readers():
        raise BadInput("Proofreading needs a reader of words, and none is installed.", reading.CURE)
    for number, (result, signs) in enumerate(glyph_words(call.render, Wanted(job, control, words, signs, boards, font), read)):
        call.check()
        call.progress(min(number, 3), 3, "painting the words")
    return outcome(call, result.pixels[0], signs, working, read is not None)


def asked_box(call: Call, working: Extent) -> tuple[float, float, float, float]:
    """The dragged box on the painter's canvas."""
    box = call.asked["box"]
    if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box) and box[2] > box[0] and box[3] > box[1]):
        raise BadInput("A box is [left, top, right, bottom] in pixels.")
    across, down = working.width / call.stack.extent.width, working.height / call.stack.extent.height
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def outcome(call: Call, picture: np.ndarray, signs: tuple[Sign, ...], working: Extent, proofread: bool) -> Outcome:
    """The signs cut out of the painted picture, and crisp words over them."""
    said = " ".join(sign.text.words for sign in signs)
    free = grown(room(signs, working), max(1, round(FREE_PX * min(working.width, working.height) / 256)))
    rgba = Picture.from_array(np.dstack([picture[..., :3], free.astype(np.uint8) * 255]))
    boxes = [[sign.text.words, [round(float(v), 1) for v in sign.box]] for sign in signs]
    asked = making.source("words", call, words=said) | {"signs": {"words": boxes, "size": [working.width, working.height]}}
    layers = [Made(f"Painted: {said}"[:60], rgba, making.full(call.stack.extent), asked)]
    strength = call.number("crisp", 0.0, 0, 1)
    layers += [typeset(sign, picture, working, call.stack.extent, strength) for sign in signs] if strength else []
    notes = ("Crisp words are typesetting in the painted colours, not painting.",) if strength else ()
    return Outcome(tuple(layers), group=f"Words: {said}"[:60] if len(layers) > 1 else "", notes=notes)


def typeset(sign: Sign, picture: np.ndarray, working: Extent, canvas: Extent, strength: float) -> Made:
    """A sign's word as a text layer over it."""
    scale = canvas.height / working.height
    own = crisp(sign, picture)
    text = replace(own, size_px=own.size_px * scale)
    block, rgba = measure(text), letter(text)
    dx, dy = block.width / 2 - (block.ink[0] + block.ink[2]) / 2, block.height / 2 - (block.ink[1] + block.ink[3]) / 2
    return Made(text.words, Picture.from_array(rgba), Placement(sign.x * scale + dx, sign.y * scale + dy, rgba.shape[1], rgba.shape[0], sign.angle_deg),
                {"task": "text"}, opacity=strength, text=text)


TASK = Task("words", "Paint words", run)
