"""An edit by words with a picture key: one picture, a row from the picture's words to the edit's, or a field of freedom and keeping."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.flows.tuned_edit import TAKES, Edit, EditedByKey, etas, grid, key_of, tuned_edit
from studio.workbench.task import Call, Task, plain

SHOWN = {"one": tuned_edit, "etas": etas, "grid": grid}
IN_ALL = {"one": 1, "etas": 5, "grid": 9}


def edit_in(call: Call) -> Edit:
    number, key = call.number, key_of(call.engine, call.words("key"))
    return Edit(call.text("words"), key, plain(call.picture("picture")), call.base, call.whole("steps", 0, 0, call.spec.max_steps), call.whole("seed", 0),
                freedom=number("freedom", 0.8, 0, 1), keep=number("keep", 0, 0, 1), until=number("until", 0.5, 0.05, 1), eta=number("eta", 1, 0, 1),
                fidelity=number("fidelity", 1, 0, 1.5), restore=call.flag("restore", True), style=call.text("style"),
                take=call.choice("take", "", tuple(TAKES)))


def run(call: Call) -> dict[str, Any]:
    """key, words, picture, shown ("one", "etas", "grid") and the numbers of an Edit -> a part a picture, the outcome is the last."""
    shown, last = call.choice("shown", "one", tuple(SHOWN)), {}
    made: Iterator[EditedByKey] = SHOWN[shown](call.render, edit_in(call))
    for number, done in enumerate(made):
        call.progress(number + 1, IN_ALL[shown], "editing by the key")
        last = done_out(call, done)
        call.part(last)
        call.check()
    return last


def done_out(call: Call, done: EditedByKey) -> dict[str, Any]:
    numbers = {name: round(float(getattr(done.edit, name)), 3) for name in ("eta", "freedom", "keep")}
    return call.keep(done.picture) | {"mask": call.keep_mask(done.mask), "likeness": round(float(done.likeness), 3), "notes": list(done.notes)} | numbers


TASK = Task("bykey", "Edit by its key", run)
