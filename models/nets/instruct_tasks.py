"""What the instruction adapter is trained to do, and in which words: templates a task, some of them kept for measuring only.

"{x}" is a thing, "{y}" what it becomes, "{c}" a colour, "{w}" a place or a direction, "{s}" a look. Nothing here needs torch: the flow
that says what was understood reads the same words as the lab that trains.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from models.spec import EMBEDDED_STYLES

COLOURS = {"red": (222, 52, 52), "orange": (244, 144, 44), "yellow": (250, 210, 62), "green": (72, 172, 84), "teal": (44, 166, 164),
           "blue": (58, 118, 226), "purple": (140, 88, 204), "pink": (244, 142, 190)}
"""RGB of the colour words that a thing can be given."""
PLACES = {"on the left": -1, "in the middle": 0, "on the right": 1}
DIRECTIONS = {"to the left": (-1, 0), "to the right": (1, 0), "up": (0, -1), "down": (0, 1)}
LOOKS = {style.id: style.phrase.removesuffix(" emoji style").removesuffix(" style") for style in EMBEDDED_STYLES if style.id != "sticker"}


@dataclass(frozen=True)
class Task:
    """`says`: templates to train with; `held`: paraphrases that no training sees; `signs`: words that give the task away, most telling first."""
    id: str
    title: str
    says: tuple[str, ...]
    held: tuple[str, ...]
    signs: tuple[str, ...]

    @property
    def examples(self) -> tuple[str, ...]:
        """Three sentences for people."""
        fill = {"x": "hat", "y": "crown", "c": "red", "w": next(iter(DIRECTIONS)) if self.id == "move" else "on the left", "s": "flat"}
        return tuple(say.format(**fill) for say in self.says[:3])


_ALL = (
    Task("add", "Add", ("add a {x} {w}", "put a {x} {w}", "draw a {x} {w}", "there should be a {x} {w}", "place a {x} {w}", "a {x} {w}, please",
                        "insert a {x} {w}"), ("I want to see a {x} {w} too", "give it a {x} {w}"), ("add", "insert", "put", "place", "too", "give", "draw")),
    Task("remove", "Remove", ("remove the {x}", "delete the {x}", "take the {x} away", "erase the {x}", "without the {x}", "get rid of the {x}",
                              "no {x}"), ("make the {x} disappear", "there should not be a {x}"),
         ("remove", "delete", "erase", "without", "rid", "away", "disappear", "no", "not")),
    Task("replace", "Replace", ("replace the {x} by a {y}", "turn the {x} into a {y}", "change the {x} to a {y}", "a {y} instead of the {x}",
                                "swap the {x} for a {y}", "the {x} becomes a {y}"), ("exchange the {x} with a {y}", "make the {x} a {y}"),
         ("replace", "swap", "instead", "exchange", "becomes", "turn", "change")),
    Task("recolour", "Recolour", ("make the {x} {c}", "paint the {x} {c}", "colour the {x} {c}", "the {x} should be {c}", "turn the {x} {c}",
                                  "change the colour of the {x} to {c}", "a {c} {x}"), ("recolour the {x} in {c}", "I would like the {x} in {c}"),
         ("recolour", "recolor", *COLOURS, "paint")),
    Task("restyle", "Restyle", ("in {s} style", "make it {s} style", "redraw it in {s} style", "turn it into {s} emoji style", "restyle it: {s}",
                                "{s} look", "as {s} emoji style"), ("paint this again in the {s} style", "I want a {s} look"),
         ("style", "look", "restyle", "redraw", *LOOKS.values())),
    Task("move", "Move", ("move the {x} {w}", "shift the {x} {w}", "push the {x} {w}", "the {x} should be further {w}", "slide the {x} {w}",
                          "bring the {x} {w}"), ("drag the {x} {w}", "put the {x} further {w}"),
         ("move", "shift", "slide", "push", "drag", "further", "bring")),
    Task("background", "Background", ("put it {w}", "change the background: {w}", "the scene is {w}", "move the scene: {w}", "show it {w}",
                                      "with another background, {w}"), ("let it be {w}", "give it a new background, {w}"),
         ("background", "scene", "beach", "field", "night", "snow", "room", "desert", "sea", "sunset", "show")),
    Task("edges", "Lines", ("turn it into lines", "draw the edges", "extract the edges", "make a line drawing of it", "outline it",
                            "show only the contours"), ("as line art", "trace the outlines"),
         ("lines", "edges", "outline", "outlines", "contours", "line", "trace")),
    Task("cutout", "Cut out", ("cut out the {x}", "make a mask of the {x}", "show the silhouette of the {x}", "the shape of the {x}", "segment the {x}",
                               "select the {x}"), ("isolate the {x}", "where is the {x}"),
         ("cut", "mask", "silhouette", "shape", "segment", "select", "isolate", "where")),
    Task("denoise", "Clean", ("remove the noise", "denoise it", "clean the picture", "take the grain away", "make it less noisy", "smooth the grain"),
         ("get rid of the grain", "the picture is noisy, clean it"), ("noise", "denoise", "grain", "noisy", "clean", "smooth")),
    Task("deblur", "Sharpen", ("make it sharp", "sharpen it", "deblur it", "remove the blur", "bring it into focus", "make it crisp"),
         ("it is blurry, mend it", "more sharpness"), ("sharp", "sharpen", "deblur", "blur", "focus", "crisp", "blurry", "sharpness")),
    Task("colourise", "Colourise", ("colour this picture", "add colours", "make it colourful", "colourise it", "give it colours",
                                    "turn the grey picture into a coloured one"), ("from black and white to colour", "bring colours into it"),
         ("colourise", "colorize", "colours", "colors", "colourful", "grey", "coloured", "colour")),
)
TASKS = {task.id: task for task in _ALL}
_STRONG = 4.0                                        # how much more the first sign of a task says than its last


@dataclass(frozen=True)
class Understood:
    """The task whose words lie nearest and its share of all; `others`: (task, share), falling."""
    task: str
    sure: float
    others: tuple[tuple[str, float], ...]


def understood(instruction: str) -> Understood:
    """Which task a sentence asks for, by the words that give tasks away and by how much of a template it repeats. Rules only; the adapter
    itself reads the sentence, this tells people what it will probably be taken for."""
    words = re.findall(r"[a-z]+", instruction.lower())
    points = {task.id: _points(task, words) for task in _ALL}
    total = sum(points.values()) or 1.0
    ranked = sorted(((id, value / total) for id, value in points.items()), key=lambda pair: -pair[1])
    return Understood(ranked[0][0], ranked[0][1], tuple(pair for pair in ranked[1:4] if pair[1] > 0))


def _points(task: Task, words: list[str]) -> float:
    signs = sum(1 + (_STRONG - 1) * (1 - task.signs.index(word) / len(task.signs)) for word in set(words) & set(task.signs))
    return signs + 2 * max(_shared(template, words) for template in task.says) ** 2


def _shared(template: str, words: list[str]) -> float:
    """The share of a template's own words that stand in the sentence."""
    own = set(re.findall(r"[a-z]+", re.sub(r"\{.\}", "", template))) - {"a", "the", "it"}
    return len(own & set(words)) / len(own) if own else 0.0
