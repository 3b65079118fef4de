"""The one place that loads, holds and drops models. The only caller of a plug-in's load().

States: absent -> loading -> resident -> evicted. A lease pins what it yields; leaving it unpins; eviction skips pins. One lock
guards loading, attaching and eviction, because building a model under meta-device initialisation patches torch process-wide.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.attachments import Attachments
from models.catalog import Catalog, Entry
from models.contracts import Base, Hooks
from models.devices import Device, free_bytes, release_cached
from models.errors import InUse
from models.job import AdapterUse
from models.memory import Resident, plan_eviction


@dataclass
class Slot:
    """One resident thing."""
    kind: str
    thing: Any
    bytes: int
    pins: int = 0
    last_used: float = field(default_factory=time.monotonic)
    attachments: Attachments | None = None


class Registry:
    """Resident bases, adapters and percepts within a memory budget."""

    def __init__(self, catalog: Catalog, device: Device, budget_bytes: int | None = None, cache_dir: Path | None = None) -> None:
        self.catalog, self.device, self.cache_dir = catalog, device, cache_dir
        self.budget_bytes = budget_bytes or int(free_bytes(device.name) * 0.8)
        self._slots: dict[tuple[str, str], Slot] = {}
        self._lock = threading.RLock()

    @contextmanager
    def lease(self, base_id: str, uses: Sequence[AdapterUse] = ()) -> Iterator[tuple[Base, list[tuple[AdapterUse, Hooks]]]]:
        """The base with exactly `uses` attached, pinned until the block is left."""
        with self._lock:
            base = self._pin(("base", base_id), self.catalog.base(base_id))
            pinned = [base]
            try:
                for use in uses:
                    pinned.append(self._pin(("adapter", use.id), self.catalog.adapter(use.id)))
                hooks = base.attachments.ensure(uses, lambda id: self._slots["adapter", id].thing)
            except BaseException:
                self._unpin(pinned)
                raise
        try:
            yield base.thing, hooks
        finally:
            with self._lock:
                self._unpin(pinned)

    @contextmanager
    def percept(self, id: str) -> Iterator[Any]:
        """A percept, pinned until the block is left."""
        with self._lock:
            slot = self._pin(("percept", id), self.catalog.percept(id))
        try:
            yield slot.thing
        finally:
            with self._lock:
                self._unpin([slot])

    def _pin(self, key: tuple[str, str], entry: Entry) -> Slot:
        slot = self._slots.get(key) or self._load(key, entry)
        slot.pins += 1
        slot.last_used = time.monotonic()
        return slot

    @staticmethod
    def _unpin(slots: Sequence[Slot]) -> None:
        for slot in slots:
            slot.pins -= 1
            slot.last_used = time.monotonic()

    def _load(self, key: tuple[str, str], entry: Entry) -> Slot:
        self._make_room(entry.spec.bytes)
        try:
            thing = entry.load(entry.spec, self.device, self.cache_dir)
        except MemoryError:
            self.drop_idle()
            thing = entry.load(entry.spec, self.device, self.cache_dir)
        measured = getattr(thing, "bytes_resident", None)
        slot = Slot(key[0], thing, measured() if measured else entry.spec.bytes)
        slot.attachments = Attachments(thing) if key[0] == "base" else None
        self._slots[key] = slot
        return slot

    def _make_room(self, need_bytes: int) -> None:
        names = {f"{kind}:{id}": (kind, id) for kind, id in self._slots}
        resident = [Resident(name, s.kind, s.bytes, s.pins > 0, s.last_used) for name, key in names.items() for s in (self._slots[key],)]
        for name in plan_eviction(resident, need_bytes, self.budget_bytes):
            self.evict(*names[name])

    def evict(self, kind: str, id: str) -> None:
        """Drop one resident thing; nothing happens when it is not there. Raises InUse while a lease holds it."""
        with self._lock:
            slot = self._slots.get((kind, id))
            if slot is None:
                return
            if slot.pins:
                raise InUse(f'The {kind} "{id}" is painting right now.', "Wait until it is done, or cancel.")
            if kind == "base":
                slot.attachments.detach_from(0)
            if kind == "adapter":
                self._detach_everywhere(id)
            del self._slots[kind, id], slot
            release_cached(self.device.name)         # a base and its prompt cache refer to each other

    def _detach_everywhere(self, adapter_id: str) -> None:
        for slot in self._slots.values():
            if slot.attachments:
                slot.attachments.detach(adapter_id)

    def drop_idle(self) -> None:
        """Evict everything that no lease holds."""
        with self._lock:
            for kind, id in [key for key, slot in self._slots.items() if not slot.pins]:
                self.evict(kind, id)

    def resident(self) -> tuple[Resident, ...]:
        """What is in memory now."""
        with self._lock:
            return tuple(Resident(id, kind, s.bytes, s.pins > 0, s.last_used) for (kind, id), s in self._slots.items())

    def close(self) -> None:
        """Drop everything, leased or not."""
        with self._lock:
            for slot in self._slots.values():
                if slot.attachments:
                    slot.attachments.detach_from(0)
            self._slots.clear()
            release_cached(self.device.name)
