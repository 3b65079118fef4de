"""Icons from words as paths; going on from a drawing; a region of it drawn anew. Several to choose from."""
from __future__ import annotations

from models.errors import BadInput
from models.flows.icon import MODES, Drawings, Wish, finish, icons, repaint
from models.vector.vectors import read, recoloured, write
from studio.layers.task import Call, Outcome, Task
from studio.layers.tasks import _making as making
from studio.layers.tasks._drawn import made, new_place, svg_of


def wish_of(call: Call, words: str) -> Wish:
    return Wish(words, call.choice("mode", "stroke", tuple(MODES)), call.text("other"), call.number("blend", 0, 0, 1), call.text("manner", "any"),
                call.number("top_p", 0.6, 0.05, 1), call.number("guidance", 1.5, 0, 10), call.text("colour", "#000000"))


def run(call: Call) -> Outcome:
    """asked: words, other, blend, mode, manner, top_p, guidance, colour, seed, variants; what: "new", or "finish" and "repaint" of `layer`,
    the latter in `region` [left, top, right, bottom], shares of its sheet."""
    words, what = call.words(), call.choice("what", "new", ("new", "finish", "repaint"))
    wish, count, seed = wish_of(call, words), call.whole("variants", 8, 1, 16), call.whole("seed", 0)
    old = call.layer("layer") if what != "new" else None
    if what == "new":
        found = icons(call.engine.borrow, wish, count, seed, call.progress, call.cancelled)
    elif what == "finish":
        found = finish(call.engine.borrow, svg_of(old), wish, count, seed, call.progress, call.cancelled)
    else:
        found = repaint(call.engine.borrow, svg_of(old), _region(call), wish, count, seed, call.progress, call.cancelled)
    if not found.icons:
        raise BadInput("None of the drawings came to an end.", "Try another seed, other words, or another region.")
    drawn = [(write(recoloured(read(one.svg), _colour(old.svg))) if what == "finish" else one.svg, one.seed) for one in found.icons]
    return Outcome(notes=_notes(found, count), proposals=tuple(_proposal(call, words, svg, own_seed, old) for svg, own_seed in drawn))


def _proposal(call: Call, words: str, svg: str, seed: int, old: object) -> Outcome:
    place = old.place if old else new_place(call)
    kept = {key: call.asked[key] for key in ("mode", "manner", "top_p", "guidance", "colour", "other", "blend") if key in call.asked}
    source = {"task": "icon", "asked": {**kept, "words": words, "seed": seed, "variants": 1}}
    return Outcome((made(making.named(words), svg, place, source, old),), (old.id,) if old else ())


def _colour(svg: str) -> str:
    paints = [paint for shape in read(svg).shapes for paint in (shape.fill, shape.stroke) if paint != "none"]
    return paints[0] if paints else "#000000"


def _region(call: Call) -> tuple[float, float, float, float]:
    box = call.asked.get("region")
    if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in box)):
        raise BadInput("No region is chosen.", "Draw a box over a part of the icon.")
    left, top, right, bottom = (min(max(float(v), 0.0), 1.0) for v in box)
    return left, top, right, bottom


def _notes(found: Drawings, count: int) -> tuple[str, ...]:
    missing = f" {count - len(found.icons)} of {count} could not be drawn." if len(found.icons) < count else ""
    return (f"{found.valid} of {found.tried} drawings were whole.{missing}",) if found.valid < found.tried else ()


TASK = Task("icon", "Draw an icon", run)
