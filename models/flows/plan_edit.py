"""Which tools an instruction needs, why, and in what order: a plan that can be read, changed, put in another order and kept as JSON.

Planning paints nothing and looks at nothing; it is made while somebody types. Rules read the instruction (models/words/instructions.py). A
chat endpoint may be asked instead where one is set up (models/flows/_edit_chat.py); what it answers passes the same checks, or the rules decide.
"""
from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from models.errors import BadInput, StudioError
from models.job import MAX_PROMPT_CHARS, MAX_SEED, Picture
from models.job import _picture_in as picture_in
from models.job import _picture_out as picture_out
from models.words.instructions import BACKGROUND, EVERYTHING, MAIN, Asked, bare, read

MOST_STEPS = 24
Chat = Callable[[str], str]                          # an instruction -> JSON of a plan


@dataclass(frozen=True)
class Tool:
    """One way to change a picture. fields: what of a step it reads. finds: it needs a mask. strength_says: what the slider means, "" = not read. amount:
    (least, most, default) of Step.amount, None = not read. repaints: the base paints, so seeds give alternatives."""
    id: str
    title: str
    about: str
    fields: tuple[str, ...]
    finds: bool
    strength_says: str
    amount: tuple[float, float, float] | None = None
    repaints: bool = False
    strength: float = 1.0


TOOLS: dict[str, Tool] = {tool.id: tool for tool in (
    Tool("recolour", "Recolour", "gives a thing another colour and keeps its light and shade", ("target", "words", "strength"), True,
         "How much of the new colour"),
    Tool("replace", "Replace", "paints another thing in the place of one", ("target", "words", "strength"), True,
         "How freely: low keeps the old shape, high paints anew", repaints=True),
    Tool("remove", "Remove", "takes a thing away and fills the place with what is around it", ("target", "strength"), True,
         "How much of it goes"),
    Tool("add", "Add", "paints a new thing and puts it where there is room", ("words", "place", "strength", "amount"), False,
         "How solid it is", (0.2, 3.0, 1.0), repaints=True),
    Tool("restyle", "Restyle", "paints the whole picture in another look", ("words", "strength"), False, "How far from the picture",
         repaints=True, strength=0.7),
    Tool("background", "Background", "keeps the things and paints another place behind them", ("words", "strength"), True,
         "How much of the new place", repaints=True),
    Tool("lines", "Lines", "finds the lines of the picture", ("strength",), False, "How much of the lines"),
    Tool("upscale", "Upscale", "makes the picture larger and sharp", ("amount", "strength"), False, "From faithful to detailed", (2, 8, 2.0),
         strength=0.5),
    Tool("cutout", "Cut out", "makes everything but a thing transparent", ("target", "strength"), True, "How transparent the rest becomes"),
    Tool("move", "Move", "lifts a thing out, fills its place and puts it elsewhere", ("target", "place", "amount"), True, "", (0.01, 1, 0.2)),
    Tool("scale", "Scale", "makes a thing larger or smaller where it stands", ("target", "amount"), True, "", (0.1, 5, 1.4)),
    Tool("repaint", "Repaint", "paints a thing or the whole picture over, towards the words", ("target", "words", "strength"), True,
         "How far from the picture", repaints=True, strength=0.6),
)}
NEEDS_WORDS = ("recolour", "replace", "add", "restyle", "background", "repaint")


