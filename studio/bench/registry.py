"""The registry: loading, leasing, attaching, switching and evicting, and what is left in memory, beside plain diffusers and peft."""
from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from models.engine import Engine, open_engine
from models.job import AdapterUse, Extent, Job
from studio.settings import Settings

REPEATS, OPERATIONS = 15, 100


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base (the embedded one by default); its shipped adapters are what is switched."""
    engine = open_engine(settings.budget_bytes, settings.cache_dir)
    spec = engine.catalog.resolve_base(settings.base)
    adapters = [a.id for a in engine.catalog.adapters.values() if a.fits(spec.arch) and all(not f.repo for f in a.files)]
    try:
        return loading(engine, spec.id) | switching(engine, spec.id, adapters) | plain(engine, spec.id) | leftovers(engine, spec.id, adapters)
    finally:
        engine.close()


def loading(engine: Engine, base: str) -> dict[str, float]:
    """Cold load, then leases of what is there, then the way out."""
    cold = timed(engine, lambda: engine.registry.warm("base", base))
    leases = [timed(engine, lambda: lease(engine, base, ())) for _ in range(REPEATS)]
    evict = timed(engine, lambda: engine.registry.evict("base", base))
    engine.by_hand(lambda: engine.registry.warm("base", base))
    return {"cold_load_ms": cold, "warm_lease_ms": statistics.median(leases), "evict_ms": evict}


def switching(engine: Engine, base: str, adapters: Sequence[str]) -> dict[str, float]:
    """First attach (with its load), then from one adapter to the next when all were used before."""
    if not adapters:
        return {}
    first = [timed(engine, lambda a=a: lease(engine, base, (a,))) for a in adapters]
    around = [*adapters, None]
    again = [timed(engine, lambda a=a: lease(engine, base, (a,) if a else ())) for _ in range(REPEATS) for a in around]
    return {"first_attach_p50_ms": statistics.median(first), "switch_p50_ms": statistics.median(again), "switch_max_ms": max(again),
            "adapters": len(adapters)}


def plain(engine: Engine, base: str) -> dict[str, float]:
    """The same load and the same LoRA through diffusers and peft."""
    from models.plain import plain_loras
    loras = [a for a in engine.catalog.adapters.values() if a.kind == "lora" and a.fits(engine.catalog.bases[base].arch)]
    with engine.registry.lease(base) as (leased, _):
        calls = engine.by_hand(lambda: plain_loras(leased, loras[0])) if loras else {}
    out = {}
    for name, call in calls.items():
        out[name] = statistics.median(timed(engine, call) for _ in range(REPEATS if "lora" in name else 3))
    return out


def leftovers(engine: Engine, base: str, adapters: Sequence[str], seed: int = 0) -> dict[str, float]:
    """Growth of the process over OPERATIONS random renders, switches, evictions and cancels, after as many to fill the caches."""
    rng, process = random.Random(seed), psutil.Process()
    spec = engine.catalog.bases[base]
    job = Job(base=base, prompt="a red fox", steps=spec.default_steps, extent=Extent(*[spec.native_px[0]] * 2))

    def operation() -> None:
        uses = tuple(rng.sample(list(adapters), rng.randint(0, min(1, len(adapters)))))
        engine.by_hand(lambda: lease(engine, base, uses))
        if rng.random() < 0.3:
            engine.render(job.but(seeds=(rng.randrange(1000),)))
        if adapters and rng.random() < 0.3:
            engine.by_hand(lambda: engine.registry.evict("adapter", rng.choice(adapters)))
        if rng.random() < 0.05:
            engine.by_hand(lambda: engine.registry.evict("base", base))
    sizes = []
    for _ in range(2):
        for _ in range(OPERATIONS):
            operation()
        engine.by_hand(lambda: engine.registry.warm("base", base))
        gc.collect()
        sizes.append(process.memory_info().rss / 2 ** 20)
    return {"process_mib": sizes[1], "growth_over_100_operations_mib": sizes[1] - sizes[0]}


def lease(engine: Engine, base: str, adapters: Sequence[str]) -> None:
    with engine.registry.lease(base, [AdapterUse(a) for a in adapters]):
        pass


def timed(engine: Engine, work: Callable[[], Any]) -> float:
    """Milliseconds in the painting thread."""
    def clocked() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3
    return engine.by_hand(clocked)
