"""The history of one picture: a tree of steps, each a whole picture with what was asked for, and the step that is shown now.

Undo goes to the step before, redo on along the newest line; a step made after an undo begins a branch, so nothing is ever lost. Frozen
values; the page makes new ones (page/history.js follows the same rules) and the studio checks what comes in.
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from models.errors import BadInput, UnknownId
from studio.layers.pictures import PICTURE_ID, Pictures

MAX_STEPS, MAX_JSON_CHARS, MAX_TITLE_CHARS = 1000, 500_000, 200
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Step:
    """One picture. parent: the step it was made from, "" = none. picture: its id, width x height px. title: what was done, in a few words.
    tab, asked: who made it and everything that was asked for. notes: sentences for the person. before: where the parent's picture lies in
    this one, [x, y, width, height] px; empty = it fills it. more: what the tab wants to remember (masks, other candidates)."""
    id: str
    picture: str
    width: int
    height: int
    title: str
    parent: str = ""
    tab: str = ""
    asked: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    before: tuple[float, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    at_s: float = 0.0

    def __post_init__(self) -> None:
        _require(isinstance(self.id, str) and _ID.fullmatch(self.id), "A step's id has 12 hexadecimal digits.")
        _require(isinstance(self.picture, str) and PICTURE_ID.fullmatch(self.picture), "A step names its picture by its id.")
        _require(all(isinstance(side, int) and 0 < side < 2 ** 20 for side in (self.width, self.height)), "A step says how large its picture is.")
        _require(all(isinstance(text, str) for text in (self.title, self.parent, self.tab, *self.notes)), "A step's words must be text.")
        _require(len(self.title) <= MAX_TITLE_CHARS, f"A step's title may have {MAX_TITLE_CHARS} characters at most.")
        _require(len(self.before) in (0, 4) and all(isinstance(v, int | float) for v in self.before), "Where the picture before lies is [x, y, width, height].")
        _require(all(isinstance(values, dict) and len(json.dumps(values)) <= MAX_JSON_CHARS for values in (self.asked, self.more)),
                 f"What is remembered of a step may have {MAX_JSON_CHARS:,} characters at most.")

    @classmethod
    def from_dict(cls, values: Any) -> Step:
        """Unknown keys are refused by name."""
        _require(isinstance(values, dict), "A step is a JSON object.")
        if unknown := sorted(set(values) - {f.name for f in fields(cls)}):
            raise BadInput(f"A step has no {', '.join(unknown)[:80]}.")
        try:
            return cls(**values | {key: tuple(values.get(key) or ()) for key in ("notes", "before")})
        except TypeError:
            raise BadInput("A step lacks its id, picture, size or title.") from None


@dataclass(frozen=True)
class History:
    """`steps`: parents before their children; `now`: the one that is shown, "" = nothing yet; `draft`: what is being prepared (JSON)."""
    steps: tuple[Step, ...] = ()
    now: str = ""
    draft: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {""}
        for step in self.steps:
            _require(step.parent in known, "A step comes after the one it was made from.")
            _require(step.id not in known, "Two steps share one id.")
            known.add(step.id)
        _require(len(self.steps) <= MAX_STEPS, f"A document has at most {MAX_STEPS:,} steps. Go on in a new one.")
        _require(self.now in known and bool(self.now) == bool(self.steps), "The step that is shown is not among the steps.")
        _require(isinstance(self.draft, dict) and len(json.dumps(self.draft)) <= MAX_JSON_CHARS, "What is being prepared is too long to be kept.")

    @classmethod
    def from_dict(cls, values: Any) -> History:
        """Raises BadInput."""
        _require(isinstance(values, dict) and isinstance(values.get("steps", []), list), "A history is a list of steps and the one that is shown.")
        return cls(tuple(map(Step.from_dict, values.get("steps", []))), values.get("now", ""), values.get("draft") or {})

    def to_dict(self) -> dict[str, Any]:
        return {"steps": [asdict(step) | {"notes": list(step.notes), "before": list(step.before)} for step in self.steps], "now": self.now,
                "draft": self.draft}

    def step(self, id: str) -> Step:
        """Raises UnknownId."""
        for step in self.steps:
            if step.id == id:
                return step
        raise UnknownId(f'There is no step "{str(id)[:16]}" in this document.')

    def path(self, id: str) -> tuple[Step, ...]:
        """From the first picture to a step."""
        out = [self.step(id)]
        while out[-1].parent:
            out.append(self.step(out[-1].parent))
        return tuple(reversed(out))


def about(history: History) -> dict[str, Any]:
    """What a list shows of a document."""
    if not history.now:
        return {"width": 0, "height": 0, "steps": 0, "picture": ""}
    step = history.step(history.now)
    return {"width": step.width, "height": step.height, "steps": len(history.steps), "picture": step.picture}


def check(pictures: Pictures, history: History) -> None:
    """Raises BadInput when a picture of a step is not there."""
    for step in history.steps:
        check_step(pictures, step)


def check_step(pictures: Pictures, step: Step) -> None:
    """The same for one step."""
    if step.picture not in pictures:
        raise BadInput(f'The picture of "{step.title}" is not in the library any more.', "Undo to a step that is, or load the picture anew.")


def told(steps: tuple[Step, ...]) -> list[Mapping[str, Any]]:
    """What an exported file says of how it was made, first to last."""
    return [{"title": step.title, "tab": step.tab, "asked": step.asked, "size": f"{step.width}x{step.height}"} for step in steps]


def _require(ok: object, message: str) -> None:
    if not ok:
        raise BadInput(message)
