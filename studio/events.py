"""How a picture travels from one tab to another: a tab offers a receiver, another tab lists and calls it."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.job import Result


@dataclass(frozen=True)
class Receiver:
    """A place in a tab that takes a picture. `update(result)` -> the new value of `component`."""
    tab_id: str
    title: str
    component: Any
    update: Callable[[Result], Any]


@dataclass
class Handoff:
    """Receivers register while tabs are built; callbacks run when all are known. `tabs`: the gr.Tabs around them."""
    tabs: Any = None
    receivers: list[Receiver] = field(default_factory=list)
    after_build: list[Callable[[], None]] = field(default_factory=list)

    def offer(self, receiver: Receiver) -> None:
        self.receivers.append(receiver)

    def when_complete(self, wire: Callable[[], None]) -> None:
        self.after_build.append(wire)

    def complete(self) -> None:
        for wire in self.after_build:
            wire()
