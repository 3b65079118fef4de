"""Cut the thing out of a layer's picture, and go on correcting it: the layer remembers its whole picture and what was said of it."""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.layers import edges
from models.errors import BadInput
from models.flows.asset import trimmed
from models.flows.cutout import MAX_STROKES, NET, Cut, Stroke, cut_out
from models.job import Extent, Picture
from models.pixels import resize
from models.layers.stack import Layer, Placement
from studio.layers.task import Call, Made, Outcome, Task

QUICK_PX = 512                                       # a preview is no larger: its answer comes while the hand is still there


@dataclass(frozen=True)
class Whole:
    """A layer's picture before anything was cut out of it, where it would lie, and what was marked on it (px of this picture)."""
    id: str
    picture: Picture
    place: Placement
    strokes: tuple[Stroke, ...] = ()


def whole_of(call: Call, layer: Layer) -> Whole:
    """Of a layer that was cut out before the picture it was cut from, as long as the library has it; else its picture as it is."""
    told = layer.source if layer.source.get("task") == "cutout" else {}
    if told.get("original") not in call.pictures:
        return Whole(layer.picture, call.picture(layer), layer.place)
    picture, box = call.pictures[told["original"]], told.get("box") or [0, 0, 1, 1]
    strokes = () if call.flag("anew") else strokes_from(told.get("strokes", []))
    return Whole(told["original"], picture, around(layer.place, box, picture), strokes)


def around(place: Placement, box: list[int], picture: Picture) -> Placement:
    """Where the whole picture lies when its `box` (x0, y0, x1, y1) lies at `place`."""
    x0, y0, x1, y1 = box
    across, down = place.width / (x1 - x0), place.height / (y1 - y0)
    x, y = turned(place, (picture.width / 2 - (x0 + x1) / 2) * across, (picture.height / 2 - (y0 + y1) / 2) * down)
    return replace(place, x=place.x + x, y=place.y + y, width=picture.width * across, height=picture.height * down)


def within(place: Placement, box: tuple[int, int, int, int], picture: Picture) -> Placement:
    """Where a `box` of a picture lies that lies at `place`: the inverse of `around`."""
    x0, y0, x1, y1 = box
    across, down = place.width / picture.width, place.height / picture.height
    x, y = turned(place, ((x0 + x1) / 2 - picture.width / 2) * across, ((y0 + y1) / 2 - picture.height / 2) * down)
    return replace(place, x=place.x + x, y=place.y + y, width=(x1 - x0) * across, height=(y1 - y0) * down)


def turned(place: Placement, x: float, y: float) -> tuple[float, float]:
    """A vector of the unturned box, flipped and turned as the placement says."""
    x, y = -x if place.flip_x else x, -y if place.flip_y else y
    c, s = math.cos(math.radians(place.angle_deg)), math.sin(math.radians(place.angle_deg))
    return c * x - s * y, s * x + c * y


def to_picture(place: Placement, picture: Picture, x: float, y: float) -> tuple[float, float]:
    """A point of the canvas in px of the picture that lies at `place`."""
    c, s = math.cos(math.radians(place.angle_deg)), math.sin(math.radians(place.angle_deg))
    dx, dy = x - place.x, y - place.y
    across, down = c * dx + s * dy, c * dy - s * dx
    across, down = -across if place.flip_x else across, -down if place.flip_y else down
    return (across / place.width + 0.5) * picture.width, (down / place.height + 0.5) * picture.height


def strokes_from(values: Any) -> tuple[Stroke, ...]:
    """[{"points": [[x, y], ...], "keep": bool, "width_px": n}] -> strokes. Raises BadInput."""
    try:
        if not isinstance(values, list) or len(values) > MAX_STROKES:
            raise ValueError("not a list of strokes")
        return tuple(Stroke(tuple((float(x), float(y)) for x, y in one["points"]), one["keep"] is True, float(one.get("width_px", 0))) for one in values)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise BadInput(f'"strokes" is a list of at most {MAX_STROKES} strokes: points [[x, y], ...], keep true or false, width_px.') from None


def marked(call: Call, whole: Whole) -> tuple[Stroke, ...]:
    """The strokes that were asked for, from px of the canvas to px of the picture, after those of before."""
    scale = math.sqrt(whole.picture.width * whole.picture.height / (whole.place.width * whole.place.height))
    new = tuple(replace(stroke, points=tuple(to_picture(whole.place, whole.picture, *point) for point in stroke.points), width_px=stroke.width_px * scale)
                for stroke in strokes_from(call.asked.get("strokes", [])))
    return (*whole.strokes, *new)


def cut_of(call: Call, strokes: tuple[Stroke, ...]) -> Cut:
    """Lengths are px of the picture."""
    known = tuple(call.engine.catalog.percepts)
    return Cut(call.choice("method", NET, (*(id for id in known if call.engine.catalog.percept(id).spec.sees == "alpha"), "paper", "grabcut")), strokes,
               call.number("feather", 0, 0, 200), call.choice("feather_side", "both", edges.SIDES), call.number("shift", 0, -100, 100),
               call.flag("decontaminate", True), call.flag("islands"), call.flag("fill_holes"))


def quickened(picture: Picture, cut: Cut) -> tuple[Picture, Cut]:
    """Both at the size of a preview."""
    scale = QUICK_PX / max(picture.width, picture.height)
    if scale >= 1:
        return picture, cut
    small = resize(picture, Extent(max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    strokes = tuple(replace(s, points=tuple((x * scale, y * scale) for x, y in s.points), width_px=s.width_px * scale) for s in cut.strokes)
    return small, replace(cut, strokes=strokes, feather_px=cut.feather_px * scale, shift_px=cut.shift_px * scale)


def run(call: Call) -> Outcome:
    """asked: layer, method, strokes (canvas px), feather, feather_side, shift, decontaminate, islands, fill_holes, trim, anew (forget what was
    marked before), quick (a small preview)."""
    layer = call.layer()
    whole = whole_of(call, layer)
    cut = cut_of(call, marked(call, whole))
    picture, wanted = quickened(whole.picture, cut) if call.flag("quick") else (whole.picture, cut)
    look = lambda id, rgb, hints=None: call.engine.look(id, rgb, "layers", hints)
    done = cut_out(look, picture, wanted, call.progress, call.cancelled)
    rgba, box, place = done.rgba, None, whole.place
    if call.flag("trim") and not call.flag("quick"):
        rgba, box = trimmed(rgba)
        place = within(place, box, picture)
    asked = {key: value for key, value in call.asked.items() if key not in ("layer", "layers", "strokes", "quick", "anew")}
    source = {"task": "cutout", "asked": asked, "original": whole.id, "box": list(box or (0, 0, picture.width, picture.height)),
              "strokes": [asdict(stroke) | {"points": [[round(x, 1), round(y, 1)] for x, y in stroke.points]} for stroke in cut.strokes]}
    made = Made(layer.name, Picture.from_array(rgba), place, source, layer.blend, layer.opacity)
    return Outcome((made,), (layer.id,), notes=() if call.flag("quick") else done.notes)


TASK = Task("cutout", "Cut out", run)
