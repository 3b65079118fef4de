"""The one place that loads, holds and drops models. The only caller of a plug-in's load().

States: absent -> loading -> resident -> parked or evicted. A lease pins what it yields; leaving it unpins; eviction skips pins.
One lock guards loading, attaching and eviction, because building a model under meta-device initialisation patches torch
process-wide; looking at what is resident never waits for it.
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
from models.devices import Device, free_bytes, main_memory_bytes, move, release_cached
from models.errors import DoesNotFit, InUse
from models.job import AdapterUse
from models.memory import Resident, plan_eviction

Key = tuple[str, str]                                # (kind, id)
RESERVE_BYTES, RESERVE_SHARE = 1 << 30, 0.2          # of the free memory, left to activations and to others
PARKED_SHARE = 0.5                                   # of the free main memory, for what an accelerator had to give up


@dataclass
class Slot:
    """One resident thing."""
    kind: str
    thing: Any
    bytes: int
    load_s: float
    pins: int = 0
    held: bool = False
    parked: bool = False
    last_used: float = field(default_factory=time.monotonic)
    attachments: Attachments | None = None

    def touch(self, pins: int) -> None:
        self.pins += pins
        self.last_used = time.monotonic()


def auto_budget(device: str) -> int:
    """Bytes that models may take: the free memory less a working reserve."""
    free = free_bytes(device)
    return max(free - max(RESERVE_BYTES, int(free * RESERVE_SHARE)), free // 2)


class Registry:
    """Resident bases, adapters and percepts within `budget_bytes`. Beside an accelerator, what has to go is parked in main
    memory (up to `parked_bytes`) and comes back without being read again."""

    def __init__(self, catalog: Catalog, device: Device, budget_bytes: int | None = None, cache_dir: Path | None = None,
                 parked_bytes: int | None = None) -> None:
        self.catalog, self.device, self.cache_dir = catalog, device, cache_dir
        self.budget_bytes = budget_bytes or auto_budget(device.name)
        self.parked_bytes = parked_bytes if parked_bytes is not None else main_memory_bytes(device.name, PARKED_SHARE)
        self.loading: Key | None = None
        self._slots: dict[Key, Slot] = {}
        self._lock = threading.RLock()

    @contextmanager
    def lease(self, base_id: str, uses: Sequence[AdapterUse] = ()) -> Iterator[tuple[Base, list[tuple[AdapterUse, Hooks]]]]:
        """The base with exactly `uses` attached, pinned until the block is left."""
        with self._lock:
            pinned: list[Slot] = []
            try:
                pinned.append(self._pin("base", base_id))
                for use in uses:
                    pinned.append(self._pin("adapter", use.id))
                hooks = pinned[0].attachments.ensure(uses, lambda id: self._slots["adapter", id].thing)
            except BaseException:
                self._unpin(pinned)
                raise
        try:
            yield pinned[0].thing, hooks
        finally:
            with self._lock:
                self._unpin(pinned)

    @contextmanager
    def percept(self, id: str) -> Iterator[Any]:
        """A percept, pinned until the block is left."""
        with self._lock:
            slot = self._pin("percept", id)
        try:
            yield slot.thing
        finally:
            with self._lock:
                self._unpin([slot])

    def warm(self, kind: str, id: str) -> None:
        """Make it resident now, so that a later lease does not wait. Raises what loading raises."""
        with self._lock:
            self._unpin([self._pin(kind, id)])

    def hold(self, kind: str, id: str) -> None:
        """Load it if need be and keep it resident until release(), whatever else is needed."""
        with self._lock:
            self.warm(kind, id)
            self._slots[kind, id].held = True

    def release(self, kind: str, id: str) -> None:
        """Undo hold(); it stays until its room is needed."""
        with self._lock:
            if slot := self._slots.get((kind, id)):
                slot.held = False

    def _entry(self, kind: str, id: str) -> Entry:
        return {"base": self.catalog.base, "adapter": self.catalog.adapter, "percept": self.catalog.percept}[kind](id)

    def _pin(self, kind: str, id: str) -> Slot:
        slot = self._slots.get((kind, id)) or self._load((kind, id), self._entry(kind, id))
        if slot.parked:
            self._unpark(slot)
        slot.touch(pins=1)
        return slot

    @staticmethod
    def _unpin(slots: Sequence[Slot]) -> None:
        for slot in slots:
            slot.touch(pins=-1)

    def _load(self, key: Key, entry: Entry) -> Slot:
        self._make_room(self._need_bytes(key[0], entry.spec))
        start, self.loading = time.perf_counter(), key
        try:
            thing = self._read(key[0], entry)
        finally:
            self.loading = None
        measured = getattr(thing, "bytes_resident", None)
        slot = Slot(key[0], thing, measured() if measured else self._need_bytes(key[0], entry.spec), time.perf_counter() - start)
        slot.attachments = Attachments(thing) if key[0] == "base" else None
        self._slots[key] = slot
        return slot

    def _read(self, kind: str, entry: Entry) -> Any:
        try:
            return entry.load(entry.spec, self.device, self.cache_dir)
        except MemoryError:
            self.drop_idle()
        try:
            return entry.load(entry.spec, self.device, self.cache_dir)
        except MemoryError as error:
            raise self.does_not_fit(f'"{entry.spec.title}" ({self._need_bytes(kind, entry.spec) / 1e6:,.0f} MB)') from error

    def _need_bytes(self, kind: str, spec: Any) -> int:
        """What loading will take: bases state their size in fp32, the rest the size of their files."""
        return spec.bytes * self.device.dtype.itemsize // 4 if kind == "base" else spec.bytes

    def does_not_fit(self, what: str) -> DoesNotFit:
        """The error that names what is in memory and what to do."""
        there = ", ".join(f"{r.id} {r.bytes / 1e6:,.0f} MB" for r in self.resident()) or "nothing"
        return DoesNotFit(f"There is not enough memory for {what}. In memory: {there}.",
                          "Choose a smaller size or model, paint fewer pictures at once, or unload what you do not need.")

    def _make_room(self, need_bytes: int) -> None:
        by_name = {f"{r.kind}:{r.id}": r for r in self.resident()}
        named = [Resident(name, r.kind, r.bytes, r.pinned, r.last_used, r.held, r.parked) for name, r in by_name.items()]
        for name in plan_eviction(named, need_bytes, self.budget_bytes):
            self._give_up(by_name[name])

    def _give_up(self, r: Resident) -> None:
        """Park a base or percept where that is possible and there is room, else drop it."""
        slot = self._slots[r.kind, r.id]
        parked = sum(s.bytes for s in self._slots.values() if s.parked)
        if r.kind == "adapter" or parked + slot.bytes > self.parked_bytes or not hasattr(slot.thing, "networks"):
            return self.evict(r.kind, r.id)
        if slot.attachments:
            slot.attachments.detach_from(0)
        move(slot.thing.networks(), "cpu")
        slot.parked = True
        release_cached(self.device.name)

    def _unpark(self, slot: Slot) -> None:
        slot.parked, slot.pins = False, slot.pins + 1    # counts from now on, and is not chosen to make room for itself
        try:
            self._make_room(0)
            move(slot.thing.networks(), self.device.name)
        except BaseException:
            slot.parked = True
            raise
        finally:
            slot.pins -= 1

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

    def drop_idle(self, older_than_s: float = 0.0) -> None:
        """Evict everything that no lease pins, nobody holds and nobody used for `older_than_s`."""
        with self._lock:
            now = time.monotonic()
            for r in self.resident():
                if not (r.pinned or r.held) and now - r.last_used >= older_than_s:
                    self.evict(r.kind, r.id)

    def resident(self) -> tuple[Resident, ...]:
        """What is in memory now; never waits for a load."""
        now = time.monotonic(), time.time()
        return tuple(Resident(id, kind, s.bytes, s.pins > 0, s.last_used, s.held, s.parked, now[1] - (now[0] - s.last_used), s.load_s)
                     for (kind, id), s in list(self._slots.items()))

    def close(self) -> None:
        """Drop everything, leased or not."""
        with self._lock:
            for slot in self._slots.values():
                if slot.attachments:
                    slot.attachments.detach_from(0)
            self._slots.clear()
            release_cached(self.device.name)
