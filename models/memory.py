"""Which resident things to drop when room is needed. Pure arithmetic, no torch."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import DoesNotFit

KIND_ORDER = ("adapter", "percept", "base")          # dropped first to last


@dataclass(frozen=True)
class Resident:
    """Something in memory. `last_used` is any growing clock; pinned things are in use right now, held ones stay because somebody
    said so. parked: waits in main memory beside an accelerator. used_at: unix time; load_s: seconds that loading took."""
    id: str
    kind: str
    bytes: int
    pinned: bool
    last_used: float = 0.0
    held: bool = False
    parked: bool = False
    used_at: float = 0.0
    load_s: float = 0.0


def plan_eviction(resident: Sequence[Resident], need_bytes: int, budget_bytes: int) -> list[str]:
    """Ids to drop so that `need_bytes` more fit into `budget_bytes`: idle adapters, then percepts, then bases, oldest first.

    Raises DoesNotFit, naming what is resident and how big, when even that is not enough.
    """
    resident = [r for r in resident if not r.parked]
    used = sum(r.bytes for r in resident)
    idle = sorted((r for r in resident if not (r.pinned or r.held)), key=lambda r: (KIND_ORDER.index(r.kind), r.last_used))
    drop: list[str] = []
    for r in idle:
        if used + need_bytes <= budget_bytes:
            break
        drop.append(r.id)
        used -= r.bytes
    if used + need_bytes > budget_bytes:
        held = ", ".join(f"{r.id} {r.bytes / 1e6:,.0f} MB" for r in resident if r.pinned or r.held) or "nothing"
        raise DoesNotFit(f"{need_bytes / 1e6:,.0f} MB are needed, the budget is {budget_bytes / 1e6:,.0f} MB and {held} is in use.",
                         "Raise --budget-gb, release what you pinned, or choose a smaller model.")
    return drop
