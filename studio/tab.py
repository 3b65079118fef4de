"""What a tab is, what it gets, and how tabs are found: one file in studio/tabs/ is one tab."""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import studio.tabs
from studio.events import Handoff
from studio.library.store import Library
from studio.settings import Settings


@dataclass(frozen=True)
class TabContext:
    """What every tab is built from. `routes`: web routes a tab adds to the server; `handoff`: how a picture gets to other tabs;
    `closers`: called once when the server stops."""
    engine: Any
    settings: Settings
    library: Library
    routes: list[Any] = field(default_factory=list)
    handoff: Handoff = field(default_factory=Handoff)
    closers: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Tab:
    """`needs`: names of BaseSpec fields of which at least one installed base must have a true value, e.g. ("inpainting",). `warms`:
    (kind, id) of what is loaded while nobody paints, once the tab is opened."""
    id: str
    title: str
    order: int
    build: Callable[[TabContext], None]
    needs: tuple[str, ...] = ()
    warms: Callable[[TabContext], Iterable[tuple[str, str]]] = lambda ctx: ()

    def missing(self, bases: dict[str, Any]) -> tuple[str, ...]:
        """The needs that no base meets; empty = the tab works."""
        return tuple(need for need in self.needs if not any(getattr(spec, need, False) for spec in bases.values()))


def discover_tabs() -> tuple[Tab, ...]:
    """Every TAB in studio/tabs/*.py, by `order`. Two tabs of one id are an error."""
    names = (m.name for m in pkgutil.iter_modules(studio.tabs.__path__))
    tabs = [importlib.import_module(f"studio.tabs.{name}").TAB for name in names if not name.startswith("_")]
    ids = [tab.id for tab in tabs]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"Two tabs share the id {', '.join(twice)}.")
    return tuple(sorted(tabs, key=lambda tab: (tab.order, tab.id)))
