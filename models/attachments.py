"""What is attached to a base right now. Attaching is structure and costs; strength is a knob and is free."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from models.contracts import Adapter, Base, Hooks
from models.job import AdapterUse


@dataclass
class Attached:
    id: str
    adapter: Adapter
    hooks: Hooks
    stack: ExitStack


class Attachments:
    """An ordered stack of adapters on one base. `ensure` keeps the common prefix and detaches the tail in reverse."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._stack: list[Attached] = []

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(a.id for a in self._stack)

    def ensure(self, uses: Sequence[AdapterUse], fetch: Callable[[str], Adapter]) -> list[tuple[AdapterUse, Hooks]]:
        """Make exactly `uses` attached, in this order, at their strengths; returns each use with its hooks.

        When one fails to attach, what was attached before it stays and the error goes on to the caller.
        """
        keep = 0
        while keep < min(len(uses), len(self._stack)) and self._stack[keep].id == uses[keep].id:
            keep += 1
        self.detach_from(keep)
        for use in uses[keep:]:
            self._attach(use.id, fetch(use.id))
        for use, attached in zip(uses, self._stack):
            attached.adapter.set_strength(use.strength)
        return [(use, attached.hooks) for use, attached in zip(uses, self._stack)]

    def _attach(self, id: str, adapter: Adapter) -> None:
        with ExitStack() as stack:
            hooks = stack.enter_context(adapter.attach(self._base))
            self._stack.append(Attached(id, adapter, hooks, stack.pop_all()))

    def detach_from(self, index: int = 0) -> None:
        """Detach everything from position `index` on, last first."""
        while len(self._stack) > index:
            self._stack.pop().stack.close()

    def detach(self, id: str) -> None:
        """Detach `id` and everything that was attached after it."""
        if id in self.ids:
            self.detach_from(self.ids.index(id))
