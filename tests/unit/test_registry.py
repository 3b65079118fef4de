"""Residency with real small things and no networks: loading, holding, parking, keeping alive, and what is said when memory ends."""
from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

from models.catalog import Catalog, Entry
from models.devices import Device
from models.errors import DoesNotFit, InUse, UnknownId
from models.registry import Registry
from models.spec import EMBEDDED, BaseSpec, PerceptSpec

CPU = Device("cpu", torch.float32)
MB = 1_000_000


class Thing:
    """A base or percept of one layer."""

    def __init__(self, spec: Any) -> None:
        self.spec, self.layer = spec, nn.Linear(4, 4)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.layer,)


class Shop:
    """A catalog of things of 40 MB each that counts its loads; `failures`: how many loads still run out of memory."""

    def __init__(self, *ids: str) -> None:
        self.loads: list[str] = []
        self.failures = 0
        self.specs = {id: BaseSpec(id, id.title(), EMBEDDED, (), 40 * MB) for id in ids}
        self.percepts = {"eye": PerceptSpec("eye", "Eye", (), 10 * MB)}

    def base(self, id: str) -> Entry:
        if id not in self.specs:
            raise UnknownId(f"no {id}")
        return Entry(self.specs[id], self.load)

    def percept(self, id: str) -> Entry:
        return Entry(self.percepts[id], self.load)

    adapter = Catalog.adapter

    def load(self, spec: Any, device: Device, cache_dir: Any) -> Thing:
        self.loads.append(spec.id)
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return Thing(spec)


def registry(shop: Shop, budget_mb: int = 100, **options: Any) -> Registry:
    return Registry(shop, CPU, budget_mb * MB, **options)


def ids(r: Registry) -> list[str]:
    return [one.id for one in r.resident()]


def test_the_oldest_idle_base_makes_room() -> None:
    shop = Shop("a", "b", "c")
    r = registry(shop)
    for id in ("a", "b", "a", "c"):
        with r.lease(id):
            pass
    assert ids(r) == ["a", "c"] and shop.loads == ["a", "b", "c"]


def test_what_is_held_stays_until_it_is_released() -> None:
    r = registry(Shop("a", "b", "c"))
    r.hold("base", "a")
    r.warm("base", "b")
    r.warm("base", "c")
    assert ids(r) == ["a", "c"] and [one.held for one in r.resident()] == [True, False]
    r.hold("base", "c")
    with pytest.raises(DoesNotFit, match="release what you pinned"):
        r.warm("base", "b")
    r.release("base", "a")
    r.warm("base", "b")
    assert ids(r) == ["c", "b"]


def test_parked_things_come_back_without_a_load() -> None:
    shop = Shop("a", "b", "c")
    r = registry(shop, parked_bytes=40 * MB)
    for id in ("a", "b", "c"):
        r.warm("base", id)
    assert [(one.id, one.parked) for one in r.resident()] == [("a", True), ("b", False), ("c", False)]
    with r.lease("a") as (base, _):
        assert base.spec.id == "a"
    assert shop.loads == ["a", "b", "c"] and {one.id: one.parked for one in r.resident()} == {"a": False, "b": True, "c": False}
    r.warm("percept", "eye")
    assert sum(one.bytes for one in r.resident() if not one.parked) <= 100 * MB


def test_what_nobody_used_for_a_while_can_be_dropped() -> None:
    r = registry(Shop("a", "b"))
    r.hold("base", "a")
    r.warm("base", "b")
    r.drop_idle(older_than_s=60)
    assert ids(r) == ["a", "b"]
    r.drop_idle()
    assert ids(r) == ["a"]


def test_running_out_of_memory_drops_what_is_idle_and_tries_once_more() -> None:
    shop = Shop("a", "b")
    r = registry(shop)
    r.warm("base", "a")
    shop.failures = 1
    r.warm("base", "b")
    assert ids(r) == ["b"] and shop.loads == ["a", "b", "b"]
    shop.failures = 2
    with pytest.raises(DoesNotFit, match=r'not enough memory for "A" \(40 MB\)'):
        r.warm("base", "a")
    r.warm("base", "a")
    assert ids(r) == ["a"]


def test_a_leased_base_is_not_evicted() -> None:
    r = registry(Shop("a"))
    with r.lease("a"), pytest.raises(InUse):
        r.evict("base", "a")
    r.evict("base", "a")
    r.evict("base", "a")
    assert not ids(r)


def test_a_lease_of_what_does_not_exist_leaves_nothing_pinned() -> None:
    r = registry(Shop("a"))
    with pytest.raises(UnknownId), r.lease("nobody"):
        pass
    assert not r.resident()


def test_looking_does_not_wait_for_a_load() -> None:
    shop, started, go_on = Shop("a"), threading.Event(), threading.Event()
    load = shop.load

    def slow(*args: Any) -> Thing:
        started.set()
        assert go_on.wait(10)
        return load(*args)
    shop.load = slow
    r = registry(shop)
    worker = threading.Thread(target=r.warm, args=("base", "a"))
    worker.start()
    assert started.wait(10)
    assert r.resident() == () and r.loading == ("base", "a")
    go_on.set()
    worker.join(10)
    assert ids(r) == ["a"] and r.loading is None and r.resident()[0].used_at > 1e9


def test_a_base_needs_half_in_a_16_bit_format():
    shop = Shop("a", "b", "c")
    half = Registry(shop, Device("cpu", torch.bfloat16), 60 * MB)
    for id in "abc":
        half.warm("base", id)
    assert {r.id for r in half.resident()} == {"a", "b", "c"}, "three of 20 MB fit where one of 40 MB would"
