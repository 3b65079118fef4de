"""Running a task of the Layers tab: what was asked becomes a Call, what comes of it becomes JSON; the rest is studio/workbench/running.py."""
from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from models.errors import BadInput
from models.job import Extent
from models.layers.stack import MAX_NAME_CHARS, Layer, Stack, new_id
from studio.layers.pictures import Pictures
from studio.layers.task import Call, Cancel, Made, Outcome, Progress, Task
from studio.workbench.running import Runner
from studio.workbench.running import sparse as sparse


class Calls(Runner):
    """Of the Layers tab."""

    def __init__(self, engine: Any, library: Any, pictures: Pictures, base: str) -> None:
        super().__init__("layers")
        self.engine, self.library, self.pictures, self.base = engine, library, pictures, base

    def call(self, values: Mapping[str, Any]) -> Call:
        """{"document": stack, "base": id, "asked": {...}} -> Call. Raises StudioError."""
        stack, asked, base = Stack.from_dict(values.get("document")), values.get("asked", {}), values.get("base") or self.base
        if not isinstance(asked, dict) or not isinstance(base, str):
            raise BadInput('A task is asked for with "document", "base" and "asked".')
        self.pictures.check(stack)
        return Call(self.engine, self.library, self.engine.catalog.base(base).spec.id, stack, self.pictures, asked)

    def lines(self, request: Request, task: Task, call: Call) -> AsyncIterator[bytes]:
        """See Runner.stream."""
        return self.stream(request, lambda line: self.outcome(task, call, line.progress, line.cancelled, line.part))

    def outcome(self, task: Task, call: Call, progress: Progress, cancelled: Cancel, part: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Run a task; its pictures are kept before the page hears of them."""
        values = {name: getattr(call, name) for name in ("engine", "library", "base", "stack", "pictures", "asked")}
        return laid(task.run(Call(**values, progress=progress, cancelled=cancelled, part=part)), self.pictures)


def laid(outcome: Outcome, pictures: Pictures) -> dict[str, Any]:
    """An outcome as JSON, its pictures kept. Layers have ids and are as in Stack.to_dict."""
    return {"layers": [laid_one(made, pictures) for made in outcome.layers], "replaces": list(outcome.replaces), "group": outcome.group,
            "bottom": outcome.bottom, "notes": list(outcome.notes), "marks": [asdict(mark) for mark in outcome.marks],
            "proposals": [laid(other, pictures) for other in outcome.proposals]}


def laid_one(made: Made, pictures: Pictures) -> dict[str, Any]:
    """A new layer as JSON, its picture kept."""
    layer = Layer(new_id(), made.name[:MAX_NAME_CHARS], pictures.put(made.picture, made.job), made.place, made.opacity, made.blend,
                  source=made.source, text=made.text, svg=made.svg)
    return Stack(Extent(1, 1), (layer,)).to_dict()["layers"][0]
