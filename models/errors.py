"""Everything that can go wrong on purpose. Each message says what is wrong and what cures it."""
from __future__ import annotations


class StudioError(Exception):
    """Base of all errors a user may see; `str(error)` is the sentence to show, `error.cure` what to do about it."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{message} {cure}".strip())
        self.cure = cure


class UnknownId(StudioError):
    """A base, adapter, style or percept that no catalog entry carries."""


class MissingWeights(StudioError):
    """A weight file that is absent, truncated or fails its checksum."""


class Incompatible(StudioError):
    """An adapter made for another architecture, or a job that asks for what its base cannot do."""


class Conflict(StudioError):
    """Two adapters that claim the same place on the base."""


class DoesNotFit(StudioError):
    """More memory is needed than the budget leaves after everything idle was dropped."""


class InUse(StudioError):
    """A base or adapter cannot be dropped while a lease holds it."""


class BadInput(StudioError):
    """A value from outside (prompt, picture, number) that no code can use as it is."""


class Cancelled(StudioError):
    """The caller asked to stop; nothing was changed."""

    def __init__(self, message: str = "The render was cancelled.", cure: str = "") -> None:
        super().__init__(message, cure)
