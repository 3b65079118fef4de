"""Who paints next. One render at a time; live frames before pictures before what is only prepared; fair between sessions.

Among equals the session that was served longest ago goes first, so a client that sends hundreds of jobs cannot keep another one
waiting for more than one of them. Nobody waits for ever: whoever has been passed over PATIENCE times goes next.
"""
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from models.errors import Cancelled

PATIENCE = 12                                        # others served before a waiting one goes first whatever its urgency
LOOK_S = 0.05                                        # how often a waiting render asks whether it is still wanted


class Urgency(IntEnum):
    """LIVE: a hand is waiting for this frame. PICTURE: somebody asked for it. IDLE: prepared while nothing else is to do."""
    LIVE = 0
    PICTURE = 1
    IDLE = 2


@dataclass(eq=False)
class Ticket:
    session: str
    urgency: Urgency
    number: int
    passed: int = 0
    called: bool = field(default=False)


class Turns:
    """`with turns.take(session, urgency, cancel):` is entered by one thread at a time, in the order above."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._busy = False
        self._served: dict[str, int] = {}            # session -> number of its last turn
        self._numbers = itertools.count(1)

    @contextmanager
    def take(self, session: str = "", urgency: Urgency = Urgency.PICTURE, cancel: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait for the turn and hold it. Raises Cancelled when `cancel()` becomes true before it comes."""
        self._wait(Ticket(session, urgency, next(self._numbers)), cancel)
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._call_next()

    def waiting(self) -> int:
        """How many wait for their turn."""
        with self._changed:
            return len(self._waiting)

    def _wait(self, ticket: Ticket, cancel: Callable[[], bool]) -> None:
        with self._changed:
            self._waiting.append(ticket)
            self._call_next()
            while not ticket.called:
                self._changed.wait(LOOK_S)
                if not ticket.called and cancel():
                    self._waiting.remove(ticket)
                    raise Cancelled()

    def _call_next(self) -> None:
        if self._busy or not self._waiting:
            return
        ticket = min(self._waiting, key=self._order)
        self._waiting.remove(ticket)
        for other in self._waiting:
            other.passed += 1
        ticket.called = self._busy = True
        self._served[ticket.session] = next(self._numbers)
        if len(self._served) > 1000:                 # sessions of long ago count as never served
            self._served = dict(sorted(self._served.items(), key=lambda item: item[1])[-500:])
        self._changed.notify_all()

    def _order(self, ticket: Ticket) -> tuple[int, int, int]:
        urgency = -1 if ticket.passed >= PATIENCE else int(ticket.urgency)
        return urgency, self._served.get(ticket.session, 0), ticket.number
