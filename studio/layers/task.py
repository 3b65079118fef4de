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
from models.errors import BadInput, UnknownId
from models.job import Job, Picture
from models.layers.stack import Group, Layer, Placement, Stack, Text
from studio.workbench.asking import Asking, Cancel, Progress


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
class Mark:
    """A place on the canvas that the person should look at: a word that is misread, what was read ("" = nothing), the box [left, top,
    right, bottom] in canvas pixels, and the layer it belongs to."""
    words: str
    said: str
    box: tuple[float, float, float, float]
    layer: str = ""


@dataclass(frozen=True)
class Outcome:
    """What becomes of the stack, as one step that can be undone.

    layers: new ones, bottom to top. replaces: ids of layers whose place in the stack the new ones take (one for one when there are as
    many, else all go where the topmost of them was); empty = above what is chosen, or with `bottom` under everything. group: name of a
    group around the new ones, "" = none. notes: sentences for the person. proposals: alternatives to pick one of; then `layers` is
    empty. marks: what is outlined on the canvas.
    """
    layers: tuple[Made, ...] = ()
    replaces: tuple[str, ...] = ()
    group: str = ""
    notes: tuple[str, ...] = ()
    proposals: tuple[Outcome, ...] = ()
    bottom: bool = False
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Call(Asking):
    """What a task gets. `base`: id of the model that is chosen in the tab. `pictures`: RGBA of every layer by its digest. `asked`: JSON
    from the panel; read it through the methods, which refuse what cannot be used by name. `progress(done, total, what)` shows a bar,
    `part(JSON)` reaches the panel's onPart at once."""
    engine: Any
    library: Any
    base: str
    stack: Stack
    pictures: Mapping[str, Picture]
    asked: dict[str, Any]
    progress: Progress = lambda done, total, what: None
    cancelled: Cancel = lambda: False
    part: Callable[[dict[str, Any]], None] = lambda part: None
    session = "layers"

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
