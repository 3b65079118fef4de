"""Turns: one at a time, the hand first, fair between sessions, nobody for ever."""
from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from models.errors import Cancelled
from models.turns import PATIENCE, Turns, Urgency


def queue_up(turns: Turns, orders: list[tuple[str, str, Urgency]]) -> list[str]:
    """Let (name, session, urgency) wait, in this order, behind a turn that is held; the names in the order they were served."""
    served: list[str] = []

    def work(name: str, session: str, urgency: Urgency) -> None:
        with turns.take(session, urgency):
            served.append(name)
    threads = []
    with turns.take("holder"):
        for count, order in enumerate(orders, 1):
            threads.append(threading.Thread(target=work, args=order))
            threads[-1].start()
            wait_for(lambda count=count: turns.waiting() == count)
    for thread in threads:
        thread.join(10)
    return served


def wait_for(ready: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if ready():
            return
        pause.wait(0.005)
    raise AssertionError("it never happened")


def test_the_hand_comes_first_and_prefetching_last() -> None:
    orders = [("warm", "a", Urgency.IDLE), ("picture", "a", Urgency.PICTURE), ("frame", "b", Urgency.LIVE)]
    assert queue_up(Turns(), orders) == ["frame", "picture", "warm"]


def test_a_busy_session_waits_for_a_quiet_one() -> None:
    orders = [(f"many{i}", "busy", Urgency.PICTURE) for i in range(3)] + [("one", "quiet", Urgency.PICTURE)]
    turns = Turns()
    with turns.take("busy"):
        pass
    assert queue_up(turns, orders)[:2] == ["one", "many0"]


def test_equals_are_served_in_the_order_they_came() -> None:
    assert queue_up(Turns(), [(str(i), str(i), Urgency.PICTURE) for i in range(5)]) == list("01234")


def test_nobody_waits_for_ever() -> None:
    orders = [("patient", "p", Urgency.IDLE)] + [(f"frame{i}", str(i), Urgency.LIVE) for i in range(PATIENCE + 5)]
    assert queue_up(Turns(), orders).index("patient") == PATIENCE


def test_one_that_is_cancelled_leaves_the_queue() -> None:
    turns, gone = Turns(), threading.Event()
    with turns.take("holder"):
        gone.set()
        with pytest.raises(Cancelled), turns.take("other", cancel=gone.is_set):
            pass
        assert turns.waiting() == 0
    with turns.take("next"):
        pass


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.take():
        1 / 0
    with turns.take():
        pass
