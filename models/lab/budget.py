"""How long a run lasts: minutes on the clock, and in tests a number of updates."""
from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """Counts one run. `spent` goes from 0 to 1 over `minutes` or `max_updates`, whichever is used up first."""
    minutes: float
    max_updates: int | None = None
    begin: float = field(default_factory=time.monotonic)
    updates: int = 0

    @property
    def spent(self) -> float:
        share = (time.monotonic() - self.begin) / (self.minutes * 60)
        return max(share, self.updates / self.max_updates if self.max_updates else 0.0)

    @property
    def minutes_left(self) -> float:
        return max(0.0, (1 - self.spent) * self.minutes)

    def tick(self) -> None:
        self.updates += 1
