"""A cut-out thing in imagined places: the thing stays as it is, bit for bit, and does not grow."""
from __future__ import annotations

from typing import Any

import numpy as np

from models.errors import BadInput
from models.flows._canvas import over
from models.flows.behind import suited as behind_suited
from models.flows.foreground import MOST_PLACES, Foreground, foreground
from models.job import Extent, Picture
from models.pixels import resize
from models.spec import BaseSpec
from studio.outpaint.tasks import _painting as painting
from studio.outpaint.tasks.extend import SIDES, margins_of
from studio.workbench.task import Call, Task

CLEAR = 0.02                                         # of the picture that must be see-through, or it is no cut-out yet


def is_cut_out(picture: Picture) -> bool:
    """Whether its alpha says what the thing is."""
    return picture.channels == 4 and float((picture.array[..., 3] < 128).mean()) > CLEAR


def thing_of(picture: Picture) -> Picture:
    """The thing as RGBA of the picture's size. Raises BadInput for a picture that is not cut out."""
    if not is_cut_out(picture):
        raise BadInput("This picture has no transparent parts: nothing says what the thing is.", "Cut it out first.")
    return picture


def on_canvas(thing: Picture, sides: dict[str, int]) -> Picture:
    """The thing on the canvas that the sides make; what lies outside of it is cut."""
    top, right, bottom, left = (sides[side] for side in SIDES)
    width, height = thing.width + left + right, thing.height + top + bottom
    if width < 8 or height < 8:
        raise BadInput("Nothing of the canvas would be left.", "Drag a side outwards again.")
    Extent(width, height)                            # says what is too large
    canvas = np.zeros((height, width, 4), np.uint8)
    y0, x0, y1, x1 = max(0, top), max(0, left), min(height, top + thing.height), min(width, left + thing.width)
    canvas[y0:y1, x0:x1] = thing.array[y0 - top:y1 - top, x0 - left:x1 - left]
    return Picture.from_array(canvas)


def working_extent(spec: BaseSpec, width: int, height: int) -> Extent:
    """The canvas's shape at a size that the base paints well."""
    step, native = spec.multiple_px, spec.native_px[0]
    scale = min(native / min(width, height), spec.max_px / max(width, height))
    fit = lambda side: min(spec.max_px // step * step, max(-(-spec.min_px // step) * step, round(side * scale / step) * step))
    return Extent(fit(width), fit(height))


def places_asked(call: Call) -> list[str]:
    places = call.asked.get("places")
    if not isinstance(places, list) or not all(isinstance(place, str) and len(place) < 500 for place in places):
        raise BadInput('"places" is a list of words for places.')
    if not 1 <= len(places) <= MOST_PLACES or not all(place.strip() for place in places):
        raise BadInput("Say where the thing may be, for example: on a beach.", f"1 to {MOST_PLACES} places.")
    return places


def run(call: Call) -> dict[str, Any]:
    """asked: words (what the thing is), places (words each), seeds (one each, or `seed`), the four sides of the canvas, and how to paint.
    Every place is told as soon as it is painted: {"picture", "number", "growth": [before, after], "notes"}."""
    places, thing, sides = places_asked(call), thing_of(call.source()), margins_of(call)
    full = on_canvas(thing, sides)
    extent = working_extent(call.spec, full.width, full.height)
    seeds, hand = call.asked.get("seeds"), painting.hand_of(call)
    if seeds is not None and not (isinstance(seeds, list) and len(seeds) == len(places) and all(isinstance(s, int) and 0 <= s < 2 ** 53 for s in seeds)):
        raise BadInput('"seeds" is a whole number for every place.')
    settings = behind_suited(call.engine.catalog.able(call.base))
    small, pictures, notes = resize(full, extent), [], []
    for number, place in enumerate(places):
        job = call.job(extent, seeds=(seeds[number] if seeds else call.whole("seed", 7),), prompt=place)
        tell = lambda done, total, what, n=number: call.progress(n * total + done, len(places) * total, what)
        wanted = Foreground(job, small, (place,), call.text("words"), settings=settings)
        result = next(iter(foreground(call.render, call.look, wanted, hand, tell, call.cancelled)))
        kept = call.keep(finished(result.pixels[0], full, hand)) | {"place": place, "asked": {"places": [place], "seed": job.seeds[0]}}
        growth = [round(float(v), 4) for v in result.seen.get("growth", ())]
        pictures.append(kept | {"growth": growth, "said": list(result.notes)})
        call.part(pictures[-1] | {"number": number})
    return {"pictures": pictures, "before": [sides["left"], sides["top"], call.step.width, call.step.height], "notes": notes}


def finished(rgb: np.ndarray, full: Picture, hand: Any) -> Picture:
    """What was painted small, at the size of the canvas, with the thing itself over it."""
    painted = Picture.from_array(np.ascontiguousarray(rgb[..., :3]))
    times = next((n for n in (2, 4, 8) if painted.width * n >= full.width), 8)
    if hand.enlarge and painted.width < full.width:
        painted = hand.enlarge(painted, times)
    ground = resize(painted, Extent(full.width, full.height)).array
    return Picture.from_array(np.ascontiguousarray(over(ground, [full.array])))


TASK = Task("place", "Places for a thing", run)
