"""What a task of a workbench tab gets and gives, and how tasks are found: one file in studio/TAB/tasks/ is one task.

A task is a thin shell: it reads what was asked for, calls a flow of models/flows/, keeps the pictures that come of it and returns JSON.
"""
from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from models.errors import BadInput, UnknownId
from models.job import Extent, Job, Picture
from models.spec import BaseSpec
from studio.layers.pictures import Pictures
from studio.workbench.asking import Asking, Cancel, Progress
from studio.workbench.history import History, Step


@dataclass(frozen=True)
class Call(Asking):
    """What a task gets. `base`: id of the model that is chosen in the tab. `history`: of the document, as the page has it now. `pictures`:
    every kept picture as RGBA by its id. `asked`: JSON from the panel; read it through the methods, which refuse by name. `progress(done,
    total, what)` shows a bar; `part(JSON)` reaches the page at once."""
    engine: Any
    library: Any
    base: str
    history: History
    pictures: Pictures
    asked: dict[str, Any]
    progress: Progress = lambda done, total, what: None
    cancelled: Cancel = lambda: False
    part: Callable[[dict[str, Any]], None] = lambda values: None
    session: str = "workbench"
    began_s: float = field(default_factory=time.monotonic)

    @property
    def spec(self) -> BaseSpec:
        return self.engine.catalog.base(self.base).spec

    @property
    def step(self) -> Step:
        """The one to work on: asked for by its id under "step", else the one that is shown."""
        if not self.history.now:
            raise BadInput("There is no picture yet.", "Drop one onto the canvas, paste one, or press Open.")
        return self.history.step(self.text("step") or self.history.now)

    def source(self) -> Picture:
        """The picture to work on: RGBA, or RGB where all of it is opaque."""
        return plain(self.pictures[self.step.picture])

    def picture(self, name: str) -> Picture:
        """The RGBA picture whose id is asked for under `name`."""
        id = self.text(name)
        if id not in self.pictures:
            raise BadInput(f'"{name}" names no picture that is here.', "Load it again.")
        return self.pictures[id]

    def mask(self, name: str = "mask") -> Picture | None:
        """The mask asked for under `name`, one channel of the step's size, 255 = may change; None without one."""
        return mask_from(self.pictures, self.text(name), Extent(self.step.width, self.step.height)) if self.text(name) else None

    def keep(self, picture: Picture, job: Job | None = None) -> dict[str, Any]:
        """Keep a picture of any channels; {"picture": id, "width", "height"}. `job`: only one that makes this very picture."""
        return {"picture": self.pictures.put(picture, job), "width": picture.width, "height": picture.height}

    def keep_mask(self, mask: Picture) -> str:
        """The id of a kept one-channel mask."""
        return self.pictures.put(Picture.from_array(np.repeat(mask.array[..., :1], 3, 2)))

    def job(self, extent: Extent | None = None, **changes: Any) -> Job:
        """What the controls of the tab ask for: words (may be none), negative, style, seed, steps of the chosen model."""
        spec = self.spec
        steps = self.whole("steps", spec.default_steps, spec.min_steps, spec.max_steps)
        values = {"prompt": self.text("words"), "negative": self.text("negative"), "base": self.base, "style": self.text("style"),
                  "seeds": (self.whole("seed", 7),), "steps": steps, "extent": extent or Extent(spec.native_px[0], spec.native_px[0])}
        return Job(**values | changes)

    def look(self, percept: str, rgb: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
        """The engine's look, in this tab's turn."""
        return self.engine.look(percept, rgb, self.session, hints)

    @property
    def seconds(self) -> float:
        """Since the task began."""
        return round(time.monotonic() - self.began_s, 2)


@dataclass(frozen=True)
class Task:
    """`run` may take long: it is called in a thread of its own, raises StudioError, and asks `call.cancelled()` between steps. It returns
    JSON; {"notes": [sentence]} are shown."""
    id: str
    title: str
    run: Callable[[Call], dict[str, Any]]


def discover_tasks(package: ModuleType) -> dict[str, Task]:
    """Every TASK in the files of a package by id. Two of one id are an error."""
    found: dict[str, Task] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            task = importlib.import_module(f"{package.__name__}.{info.name}").TASK
            if task.id in found:
                raise ValueError(f"Two tasks of {package.__name__} share the id {task.id}.")
            found[task.id] = task
    return found


def task_of(tasks: Mapping[str, Task], id: str) -> Task:
    """Raises UnknownId."""
    if id not in tasks:
        raise UnknownId(f'This tab knows no task "{id[:40]}".', f"Known: {', '.join(tasks) or 'none'}.")
    return tasks[id]


def plain(picture: Picture) -> Picture:
    """Without its alpha where that says nothing."""
    if picture.channels == 4 and picture.array[..., 3].min() == 255:
        return Picture.from_array(np.ascontiguousarray(picture.array[..., :3]))
    return picture


def mask_from(pictures: Mapping[str, Picture], id: str, extent: Extent | None = None) -> Picture:
    """A kept mask as one channel, 255 where it is white and opaque; of a page's own, which may be smaller, at the size it is meant for."""
    if id not in pictures:
        raise BadInput("That mask is not here any more.", "Draw it again.")
    array = pictures[id].array.astype(np.uint16)
    grey = ((array[..., 0] * array[..., 3] + 127) // 255).astype(np.uint8)
    if extent and grey.shape != (extent.height, extent.width):
        grey = cv2.resize(grey, (extent.width, extent.height), interpolation=cv2.INTER_LINEAR)
    return Picture.from_array(grey)
