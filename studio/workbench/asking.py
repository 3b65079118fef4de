"""Reading what a page asked of a task: every value is checked, and refused by name."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.errors import BadInput, Cancelled
from models.job import MAX_PROMPT_CHARS, MAX_SEED, Job, Result

Progress = Callable[[int, int, str], None]
Cancel = Callable[[], bool]


class Asking:
    """What calls of all tabs have in common. They carry `engine`, `asked` (JSON from the panel) and `cancelled()`; `session` names the tab
    among those that take turns at the engine."""
    session = "workbench"
    engine: Any
    asked: dict[str, Any]
    cancelled: Cancel

    def check(self) -> None:
        """Raises Cancelled when nobody waits for the outcome any more."""
        if self.cancelled():
            raise Cancelled()

    def render(self, job: Job) -> Result:
        """The engine's render, cancelled with the call; its own steps show as progress only where the task shows none."""
        return self.engine.render(job, cancel=self.cancelled, session=self.session)

    def text(self, name: str, default: str = "", most: int = MAX_PROMPT_CHARS) -> str:
        """Words without spaces around them."""
        value = self.asked.get(name, default)
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            raise BadInput(f'"{name}" must be text of at most {most:,} characters.')
        return value.strip()

    def words(self, name: str = "words") -> str:
        """Text that must be there."""
        if not (value := self.text(name)):
            raise BadInput("There are no words yet.", "Say what to make.")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.asked.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadInput(f'"{name}" must be a number from {low:g} to {high:g}, not {str(value)[:40]}.')
        return float(value)

    def whole(self, name: str, default: int, low: int = 0, high: int = MAX_SEED) -> int:
        value = self.asked.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadInput(f'"{name}" must be a whole number from {low:,} to {high:,}, not {str(value)[:40]}.')
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.asked.get(name, default)
        if not isinstance(value, bool):
            raise BadInput(f'"{name}" is true or false.')
        return value

    def choice(self, name: str, default: str, known: tuple[str, ...]) -> str:
        value = self.asked.get(name, default)
        if value not in known:
            raise BadInput(f'There is no {name} "{str(value)[:40]}".', f"Known: {', '.join(known)}.")
        return value
