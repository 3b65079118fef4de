"""The bench of the registry, with few repeats."""
from __future__ import annotations

import math

import pytest

from studio.bench import registry
from studio.settings import Settings
from tests.bases_here import shipped_adapters, shipped_bases

pytestmark = [pytest.mark.render, pytest.mark.skipif("embedded" not in shipped_bases(), reason="the embedded base is not shipped yet")]


def test_it_measures_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "REPEATS", 2)
    monkeypatch.setattr(registry, "OPERATIONS", 4)
    figures = registry.run(Settings())
    wanted = {"cold_load_ms", "warm_lease_ms", "evict_ms", "process_mib", "growth_over_100_operations_mib"}
    if shipped_adapters():
        wanted |= {"first_attach_p50_ms", "switch_p50_ms", "plain_load_ms", "plain_lora_on_ms"}
    assert wanted <= figures.keys() and all(math.isfinite(value) for value in figures.values())
    assert figures["warm_lease_ms"] < figures["cold_load_ms"]
