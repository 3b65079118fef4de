"""The eviction policy is arithmetic: who goes first, who never goes, and what is said when nothing helps."""
from __future__ import annotations

import random

import pytest

from models.errors import DoesNotFit
from models.memory import KIND_ORDER, Resident, plan_eviction

ADAPTER, OLD_BASE, BASE = Resident("lora", "adapter", 10, False, 9), Resident("old", "base", 50, False, 1), Resident("new", "base", 50, False, 5)
PERCEPT = Resident("matte", "percept", 20, False, 0)


def test_nothing_goes_while_there_is_room() -> None:
    assert plan_eviction([BASE, ADAPTER], 40, 100) == []


def test_adapters_go_before_percepts_before_bases_and_old_before_new() -> None:
    everything = [BASE, OLD_BASE, PERCEPT, ADAPTER]
    assert plan_eviction(everything, 10, 130) == ["lora"]
    assert plan_eviction(everything, 30, 130) == ["lora", "matte"]
    assert plan_eviction(everything, 31, 130) == ["lora", "matte", "old"]
    assert plan_eviction(everything, 130, 130) == ["lora", "matte", "old", "new"]


def test_pinned_things_stay_and_are_named() -> None:
    held = Resident("painting", "base", 90_000_000, True)
    with pytest.raises(DoesNotFit, match="20 MB are needed, the budget is 100 MB and painting 90 MB is in use"):
        plan_eviction([held, ADAPTER], 20_000_000, 100_000_000)


def test_a_thing_larger_than_the_budget_never_fits() -> None:
    with pytest.raises(DoesNotFit, match="nothing is in use"):
        plan_eviction([], 101, 100)


def test_random_plans_fit_keep_pins_and_drop_no_more_than_needed() -> None:
    rng = random.Random(0)
    for _ in range(500):
        resident = [Resident(str(i), rng.choice(KIND_ORDER), rng.randint(1, 50), rng.random() < 0.3, rng.random()) for i in range(rng.randint(0, 8))]
        need, budget = rng.randint(1, 100), rng.randint(50, 200)
        pinned = sum(r.bytes for r in resident if r.pinned)
        if pinned + need > budget:
            with pytest.raises(DoesNotFit):
                plan_eviction(resident, need, budget)
            continue
        drop = plan_eviction(resident, need, budget)
        left = sum(r.bytes for r in resident if r.id not in drop)
        assert left + need <= budget and not {r.id for r in resident if r.pinned} & set(drop)
        if drop:
            last = next(r for r in resident if r.id == drop[-1])
            assert left + last.bytes + need > budget
