"""A prompt with several things taken apart: what is there, how large, where, and what lies behind. Rules, no language model.

"a red car, a tall tree and two birds on a beach" -> a red car, a tall tree, a bird, a bird; "on a beach". Sizes come from a short list of
things, the words "tiny" to "giant", and how crowded it is; places from "on the left", "left of the car", "above the house", else things
that fly go up and the rest stand side by side on the ground, the smaller ones further in front.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, replace

from models.errors import BadInput
from models.nouns import SIZES, nouns_of, words_of

MOST_THINGS = 8
GROUND, SKY = 0.86, 0.24                             # where feet stand and where middles of flying things lie, of the height
NORMAL_SIZE = 0.42                                   # of the canvas's shorter side
SIZE_OF = {**dict.fromkeys("house castle church building tower tree palm mountain ship rocket bus train truck tent windmill".split(), 0.6),
           **dict.fromkeys("car tractor horse cow elephant bear boat bicycle sofa bed snowman cactus table piano".split(), 0.48),
           **dict.fromkeys("person man woman girl boy robot dog cat pig sheep lion tiger chair guitar lamp clock balloon cloud sun moon".split(), 0.36),
           **dict.fromkeys("apple pear banana orange lemon cherry strawberry bird butterfly bee fish flower mushroom cup ball star heart key book "
                           "mouse frog rabbit egg cake hat shoe leaf shell donut".split(), 0.24)}
FLYING = frozenset("sun moon star stars cloud bird plane airplane helicopter balloon butterfly bee kite rainbow bat rocket ufo comet owl".split())
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "2": 2, "3": 3, "4": 4, "5": 5}
_PLACE = re.compile(r"\s*\b(on|in|at|under|inside|beneath|against|in front of|by|near)\s+((?:a|an|the|some)\s+[^,]+|[a-z]+)$", re.I)
_SIDE = re.compile(r"\s*\b(?:on|at|in|to)\s+the\s+(left|right|top|bottom|middle|center|centre)(?:\s+side)?\b", re.I)
_RELATION = re.compile(r"\s*\b(?:to\s+the\s+)?(left of|right of|above|over|below|under|beside|next to|behind|in front of|on top of)\s+"
                       r"(?:a|an|the)\s+([\w -]+)$", re.I)
_SPLIT = re.compile(r"\s*(?:,\s*and\s+|,|;|\band\b|\bwith\b(?=\s+(?:a|an|two|three|four|five|the)\b)|\+)\s*", re.I)
_ARTICLE = re.compile(r"^(?:a|an|the|some|one)\s+", re.I)


@dataclass(frozen=True)
class Thing:
    """`words` as they are painted; x, y: the middle of the foot of its box, size: the longer side; shares of the canvas's width, height,
    shorter side. `floats`: y is its middle instead. Later things stand in front."""
    words: str
    x: float
    y: float
    size: float
    floats: bool = False


@dataclass(frozen=True)
class Plan:
    """`background`: words of the place, "" = none was named."""
    things: tuple[Thing, ...]
    background: str = ""


@dataclass(frozen=True)
class Said:
    """What a clause says of one thing; `near`: (relation, the other's words)."""
    words: str
    side: str = ""
    near: tuple[str, str] = ("", "")


def plan(prompt: str) -> Plan:
    """Raises BadInput without a thing, or with more than MOST_THINGS."""
    said, background = said_of(prompt)
    return Plan(_laid_out(said), background)


def said_of(prompt: str) -> tuple[list[Said], str]:
    """(what is said of every thing, one each, words of the place). Raises as `plan`."""
    clauses = [part.strip() for part in _SPLIT.split(prompt.strip().rstrip(".!")) if part and part.strip()]
    if not clauses:
        raise BadInput("There are no words yet.", "Say what is in the scene.")
    clauses, background = _without_place(clauses)
    said = [one for clause in clauses for one in _said(clause)]
    said += [Said(other) for other in _others(said)]
    if len(said) > MOST_THINGS:
        raise BadInput(f"{len(said)} things are too many for one scene: {MOST_THINGS} is the most.", "Leave some out, and add them one by one.")
    return said, background


def _without_place(clauses: list[str]) -> tuple[list[str], str]:
    """(clauses, words of the place): the last clause's "on a beach", or a clause that is nothing but one. A relation to a thing that is
    there ("under the tree") is no place."""
    last, names = clauses[-1], {noun.text for clause in clauses for noun in nouns_of(_PLACE.sub("", clause))}
    found = _PLACE.search(last)
    if not found or _SIDE.search(found.group()) or {noun.text for noun in nouns_of(found[2])} & names:
        return clauses, ""
    rest = last[:found.start()].strip()
    return ([*clauses[:-1], rest] if rest else clauses[:-1]) or [last], found.group().strip().lower()


def _said(clause: str) -> list[Said]:
    side = _SIDE.search(clause)
    clause = _SIDE.sub("", clause).strip()
    near = _RELATION.search(clause)
    clause = clause[:near.start()].strip() if near and near.start() > 0 else clause
    words = words_of(clause)
    count = NUMBERS.get(words[0].text, 1) if words else 0
    name = _singular(clause) if count > 1 else clause
    if not words_of(name):
        return []
    name = name if _ARTICLE.match(name) else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    return [Said(name, side[1].lower() if side else "", (near[1].lower(), near[2].strip().lower()) if near else ("", ""))] * count


def _others(said: list[Said]) -> list[str]:
    """Things that are only named to say where another one is: the dog in "a cat left of a dog"."""
    there = {noun.text for one in said for noun in nouns_of(one.words)}
    named = dict.fromkeys(one.near[1] for one in said if one.near[1])
    return [f"a {other}" for other in named if not there & {noun.text for noun in nouns_of(other)}]


def _singular(clause: str) -> str:
    """"two red birds" -> "red bird"."""
    rest = clause.split(None, 1)[1] if " " in clause else ""
    for ending, better in (("ies", "y"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("ves", "f"), ("s", "")):
        if rest.endswith(ending) and not rest.endswith("ss"):
            return rest[:len(rest) - len(ending)] + better
    return rest


def size_of(words: str) -> float:
    """The longer side of a thing, of the canvas's shorter side, by its name and words such as "tiny"."""
    known = [SIZE_OF[noun.text] for noun in nouns_of(words) if noun.text in SIZE_OF]
    scale = 1.0
    for word in words_of(words):
        scale *= SIZES.get(word.text, 1.0)
    return min(0.8, (known[-1] if known else NORMAL_SIZE) * scale)


def flies(words: str) -> bool:
    return any(noun.text in FLYING for noun in nouns_of(words))


def _laid_out(said: list[Said]) -> tuple[Thing, ...]:
    """Places in the order they were said, then sorted from far to near."""
    crowd = min(1.0, 1.65 / sum(size_of(one.words) for one in said)) if len(said) > 1 else 1.4
    row = {sky: sum(not one.side and flies(one.words) is sky for one in said) for sky in (True, False)}
    taken, things = {True: 0, False: 0}, []
    for number, one in enumerate(said):
        sky, size = flies(one.words), min(0.8, size_of(one.words) * crowd)
        x = 0.5 if one.side else (taken[sky] + 0.5) / row[sky]
        taken[sky] += not one.side
        thing = Thing(one.words, x, SKY if sky else GROUND + _depth(number, size), size, sky)
        things.append(_at_side(thing, one.side) if one.side else thing)
    things = [_related(thing, one.near, things) for thing, one in zip(things, said)]
    return tuple(sorted(things, key=lambda thing: thing.y if not thing.floats else 0.0))


def _depth(number: int, size: float) -> float:
    """How much nearer the foot of a thing stands: smaller things in front, and neighbours not on one line."""
    return 0.02 * (number % 2) + 0.2 * max(0.0, NORMAL_SIZE - size)


def _at_side(thing: Thing, side: str) -> Thing:
    across, down = {"left": (0.22, None), "right": (0.78, None)}.get(side, (0.5, {"top": SKY, "bottom": 0.95}.get(side)))
    if down is None:
        return replace(thing, x=across, **({"y": 0.5, "floats": True} if side in ("middle", "center", "centre") else {}))
    return replace(thing, x=across, y=down, floats=side == "top")


def _related(thing: Thing, near: tuple[str, str], things: list[Thing]) -> Thing:
    """Moved to where its clause says it is of another thing."""
    relation, other_words = near
    wanted = {noun.text for noun in nouns_of(other_words)}
    other = next((one for one in things if one is not thing and wanted & {noun.text for noun in nouns_of(one.words)}), None)
    if other is None:
        return thing
    beside = (thing.size + other.size) / 2 + 0.02
    if relation in ("left of", "right of", "beside", "next to"):
        way = -1 if relation == "left of" or (relation != "right of" and other.x > 0.5) else 1
        return replace(thing, x=min(0.9, max(0.1, other.x + way * beside)), y=other.y, floats=other.floats)
    if relation in ("above", "over", "on top of"):
        top = other.y - (other.size / 2 if other.floats else other.size)
        return replace(thing, x=other.x, y=max(0.1, top - (0.02 if relation == "on top of" else 0.1)), floats=False)
    if relation in ("below", "under"):
        return replace(thing, x=other.x, y=min(0.98, other.y + 0.08), floats=False, size=min(thing.size, other.size * 0.6))
    step = 0.06 if relation == "in front of" else -0.06
    return replace(thing, x=min(0.9, other.x + 0.08), y=min(0.98, other.y + step), floats=other.floats)


def reads_as(thing: Thing) -> str:
    """A name for a layer: "A red car"."""
    bare = _ARTICLE.sub("", thing.words)
    return bare[:1].upper() + bare[1:] if bare else thing.words
