"""What a task of the Layers tab gets and gives, and how tasks are found: one file in studio/layers/tasks/ is one task.

A task is a thin shell: it reads what was asked for, calls a flow of models/flows/, and says what becomes of the stack.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import studio.layers.tasks
from models.errors import BadInput, Cancelled, UnknownId
from models.job import MAX_PROMPT_CHARS, MAX_SEED, Job, Picture, Result
from models.layers.stack import Group, Layer, Placement, Stack, Text

Progress = Callable[[int, int, str], None]
Cancel = Callable[[], bool]


@dataclass(frozen=True)
class Made:
    """One new layer. `picture`: straight RGBA. `source`: JSON with enough to make it again. `job`: of that very picture, if one Job
    makes it; it travels with the picture into exports."""
    name: str
    picture: Picture
    place: Placement
    source: dict = field(default_factory=dict)
    blend: str = "normal"
    opacity: float = 1.0
    text: Text | None = None
    svg: str = ""
    job: Job | None = None


@dataclass(frozen=True)
class Outcome:
    """What becomes of the stack, as one step that can be undone.

    layers: new ones, bottom to top. replaces: ids of layers whose place in the stack the new ones take (one for one when there are as
    many, else all go where the topmost of them was); empty = above what is chosen, or with `bottom` under everything. group: name of a
    group around the new ones, "" = none. notes: sentences for the person. proposals: alternatives to pick one of; then `layers` is
    empty.
    """
    layers: tuple[Made, ...] = ()
    replaces: tuple[str, ...] = ()
    group: str = ""
    notes: tuple[str, ...] = ()
    proposals: tuple[Outcome, ...] = ()
    bottom: bool = False


@dataclass(frozen=True)
class Call:
    """What a task gets. `base`: id of the model that is chosen in the tab. `pictures`: RGBA of every layer by its digest. `asked`: JSON
    from the panel; read it through the methods, which refuse what cannot be used by name. `progress(done, total, what)` shows a bar."""
    engine: Any
    library: Any
    base: str
    stack: Stack
    pictures: Mapping[str, Picture]
    asked: dict[str, Any]
    progress: Progress = lambda done, total, what: None
    cancelled: Cancel = lambda: False

    def check(self) -> None:
        """Raises Cancelled when nobody waits for the outcome any more."""
        if self.cancelled():
            raise Cancelled()

    def render(self, job: Job) -> Result:
        """The engine's render, cancelled with the call; its own steps show as progress only where the task shows none."""
        return self.engine.render(job, cancel=self.cancelled, session="layers")

    def text(self, name: str, default: str = "", most: int = MAX_PROMPT_CHARS) -> str:
        """Words without spaces around them."""
        value = self.asked.get(name, default)
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            raise BadInput(f'"{name}" must be text of at most {most:,} characters.')
        return value.strip()

    def words(self, name: str = "words") -> str:
        """Text that must be there."""
        if not (value := self.text(name)):
            raise BadInput("There are no words yet.", "Say what to make.")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.asked.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadInput(f'"{name}" must be a number from {low:g} to {high:g}, not {str(value)[:40]}.')
        return float(value)

    def whole(self, name: str, default: int, low: int = 0, high: int = MAX_SEED) -> int:
        value = self.asked.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadInput(f'"{name}" must be a whole number from {low:,} to {high:,}, not {str(value)[:40]}.')
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.asked.get(name, default)
        if not isinstance(value, bool):
            raise BadInput(f'"{name}" is true or false.')
        return value

    def choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        value = self.asked.get(name, default)
        if value not in known:
            raise BadInput(f'There is no {name} "{str(value)[:40]}".', f"Known: {', '.join(known)}.")
        return value

    def layer(self, name: str = "layer") -> Layer:
        """The layer whose id is asked for under `name`."""
        return self._leaf(self.text(name))

    def layers(self, name: str = "layers") -> tuple[Layer, ...]:
        """The layers whose ids are listed under `name`, bottom to top; a group stands for what is in it."""
        ids = self.asked.get(name, [])
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            raise BadInput(f'"{name}" must be a list of ids of layers.')
        wanted = {leaf.id for id in ids for leaf in _leaves(self.stack.find(id))}
        return tuple(leaf for leaf in self.stack.leaves() if leaf.id in wanted)

    def picture(self, layer: Layer) -> Picture:
        """The RGBA pixels of a layer, at their own size."""
        return self.pictures[layer.picture]

    def _leaf(self, id: str) -> Layer:
        if not id:
            raise BadInput("No layer is chosen.", "Choose one in the list.")
        node = self.stack.find(id)
        if isinstance(node, Group):
            raise BadInput(f'"{node.name}" is a group.', "Choose a single layer in it.")
        return node


@dataclass(frozen=True)
class Task:
    """`run` may take long: it is called in a thread of its own, raises StudioError, and asks `call.cancelled()` between steps."""
    id: str
    title: str
    run: Callable[[Call], Outcome]


def discover_tasks() -> dict[str, Task]:
    """Every TASK in studio/layers/tasks/*.py by id. Two of one id are an error."""
    found: dict[str, Task] = {}
    for info in pkgutil.iter_modules(studio.layers.tasks.__path__):
        if not info.name.startswith("_"):
            task = importlib.import_module(f"studio.layers.tasks.{info.name}").TASK
            if task.id in found:
                raise ValueError(f"Two tasks of the Layers tab share the id {task.id}.")
            found[task.id] = task
    return found


def task_of(tasks: Mapping[str, Task], id: str) -> Task:
    """Raises UnknownId."""
    if id not in tasks:
        raise UnknownId(f'The Layers tab knows no task "{id[:40]}".', f"Known: {', '.join(tasks) or 'none'}.")
    return tasks[id]


def _leaves(node: Layer | Group) -> tuple[Layer, ...]:
    return tuple(leaf for inner in node.layers for leaf in _leaves(inner)) if isinstance(node, Group) else (node,)
