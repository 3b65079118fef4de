"""Generate, plan, edit: a picture is checked against its prompt fact by fact, and what is missing is mended by edits that can be undone.

After GraPE (Goswami et al. 2024, arXiv 2412.06089), without a language model: the prompt becomes facts by rules; the pieces of the picture are
named by judge A, counted, and their colours and places compared; the difference is a plan of small edits. A step stays only if more facts
hold after it and hardly anything else changed (the rollback is ours), and it ends when all hold or nothing helps any more.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled
from models.flows._edit_desk import Desk, How, box_here
from models.flows._edit_masks import FLOOR, crop_of, split_at_necks
from models.flows._edit_words import COLOUR_NAMES, colour_share, colours_in, named, without_colours
from models.flows._planner import said_of
from models.flows.edit import Edited, run_step
from models.flows.plan_edit import Plan, Step
from models.job import Picture
from models.words.instructions import bare

WEIGHTS = {"there": 1.0, "colour": 1.0, "count": 1.0, "relation": 0.5}
HOLDS, REGENERATE, TRIES, MOST_STEPS = 0.5, 0.3, 2, 5
FILLS, LEAVES = 0.6, 0.42                            # of the side: a thing so large leaves no room; how large it is then made
SAME_PLACE = 0.7                                     # intersection over union of a piece before and after
BETTER = 0.02                                        # so much more of the facts must hold for a step to stay
SIDES = {"left": "at left", "right": "at right", "top": "at top", "bottom": "at bottom"}


@dataclass(frozen=True)
class Fact:
    """kind: there, colour (value: its name), count (value: how many) or relation (value: "left of", ..., other: the other thing, or "left",
    "right", "top", "bottom" of the picture). thing: without article and colour."""
    kind: str
    thing: str
    value: str = ""
    other: str = ""

    def says(self) -> str:
        """A sentence."""
        return {"there": f"there is {named(self.thing)}", "colour": f"the {self.thing} is {self.value}", "count": f"there are {self.value} of: {self.thing}",
                "relation": f"the {self.thing} is {self.value} the {self.other}" if self.other else f"the {self.thing} is on the {self.value}"}[self.kind]


@dataclass(frozen=True)
class Piece:
    """A part of the picture that could be a thing. alpha float32 [H, W]; names: chance of every thing that the prompt speaks of."""
    alpha: np.ndarray = field(repr=False, compare=False)
    names: dict[str, float]
    colours: dict[str, float]


@dataclass(frozen=True)
class Checked:
    """holds: 0..1 a fact. share: their weighted mean. missing: numbers of the facts that do not hold."""
    facts: tuple[Fact, ...]
    holds: tuple[float, ...]
    pieces: tuple[Piece, ...] = field(default=(), repr=False, compare=False)

    @property
    def share(self) -> float:
        weights = [WEIGHTS[fact.kind] for fact in self.facts]
        return float(np.dot(weights, self.holds) / sum(weights)) if weights else 1.0

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(number for number, hold in enumerate(self.holds) if hold < HOLDS)


@dataclass(frozen=True)
class Fixed:
    """stage: "painted", "checked", "step" or "done". kept: whether a step stayed, None where none was taken."""
    stage: str
    picture: Picture = field(repr=False)
    checked: Checked
    step: Step | None = None
    kept: bool | None = None
    notes: tuple[str, ...] = ()
    edited: Edited | None = field(default=None, repr=False)


def facts_of(prompt: str) -> tuple[Fact, ...]:
    """"two red balls and a cat left of a tree" -> counts, colours, relations. Raises BadInput for a prompt that names nothing."""
    said, _ = said_of(prompt)
    counts: dict[str, int] = {}
    facts: list[Fact] = []
    for one in said:
        thing = bare(without_colours(bare(one.words)))
        counts[thing] = counts.get(thing, 0) + 1
        facts += [Fact("colour", thing, colour) for colour in colours_in(one.words)]
        if one.side in SIDES:
            facts.append(Fact("relation", thing, one.side))
        if one.near[0]:
            facts.append(Fact("relation", thing, one.near[0], bare(without_colours(bare(one.near[1])))))
    first = [Fact("count", thing, str(count)) if count > 1 else Fact("there", thing) for thing, count in counts.items()]
    return tuple(dict.fromkeys([*first, *facts]))


def check(engine: Any, picture: Picture, prompt: str | Sequence[Fact], how: How = How(), cancel: Cancel = never_cancel,
          known: Sequence[Piece] = ()) -> Checked:
    """Looks only; paints nothing where judge A is there. known: pieces of the picture before it was recoloured: what lies where one of them
    lay is what that was, because a colour makes no other thing of it."""
    facts = facts_of(prompt) if isinstance(prompt, str) else tuple(prompt)
    desk = Desk(engine, picture, how, Step("lines"), ignore_progress, cancel)
    things = list(dict.fromkeys(name for fact in facts for name in (fact.thing, fact.other) if name))
    alphas = desk.searcher.pieces
    pieces = [_piece(desk, alpha, things) for alpha in alphas]
    for alpha, piece in zip(alphas, list(pieces)):                   # things that touch count for themselves where that names them better
        parts = [_piece(desk, part, things) for part in split_at_necks(alpha)] if max(piece.names.values(), default=0) < FLOOR else []
        if parts and max(max(part.names.values(), default=0) for part in parts) >= FLOOR:
            pieces = [other for other in pieces if other is not piece] + parts
    pieces = [replace(piece, names=same.names) if (same := _same(piece, known)) else piece for piece in pieces]
    return Checked(facts, tuple(_holds(fact, pieces) for fact in facts), tuple(pieces))


def _piece(desk: Desk, alpha: np.ndarray, things: Sequence[str]) -> Piece:
    crop, weight = crop_of(desk.rgb, alpha)
    names = {thing: desk.searcher.seer.chance(crop, weight, thing) for thing in things}
    return Piece(alpha, names, {name: colour_share(desk.rgb, alpha, name) for name in COLOUR_NAMES})


def _same(piece: Piece, known: Sequence[Piece]) -> Piece | None:
    """The piece that lay in the same place."""
    shared = lambda other: float(np.minimum(piece.alpha, other.alpha).sum() / max(float(np.maximum(piece.alpha, other.alpha).sum()), 1e-6))
    return next((other for other in known if other.alpha.shape == piece.alpha.shape and shared(other) > SAME_PLACE), None)


def called(pieces: Sequence[Piece], thing: str) -> list[Piece]:
    """The pieces that are more likely this thing than another of the prompt, the likeliest first."""
    own = [piece for piece in pieces if piece.names.get(thing, 0) >= FLOOR and piece.names[thing] == max(piece.names.values())]
    return sorted(own, key=lambda piece: -piece.names[thing])


def _holds(fact: Fact, pieces: Sequence[Piece]) -> float:
    own = called(pieces, fact.thing)
    if fact.kind == "there":
        return 1.0 if own else 0.0
    if fact.kind == "count":
        return max(0.0, 1 - abs(len(own) - int(fact.value)) / int(fact.value))
    if not own:
        return 0.0
    if fact.kind == "colour":
        return max(min(1.0, 2 * piece.colours.get(fact.value, 0.0)) for piece in own)
    others = called(pieces, fact.other) if fact.other else []
    return float(any(related(fact.value, one.alpha, other.alpha) for one in own for other in others if one is not other) if fact.other
                 else any(related(fact.value, one.alpha, None) for one in own))


def related(relation: str, one: np.ndarray, other: np.ndarray | None) -> bool:
    """By the middles of two alphas [H, W]; other None: by the middle of the picture."""
    x0, y0, x1, y1 = box_here(one > 0.3)
    a = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    if other is None:
        b, near = np.array(one.shape[::-1]) / 2, True
    else:
        u0, v0, u1, v1 = box_here(other > 0.3)
        b, near = np.array([(u0 + u1) / 2, (v0 + v1) / 2]), bool(np.abs(a - [(u0 + u1) / 2, (v0 + v1) / 2]).max() < 0.75 * max(one.shape))
    dx, dy = a - b
    return {"left of": dx < 0, "left": dx < 0, "right of": dx > 0, "right": dx > 0, "above": dy < 0, "over": dy < 0, "on top of": dy < 0, "top": dy < 0,
            "below": dy > 0, "under": dy > 0, "bottom": dy > 0}.get(relation, near)


def plan_fix(checked: Checked) -> Plan:
    """What would mend it: remove, add, move, recolour, in that order."""
    steps: list[Step] = []
    for number in checked.missing:
        steps += _mending(checked.facts[number], checked)
    order = ("remove", "add", "move", "recolour")
    steps = sorted(dict.fromkeys(steps), key=lambda step: order.index(step.tool))
    notes = tuple(checked.facts[number].says() for number in checked.missing)
    return Plan(tuple(step.but(id=f"fix-{number}") for number, step in enumerate(steps, 1)), by="rules", notes=notes)


def room_for(step: Step, checked: Checked) -> list[Step]:
    """Before something is added to a picture that one thing fills: that thing smaller, and to the side."""
    largest = max(checked.pieces, key=lambda piece: float(piece.alpha.sum()), default=None)
    if step.tool != "add" or largest is None or not (largest.alpha > 0.3).any():
        return []
    height, width = largest.alpha.shape
    x0, y0, x1, y1 = box_here(largest.alpha > 0.3)
    share = max((x1 - x0) / width, (y1 - y0) / height)
    if share < FILLS:
        return []
    aside = "at right" if "left" in step.place else "at left"
    mask = Picture.from_array((largest.alpha * 255).round().astype(np.uint8))
    name = max(largest.names, key=largest.names.get, default="")
    why = "It fills the picture; there is to be room for more."
    return [Step("scale", name, amount=LEAVES / share, mask=mask, why=why), Step("move", "", place=aside, why=why)]


def _mending(fact: Fact, checked: Checked) -> list[Step]:
    own, why = called(checked.pieces, fact.thing), f"It should be so that {fact.says()}."
    if fact.kind == "there" or (fact.kind == "count" and len(own) < int(fact.value)):
        count = 1 if fact.kind == "there" else int(fact.value) - len(own)
        return [Step("add", words=_words(fact.thing, checked), place=_place(fact.thing, checked), seed=n, why=why) for n in range(count)]
    if fact.kind == "count":
        mask = lambda piece: Picture.from_array((piece.alpha * 255).round().astype(np.uint8))
        return [Step("remove", fact.thing, mask=mask(piece), why=why) for piece in own[int(fact.value):]]
    if not own:                                      # adding it will see to it
        return []
    if fact.kind == "colour":
        return [Step("recolour", fact.thing, fact.value, why=why)]
    place = SIDES.get(fact.value, "") if not fact.other else f"{fact.value} the {fact.other}"
    return [Step("move", fact.thing, place=place, why=why)] if not fact.other or called(checked.pieces, fact.other) else []


def _words(thing: str, checked: Checked) -> str:
    colour = next((fact.value for fact in checked.facts if fact.kind == "colour" and fact.thing == thing), "")
    return named(f"{colour} {thing}".strip())


def _place(thing: str, checked: Checked) -> str:
    """Where the prompt wants a thing, as far as what it names is there."""
    for fact in checked.facts:
        if fact.kind == "relation" and fact.thing == thing:
            if not fact.other:
                return fact.value
            if called(checked.pieces, fact.other):
                return f"{fact.value} the {fact.other}"
    return ""


def check_fix(engine: Any, picture: Picture | None, prompt: str, how: How = How(), progress: Progress = ignore_progress,
              cancel: Cancel = never_cancel) -> Iterator[Fixed]:
    """Yields what was painted (picture None = paint first), the check, every step with whether it stayed, and last what came of it."""
    facts = facts_of(prompt)
    if picture is None:
        picture, checked = _painted(engine, prompt, facts, how, progress, cancel)
        yield Fixed("painted", picture, checked)
    else:
        checked = check(engine, picture, facts, how, cancel)
    yield Fixed("checked", picture, checked, notes=plan_fix(checked).notes)
    tried: set[tuple[str, str, str, str, int]] = set()
    for number in range(MOST_STEPS):
        step = next((step for step in plan_fix(checked).steps if _key(step) not in tried), None)
        if step is None or not checked.missing:
            break
        tried.add(_key(step))
        progress(number, MOST_STEPS, step.title())
        fixed = _try(engine, picture, step, facts, checked, how, cancel)
        picture, checked = (fixed.picture, fixed.checked) if fixed.kept else (picture, checked)
        yield fixed
    yield Fixed("done", picture, checked, notes=tuple(f"Still not so: {checked.facts[n].says()}." for n in checked.missing))


def _key(step: Step) -> tuple[str, str, str, str, int]:
    return step.tool, step.target, step.words, step.place, step.seed


def _painted(engine: Any, prompt: str, facts: Sequence[Fact], how: How, progress: Progress, cancel: Cancel) -> tuple[Picture, Checked]:
    """The first picture; another seed where hardly a fact holds."""
    best: tuple[Picture, Checked] | None = None
    for n in range(1 + TRIES):
        progress(n, 1 + TRIES, "painting")
        job = how.job.but(prompt=prompt, seeds=(how.job.seeds[0] + n,), image=None, mask=None, strength=1.0, each=())
        picture = Picture.from_array(np.ascontiguousarray(engine.render(job, cancel=cancel).pixels[0]))
        checked = check(engine, picture, facts, how, cancel)
        best = (picture, checked) if best is None or checked.share > best[1].share else best
        if best[1].share >= REGENERATE:
            break
    return best


def _try(engine: Any, picture: Picture, step: Step, facts: Sequence[Fact], checked: Checked, how: How, cancel: Cancel) -> Fixed:
    """The step in two versions where it paints; the better stays if more facts hold than before."""
    start = picture
    try:
        for first in room_for(step, checked):
            start = run_step(engine, start, first, how, ignore_progress, cancel).after
        done = run_step(engine, start, step, replace(how, variants=max(2, how.variants)), ignore_progress, cancel)
    except Cancelled:
        raise
    except BadInput as error:
        return Fixed("step", picture, checked, step, False, (str(error),))
    known = checked.pieces if step.tool == "recolour" else ()
    versions = [(after, check(engine, after, facts, how, cancel, known)) for after in (done.after, *done.others)]
    after, now = max(versions, key=lambda one: one[1].share)
    kept = now.share > checked.share + BETTER
    notes = done.notes if kept else (*done.notes, "It did not help, so it was undone.")
    return Fixed("step", after if kept else picture, now if kept else checked, step, kept, notes, done)