@dataclass(frozen=True)
class Step:
    """One change. target: what is looked for ("" = the main thing, "everything", "background"); words: what it becomes; place: where to.
    amount: times as large, or a share of the side to move by. strength: see Tool. mask: the user's own, one channel, 255 = change, in the
    size of the picture before the step; it wins over the words. on: a step that is off is kept but not run. why: a sentence."""
    tool: str
    target: str = MAIN
    words: str = ""
    place: str = ""
    amount: float | None = None
    strength: float | None = None
    seed: int = 0
    on: bool = True
    mask: Picture | None = None
    why: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        if self.tool not in TOOLS:
            raise BadInput(f'There is no tool "{self.tool}".', f"Known: {', '.join(TOOLS)}.")
        for name in ("target", "words", "place", "why", "id"):
            if not isinstance(getattr(self, name), str) or len(getattr(self, name)) > MAX_PROMPT_CHARS:
                raise BadInput(f"The {name} of a step must be a text of at most {MAX_PROMPT_CHARS:,} characters.")
        tool = TOOLS[self.tool]
        low, high, usual = tool.amount or (-math.inf, math.inf, 1.0)
        object.__setattr__(self, "amount", _number("amount", usual if self.amount is None else self.amount, low, high))
        object.__setattr__(self, "strength", _number("strength", tool.strength if self.strength is None else self.strength, 0, 1))
        if not isinstance(self.on, bool):
            raise BadInput("A step is on or off: true or false.")
        if not isinstance(self.seed, int) or not 0 <= self.seed <= MAX_SEED:
            raise BadInput(f"A seed must be a whole number in 0..{MAX_SEED}.")

    def but(self, **changes: Any) -> Step:
        return replace(self, **changes)

    def title(self) -> str:
        """"Recolour the hat: red"."""
        name = {MAIN: "", EVERYTHING: ""}.get(self.target, f" the {self.target}") if "target" in TOOLS[self.tool].fields else ""
        told = ", ".join(part for part in (self.words, self.place) if part)
        if self.tool == "upscale" or (self.tool == "scale"):
            told = f"{self.amount:g} times"
        return f"{TOOLS[self.tool].title}{name}{': ' if told else ''}{told}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; Step.from_dict is the inverse."""
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        return out | {"mask": picture_out(self.mask, "inline")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Step:
        """Raises BadInput for unknown names and values of the wrong kind."""
        if not isinstance(values, dict) or "tool" not in values:
            raise BadInput("A step must be an object with a tool.", f"Known tools: {', '.join(TOOLS)}.")
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise BadInput(f"Unknown field of a step: {', '.join(unknown)}.", f"Known: {', '.join(sorted(known))}.")
        try:
            return cls(**values | {"mask": picture_in(values.get("mask"))})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise BadInput(f"A step of the plan cannot be read ({error}).", "Write the plan anew.") from None


@dataclass(frozen=True)
class Plan:
    """Steps in their order. by: "rules" or "chat"; notes: sentences for the person."""
    steps: tuple[Step, ...]
    instruction: str = ""
    by: str = "rules"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.steps) > MOST_STEPS:
            raise BadInput(f"{len(self.steps)} steps are too many: {MOST_STEPS} is the most.", "Do them in two goes.")

    def to_json(self) -> str:
        return json.dumps({"steps": [step.to_dict() for step in self.steps], "instruction": self.instruction, "by": self.by, "notes": list(self.notes)})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Raises BadInput for anything that to_json would not have written."""
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            raise BadInput("This is no plan: it is not JSON.", "Write the plan anew.") from None
        if not isinstance(told, dict) or not isinstance(told.get("steps"), list):
            raise BadInput("This is no plan: it has no steps.", "Write the plan anew.")
        if unknown := sorted(set(told) - {f.name for f in fields(cls)}):
            raise BadInput(f"Unknown field of a plan: {', '.join(unknown)}.")
        notes = told.get("notes", [])
        if not all(isinstance(v, str) for v in (told.get("instruction", ""), told.get("by", ""), *(notes if isinstance(notes, list) else [0]))):
            raise BadInput("The words of a plan must be texts.")
        return cls(tuple(map(Step.from_dict, told["steps"])), told.get("instruction", ""), told.get("by", "rules"), tuple(notes))


def plan_of(instruction: str, chat: Chat | None = None) -> Plan:
    """Raises BadInput when the instruction is empty, not understood or contradicts itself."""
    notes: tuple[str, ...] = ()
    if chat is not None and instruction.strip():
        try:
            return replace(_from_chat(chat(instruction)), instruction=instruction)
        except (StudioError, OSError) as error:
            notes = (f"The language model could not be used ({error}); rules read the instruction instead.",)
    return Plan(_numbered(_step(asked) for asked in read(instruction)), instruction, "rules", notes)


def _from_chat(answer: str) -> Plan:
    """A plan from a chat's JSON: only tool, target, words, place, amount and strength are taken from it."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        raise BadInput("It did not answer with JSON.") from None
    steps = told.get("steps") if isinstance(told, dict) else None
    if not isinstance(steps, list) or not steps or not all(isinstance(one, dict) for one in steps):
        raise BadInput("Its answer holds no steps.")
    taken = ("tool", "target", "words", "place", "amount", "strength", "why")
    made = [Step.from_dict({name: value for name, value in one.items() if name in taken and value is not None}) for one in steps]
    if wordless := [step.tool for step in made if step.tool in NEEDS_WORDS and not step.words.strip()]:
        raise BadInput(f"Its step {wordless[0]} has no words.")
    return Plan(_numbered(step.but(target=_plain(step.target), why=step.why or "The language model chose it.") for step in made), by="chat")


def _plain(target: str) -> str:
    """The way rules write a target."""
    plain = bare(target)
    return MAIN if plain == "it" else BACKGROUND if plain.lower() == "background" else plain


def _numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(step.but(id=f"step-{number}") for number, step in enumerate(steps, 1))


def _step(asked: Asked) -> Step:
    return Step(asked.tool, asked.target, asked.words, asked.place, asked.amount, why=f'"{asked.said}": {TOOLS[asked.tool].title} {TOOLS[asked.tool].about}.')


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise BadInput(f"The {name} of a step is {value}, outside {low:g} to {high:g}.", "Choose another value.")
    return float(value)


def running(plan: Plan, start: int = 0) -> Sequence[tuple[int, Step]]:
    """(number, step) of the steps that are on, from `start`. Raises BadInput when there is none."""
    chosen = [(number, step) for number, step in enumerate(plan.steps) if step.on and number >= start]
    if not chosen:
        raise BadInput("There is no step to run.", "Switch one on, or say what to change.")
    if lacking := [step.title() for _, step in chosen if step.tool in NEEDS_WORDS and not step.words.strip()]:
        raise BadInput(f'The step "{lacking[0]}" does not say what to make.', "Write its words.")
    return chosen
