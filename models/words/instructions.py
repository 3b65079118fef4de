"""What an instruction asks for: "make the hat red and remove the tree" -> a recolouring and a removal. Rules, no language model.

A sentence is cut into clauses where a new verb begins, and each clause is tried against the patterns of every tool, the most telling ones
first. "it" is the thing that was spoken of last, before any the main thing of the picture. What nothing matches is refused with examples.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from models.errors import BadInput
from models.nouns import COLOURS, words_of

MOST_CHARS, MOST_CLAUSES = 2000, 12
MAIN, EVERYTHING, BACKGROUND = "", "everything", "background"
"""Targets with a meaning of their own: the main thing, the whole picture, what lies behind the things."""
TONES = {"darker": "darker", "lighter": "lighter", "brighter": "lighter", "paler": "paler", "greyer": "paler", "grayer": "paler",
         "more colourful": "stronger", "more colorful": "stronger", "more vivid": "stronger", "black-and-white": "black-and-white",
         "monochrome": "black-and-white", "greyscale": "black-and-white", "grayscale": "black-and-white"}
LOOKS = ("watercolour", "watercolor", "oil", "pencil", "charcoal", "pastel", "crayon", "cartoon", "comic", "anime", "pixel", "sticker", "3d", "flat",
         "modern", "soft", "shaded", "blob", "ink", "dusk", "two-inks", "clay", "poster", "vintage", "photo", "emoji", "gradient")
EXAMPLES = 'Say for example "make the hat red", "replace the dog by a cat", "remove the tree", "add a balloon" or "watercolour".'
_VERBS = ("add|apply|bring|change|colou?r|convert|crop|cut|darken|delete|draw|drop|duplicate|dye|enlarge|erase|exchange|extract|get|give|grow|increase|"
          "insert|keep|lighten|make|move|paint|place|push|put|recolou?r|reduce|remove|render|repaint|replace|resize|scale|shift|shrink|slide|"
          "swap|take|tint|trace|turn|upscale")
_MORE = rf"(?=(?:please\s+)?(?:{_VERBS})\b)"
_SPLIT = re.compile(rf"\s*(?:[;!\n]+|\.(?!\d)|,?\s*\b(?:and\s+)?then\b|,\s*(?:and\s+)?{_MORE}|\band\s+(?:also\s+)?{_MORE})\s*", re.I)
_POLITE = re.compile(r"^(?:(?:please|kindly|now|also|just|then|could you|can you|would you|i want (?:you )?to|i would like (?:you )?to|let'?s)\b[\s,]*)+"
                     r"|[\s,]*\bplease$", re.I)
_ARTICLE = re.compile(r"^(?:(?:the|a|an|some|this|that|these|those|my|its|his|her|their|one|all)\s+)+", re.I)
_IT = {"it", "them", "this", "that", "him", "her", "the thing", "thing", "main thing", "the object", "object", "subject"}
_WHOLE = re.compile(r"^(?:the\s+|this\s+)?(?:whole\s+|entire\s+)?(?:picture|image|photo|drawing|scene|illustration|everything|all)$", re.I)
_COLOUR = rf"(?:(?:very|bright|dark|light|pale|deep)\s+)*(?:{'|'.join(sorted(COLOURS, key=len, reverse=True))})"
_TONE = "|".join(re.escape(tone) for tone in TONES)
_BIG = {"bigger": 1.4, "larger": 1.4, "huge": 2.0, "taller": 1.3, "smaller": 0.7, "tiny": 0.4, "littler": 0.7, "shorter": 0.75}
_ELIDED = re.compile(rf"\b(make|paint|colou?r|turn)\s+(the [\w -]+?)\s+({_COLOUR})\s+and\s+(the [\w -]+?)\s+({_COLOUR})(?=$|[,.;]|\s+and\b)", re.I)
_SIDES = "top left|top right|bottom left|bottom right|left|right|up|down|top|bottom|middle|center|centre|upwards?|downwards?"
_RELATION = (r"(?:(?:to the )?(?:left|right) of|above|over|below|under|beneath|beside|next to|near|by|behind|in front of|on top of|on|in|into|onto|"
             r"between|around|at)")
_STEPS = {"a bit": 0.08, "a little": 0.08, "slightly": 0.08, "a lot": 0.35, "far": 0.35, "much": 0.35}


@dataclass(frozen=True)
class Asked:
    """One thing that is asked for. target: what is looked for, without its article; words: what it becomes; place: where something goes;
    amount: times as large, or a share of the picture's side to move by; said: the clause."""
    tool: str
    target: str = MAIN
    words: str = ""
    place: str = ""
    amount: float | None = None
    said: str = ""


