"""Which words of a prompt name things. Rules only: no tagger is needed for "a tall green tree with red apples on a hill".

A phrase ends at an article, a preposition, "and" or a mark; of its words, those that are not known to describe (colours, sizes, looks)
name the thing. Words that say what kind of picture it is ("photo", "icon") name nothing, as in Alfie's stop-list (Quattrini et al. 2024).
"""
from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
COLOURS = frozenset("red orange yellow green blue purple violet pink brown black white grey gray golden gold silver turquoise cyan magenta beige "
                    "teal navy crimson scarlet cream pale dark light bright colourful colorful".split())
SIZES = {"tiny": 0.5, "little": 0.65, "small": 0.7, "short": 0.75, "big": 1.3, "large": 1.3, "tall": 1.25, "high": 1.2, "huge": 1.6, "giant": 1.7,
         "enormous": 1.7, "long": 1.15, "wide": 1.2}
_LOOKS = frozenset("cute old new young happy sad smiling laughing angry sleeping sitting standing flying running shiny glossy wooden stone metal "
                   "glass plastic paper simple beautiful nice lovely fresh ripe round square fat thin soft fluffy striped spotted modern flat "
                   "transparent full half open closed single one two three four five".split())
KINDS_OF_PICTURE = frozenset("photo photograph picture image icon logo sticker emoji illustration drawing painting sketch render rendering "
                             "clipart vector art artwork style background closeup view shot portrait design asset png".split())
_ENDS = frozenset("a an the some and or with without of on in at under over above below behind beside near by next to from into onto for "
                  "against inside outside between front left right middle top bottom its his her their my your is are that which "
                  "very".split())


@dataclass(frozen=True)
class Word:
    """`text` in lower case at characters start..end of the prompt."""
    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """All words, in order."""
    return [Word(m.group().lower(), m.start(), m.end()) for m in _WORD.finditer(text)]


def describes(word: str) -> bool:
    """Whether a word says how a thing looks, not what it is."""
    return word in COLOURS or word in SIZES or word in _LOOKS


def nouns_of(text: str) -> list[Word]:
    """The words that name things, in order and at most once each; the last word that is no grammar when there is none; [] for no words."""
    words = words_of(text)
    content = [word for word in words if word.text not in _ENDS and word.text not in KINDS_OF_PICTURE]
    found = [word for word in content if not describes(word.text)] or content[-1:] or words[-1:]
    return list({word.text: word for word in reversed(found)}.values())[::-1]