def read(instruction: str) -> tuple[Asked, ...]:
    """Everything an instruction asks for, in its order. Raises BadInput when it is empty, not understood, or contradicts itself."""
    text = " ".join(instruction.replace("’", "'").split())
    if not words_of(text):
        raise BadInput("There is no instruction yet.", EXAMPLES)
    if len(text) > MOST_CHARS:
        raise BadInput(f"An instruction may have {MOST_CHARS:,} characters at most.", "Say it in fewer words.")
    text = re.sub(r"\bblack[ -](?:and|&)[ -]white\b", "black-and-white", text, flags=re.I)
    text = _ELIDED.sub(lambda m: f"{m[1]} {m[2]} {m[3]} and {m[1]} {m[4]} {m[5]}", text)
    clauses = [clause for part in _SPLIT.split(text) if part and (clause := _POLITE.sub("", part.strip(" ,\"'")).strip(" ,\"'"))]
    if len(clauses) > MOST_CLAUSES:
        raise BadInput(f"{len(clauses)} changes at once are too many: {MOST_CLAUSES} is the most.", "Do them one after another.")
    asked: list[Asked] = []
    for clause in clauses:
        asked += _resolved(_understood(clause, asked), asked)
    _check(asked)
    return tuple(asked)


def _understood(clause: str, before: Sequence[Asked]) -> list[Asked]:
    for pattern, make in _PATTERNS:
        found = pattern.fullmatch(clause) or pattern.fullmatch(clause.lower())
        made = found and make({k: v.strip() for k, v in found.groupdict().items() if v})
        if made:
            return [replace(one, said=clause) for one in ([made] if isinstance(made, Asked) else made)]
    again = before and bare(clause)
    if again and before[-1].tool in ("remove", "add", "cutout"):                     # "remove the tree, the dog"
        return [replace(before[-1], **{"words" if before[-1].tool == "add" else "target": again}, said=clause)]
    raise BadInput(f'It is not clear what "{clause}" should change.', EXAMPLES)


def _resolved(made: list[Asked], before: Sequence[Asked]) -> Iterator[Asked]:
    """"it" becomes what was spoken of last."""
    last = next((one.words if one.tool in ("add", "replace") else one.target for one in reversed(before)
                 if one.tool not in ("restyle", "lines", "upscale", "remove")), MAIN)
    for one in made:
        target = MAIN if one.target.lower() in _IT else one.target
        spoken = one.target.lower() in _IT and one.tool not in ("lines", "restyle", "upscale", "repaint")
        yield replace(one, target=bare(last) if spoken else target)


def bare(words: str) -> str:
    """A thing without its article: "the red hat" -> "red hat"; the whole picture and "it" by their own names."""
    words = words.strip(" ,.!?\"'")
    if _WHOLE.match(words):
        return EVERYTHING
    return "it" if words.lower() in _IT else _ARTICLE.sub("", words).strip()


def with_article(words: str) -> str:
    """"cat" -> "a cat"; what has an article or is plural stays."""
    words = words.strip(" ,.!?\"'")
    if _ARTICLE.match(words) or not words or (words.endswith("s") and not words.endswith(("ss", "us"))):
        return words
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


# --- the tools' own ways of making sense of a match -----------------------------------------------------------------------

def _listed(words: str) -> list[str]:
    """"the tree and the dog" -> both."""
    return [part for piece in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", words) if (part := bare(piece))]


def _recolour(m: dict[str, str]) -> list[Asked]:
    return [Asked("recolour", target, m["colour"].lower()) for target in _listed(m.get("x", "it"))]


def _tone(m: dict[str, str]) -> Asked:
    return Asked("recolour", _or_everything(m.get("x", "it")), TONES[m["tone"].lower()])


def _or_everything(words: str) -> str:
    target = bare(words)
    return EVERYTHING if target == "it" else target


def _become(m: dict[str, str]) -> Asked | None:
    """"turn X into Y": another thing, a look or lines."""
    x, y = bare(m["x"]), m["y"].strip()
    if x.startswith(("colour of ", "color of ")):
        return Asked("recolour", bare(x.split(" of ", 1)[1]), y.lower())
    if x == BACKGROUND:
        return _backdrop({"y": y})
    if re.fullmatch(_COLOUR, y, re.I):
        return Asked("recolour", x, y.lower())
    if y.lower() in TONES:
        return Asked("recolour", x, TONES[y.lower()])
    if _LINES.fullmatch(y):
        return Asked("lines", EVERYTHING)
    if _names_look(y):
        return Asked("restyle", EVERYTHING, _look_of(y))
    return Asked("repaint", EVERYTHING, with_article(y)) if x in ("it", EVERYTHING) and m.get("how") != "replace" else Asked("replace", x, with_article(y))


def _names_look(words: str) -> bool:
    return bool({word.text for word in words_of(words)} & {*LOOKS, "style", "look", "painting"})


def _look_of(words: str) -> str:
    found = re.search(r"style of (.+)$", words, re.I)
    return bare(found[1] if found else re.sub(r"\b(?:style|look|painting|picture|image|drawing|version)\b", "", words, flags=re.I)).strip() or words


def _short_look(words: str) -> Asked | None:
    """"watercolour", "as a flat sticker": a look and nothing else."""
    first = words_of(words)[0].text if words_of(words) else ""
    short = len(words.split()) <= 4 and not re.fullmatch(_VERBS, first)
    return Asked("restyle", EVERYTHING, _look_of(words)) if short and _names_look(words) else None


def _removal(m: dict[str, str]) -> list[Asked]:
    targets = _listed(m["x"])
    return [Asked("cutout") if target == BACKGROUND else Asked("remove", target) for target in targets]


def _addition(m: dict[str, str]) -> list[Asked] | None:
    words, place = m["y"], m.get("place", "")
    if bare(words) in ("it", EVERYTHING) or re.match(r"the\b", words, re.I):
        return None                                  # "put the dog on the left" moves it
    return [Asked("add", MAIN, with_article(one), place.lower()) for one in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+(?=an?\s)", words)]


def _gift(m: dict[str, str]) -> Asked:
    """"give the dog a hat"."""
    x = bare(m["x"])
    return Asked("add", MAIN, with_article(m["y"]), "on it" if x == "it" else f"on the {x}")


def _moved(m: dict[str, str]) -> Asked:
    place = re.sub(r"^(?:to|on|at|in|towards)\s+(?:the\s+)?|\s+(?:side|corner|of the (?:picture|image))$", "", m["place"].lower())
    place = re.sub(r"^(?:to|on|at|in)\s+the\s+|wards?$", "", place).strip()
    whole = bool(re.search(r"\b(?:to|on|at|in) the\b", m["place"], re.I)) or " " in place or place in ("middle", "center", "centre", "top", "bottom")
    percent = re.search(r"(\d+)\s*%", m.get("by", ""))
    step = float(percent[1]) / 100 if percent else _STEPS.get(m.get("by", "").strip().lower(), 0.2)
    return Asked("move", bare(m["x"]), "", f"at {place}" if whole and not percent else place, step)


def _scaled(m: dict[str, str]) -> Asked:
    size = m.get("size", "").lower()
    amount = float(m["n"]) if "n" in m else {"twice": 2.0, "double": 2.0, "half": 0.5, "halve": 0.5}.get(size.split()[0] if size else "", 0) or \
        _BIG.get(size, 0.7 if m.get("verb", "").lower() in ("shrink", "reduce") else 1.4)
    target = bare(m["x"])
    if target == EVERYTHING:
        return Asked("upscale", EVERYTHING, amount=4.0 if amount > 2 else 2.0) if amount > 1 else Asked("scale", MAIN, amount=amount)
    return Asked("scale", target, amount=amount)


def _larger(m: dict[str, str]) -> Asked:
    n = float(m["n"]) if "n" in m else 2.0
    return Asked("upscale", EVERYTHING, amount=float(min((2.0, 4.0, 8.0), key=lambda one: abs(one - n))))


def _backdrop(m: dict[str, str]) -> Asked:
    words = m["y"].strip().lower()
    if re.fullmatch(r"transparent|clear|nothing", words):
        return Asked("cutout")
    if re.fullmatch(_COLOUR, words):
        return Asked("recolour", BACKGROUND, words)
    on = words if re.match(r"(?:on|in|at|under|near|by|inside)\b", words) else f"on {with_article(words)}"
    return Asked("background", BACKGROUND, on)


def _somewhere(m: dict[str, str]) -> Asked | None:
    """"put it on a beach": another background; "put the dog on the left": a move."""
    if re.fullmatch(rf"(?:to |on |at |in )?(?:the )?(?:{_SIDES})(?: side| corner)?(?: of the (?:picture|image))?", m["place"], re.I):
        return _moved(m)
    if re.match(r"(?:on|in|at|under|near|by|inside)\s+(?:an?\s|water|space|snow)", m["place"], re.I):
        return _backdrop({"y": m["place"]})
    return Asked("move", bare(m["x"]), "", m["place"].lower()) if bare(m["x"]) else None


def _quality(m: dict[str, str]) -> Asked | None:
    """"make the dog happy": the same thing, looking otherwise."""
    target, how = bare(m["x"]), m["how"].strip()
    if _names_look(how) or _LINES.fullmatch(how):
        return _become({"x": "it", "y": how})
    if target in ("it", EVERYTHING):
        return Asked("repaint", EVERYTHING, how)
    return Asked("repaint", target, with_article(f"{how} {target}"))


_LINES = re.compile(r"(?:just\s+|only\s+|a\s+|an\s+|the\s+|its\s+)*(?:black\s+)?"
                    r"(?:lines|line[ -]?art|line[ -]?drawing|outlines?|edges|contours?|sketch|scribble|doodle)", re.I)
_X, _Y = r"(?P<x>.+?)", r"(?P<y>.+?)"
_PICTURE = r"(?:it|(?:the|this)\s+(?:picture|image|photo|drawing|resolution|size)(?:\s+of the (?:picture|image))?)"
_SIDE = rf"(?:to\s+|towards\s+|at\s+|in\s+|into\s+|on\s+)?(?:the\s+)?(?:{_SIDES})(?:\s+side|\s+corner)?"
_TIMES = r"(?P<n>\d+(?:\.\d+)?)"
_SIZE = rf"{'|'.join(_BIG)}|twice as (?:large|big)|half as (?:large|big)|half (?:the|its) size|double (?:the|its) size"
_SOME = r"(?P<x>(?:the|this|that|its)\s+[\w-]+(?:\s+[\w-]+)?|it|everything)"
Making = Callable[[dict[str, str]], Asked | list[Asked] | None]
_FORMS: tuple[tuple[str, Making], ...] = (
    # cutting out and lines
    (r"(?:(?:cut|crop|extract|isolate|remove|delete|erase|drop|clear)\s+(?:out\s+)?|no\s+)(?:the\s+)?background|transparent(?: background)?",
     lambda m: Asked("cutout")),
    (rf"(?:(?:extract|get|show|find|draw|trace|keep)\s+)?(?:only\s+)?(?P<y>{_LINES.pattern})", lambda m: Asked("lines", EVERYTHING)),
    (rf"(?:cut\s+out|extract|isolate|keep\s+only|crop\s+out)\s+{_X}|cut\s+(?P<x2>.+?)\s+out", lambda m: Asked("cutout", bare(m.get("x") or m["x2"]))),
    # size of the picture
    (rf"(?:upscale|upsample|enlarge|increase|sharpen|super[- ]?resol\w+)(?:\s+{_PICTURE})?(?:\s*(?:by|to)?\s*{_TIMES}\s*(?:x|×|times)?)?(?:\s+(?:times|fold))?"
     r"|(?P<m>higher resolution|more pixels|sharper)", _larger),
    (r"(?P<n>[248])\s*(?:x|×|times)(?:\s+(?:as large|larger|bigger|upscale))?", _larger),
    # colours and the background
    (rf"(?:change|set|make|turn|switch)\s+(?:the\s+)?colou?r\s+of\s+{_X}\s+(?:to|into)?\s*(?P<colour>{_COLOUR})", _recolour),
    (rf"(?:make|turn|set|have)\s+(?:the\s+)?background\s+(?:to\s+|into\s+)?(?P<y>transparent|clear|{_COLOUR})", _backdrop),
    (rf"(?:change|replace|swap|set|make|turn)\s+(?:the\s+)?background\s+(?:to|by|with|into|for)\s+{_Y}", _backdrop),
    (rf"in the style of\s+{_Y}", lambda m: Asked("restyle", EVERYTHING, bare(m["y"]))),
    (rf"(?P<y>(?:on|in|at|under)\s+(?:an?\s+|the\s+)?(?:{_COLOUR}\s+)?(?!.*\b(?:style|look)\b)[a-z ]+?)", _backdrop),
    (rf"(?:make|paint|colou?r|recolou?r|turn|dye|tint|repaint|change)\s+{_X}\s+(?:to\s+|into\s+|in\s+)?(?P<colour>{_COLOUR})", _recolour),
    (rf"{_X}\s+(?:should|must|has to)\s+be\s+(?P<colour>{_COLOUR})", _recolour),
    (rf"(?P<tone>{_TONE})|(?:make|turn)\s+{_X}\s+(?:to\s+|into\s+)?(?P<tone2>{_TONE})", lambda m: _tone(m | {"tone": m.get("tone") or m["tone2"]})),
    (r"darken\s+(?P<x>.+)", lambda m: Asked("recolour", _or_everything(m["x"]), "darker")),
    (r"(?:lighten|brighten)\s+(?P<x>.+)", lambda m: Asked("recolour", _or_everything(m["x"]), "lighter")),
    # size and place of things
    (rf"make\s+{_X}\s+(?:much\s+|a\s+(?:bit|little|lot)\s+)?(?P<size>{_SIZE})", _scaled),
    (rf"make\s+{_X}\s+{_TIMES}\s*(?:x|×|times)\s+(?:as\s+)?(?:large|big|larger|bigger)", _scaled),
    (rf"(?P<verb>enlarge|shrink|grow|reduce|scale|resize)\s+(?:down\s+|up\s+)?{_X}(?:\s+(?:by|to)\s+{_TIMES}(?:\s*(?:x|×|times))?)?", _scaled),
    (rf"(?P<size>double|halve)\s+{_X}", _scaled),
    (rf"(?:move|shift|push|slide|bring)(?:\s+{_X})?\s+(?P<by1>a bit|a little|slightly|far|a lot)?\s*(?P<place>{_SIDE})"
     r"(?:\s+(?P<by>by\s+\d+\s*%|a bit|a little|slightly|a lot))?",
     lambda m: _moved(m | {"x": m.get("x", "it"), "by": m.get("by") or m.get("by1", "")})),
    (rf"(?:move|shift|bring)\s+{_X}\s+(?P<place>{_RELATION}\s+.+)", lambda m: Asked("move", bare(m["x"]), "", m["place"].lower())),
    # other things, other looks
    (rf"(?:replace|swap|exchange|substitute)\s+{_X}\s+(?:by|with|for)\s+{_Y}", lambda m: _become(m | {"how": "replace"})),
    (rf"(?:change|turn|convert|transform|make|render|redraw)\s+{_X}\s+(?:into|to|as|like|look like)\s+{_Y}", _become),
    (rf"make\s+(?P<x>it|everything|the (?:picture|image|drawing|photo))\s+(?P<y>an?\s+.+|(?:{'|'.join(LOOKS)})(?: style| look)?)", _become),
    (rf"(?:put|place|add|draw|have)\s+{_Y}\s+instead of\s+{_X}|(?P<x3>.+?)\s+instead of\s+(?P<y3>.+)",
     lambda m: Asked("replace", bare(m.get("x") or m["y3"]), with_article(m.get("y") or m["x3"]))),
    (rf"(?:remove|delete|erase|take away|take out|get rid of|drop|without|no more|no)\s+{_X}", _removal),
    (rf"take\s+{_X}\s+away", _removal),
    (r"give\s+(?P<x>(?:the|it|him|her|them)(?:\s+[\w-]+)*?)\s+(?P<y>(?:an?|some|two|three)\s+.+)", _gift),
    (rf"(?:add|put|place|insert|draw|paint)\s+{_Y}(?:\s+(?P<place>(?:in|on|at|to)\s+the\s+(?:{_SIDES})(?:\s+side|\s+corner)?"
     rf"|{_RELATION}\s+(?:the|an?|it|its|his|her)\b.*))?", _addition),
    (rf"(?:put|place|set)\s+{_X}\s+(?P<place>(?:{_RELATION}|to)\s+.+)", _somewhere),
    (r"(?:(?:in|as|like)\s+(?:the\s+|an?\s+)?)?(?P<y>.+)", lambda m: _short_look(m["y"])),
    (rf"(?:paint|draw|render|redraw|restyle|make)\s+{_PICTURE}\s+(?:in|as|like|look like)\s+{_Y}", lambda m: Asked("restyle", EVERYTHING, _look_of(m["y"]))),
    (rf"make\s+{_SOME}\s+(?P<how>[\w-]+(?:\s+[\w-]+)?)", _quality),
    (r"(?P<y>an?\s+.+)", lambda m: Asked("repaint", EVERYTHING, m["y"])),
)
_PATTERNS = tuple((re.compile(form, re.I), make) for form, make in _FORMS)


# --- contradictions ------------------------------------------------------------------------------------------------------

def _check(asked: Sequence[Asked]) -> None:
    """Raises BadInput for wishes that cannot all come true."""
    for one in asked:
        if one.tool == "replace" and bare(one.words).lower() == one.target.lower():
            raise BadInput(f'"{one.said}" replaces a thing by itself.', "Name another thing.")
        if one.tool == "recolour" and (both := re.search(rf"\b({_COLOUR})\s+and$", one.target, re.I)):
            raise _torn(both[1], one.words)
    for k, first in enumerate(asked):
        for second in asked[k + 1:]:
            if first.target.lower() == second.target.lower() and (torn := _opposed(first, second)):
                raise _torn(*torn)
            if {first.tool, second.tool} == {"add", "remove"} and _same_thing(first, second):
                raise _torn(first.said, second.said)


def _same_thing(first: Asked, second: Asked) -> bool:
    add, gone = (first, second) if first.tool == "add" else (second, first)
    return bare(add.words).lower() == gone.target.lower() and add is first


def _opposed(first: Asked, second: Asked) -> tuple[str, str] | None:
    """The two words that exclude each other, for one target."""
    pair = first.said, second.said
    if first.tool == "remove" and second.tool not in ("add", "lines", "upscale", "restyle") and first.target:
        return pair
    if first.tool in ("recolour", "replace") and second.tool == first.tool and first.words != second.words:
        return first.words, second.words
    if first.tool == second.tool == "scale" and (first.amount > 1) != (second.amount > 1):
        return pair
    opposite = ({"left", "right"}, {"up", "down"}, {"top", "bottom"}, {"at left", "at right"})
    return pair if first.tool == second.tool == "move" and {first.place, second.place} in opposite else None


def _torn(one: str, other: str) -> BadInput:
    return BadInput(f'"{one}" and "{other}" contradict each other.', "Choose one of them, or do one after the other.")
