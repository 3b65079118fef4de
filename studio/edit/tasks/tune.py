"""A few seconds of training on this one picture: a picture key that later edits use, with previews while it learns."""
from __future__ import annotations

from typing import Any

from models.flows.tuned_edit import METHODS, Tune, Tuning, tune
from models.tuning.keys import Key
from studio.workbench.task import Call, Task, plain


def key_out(key: Key) -> dict[str, Any]:
    """What the page shows of a picture key."""
    return {"id": key.id, "title": key.title, "base": key.base, "word": key.word, "shows": key.shows, "method": key.method, "steps": key.steps,
            "seconds": round(float(key.seconds), 1), "likeness": round(float(key.likeness), 3), "bytes": key.bytes, "source": key.source,
            "share": key.share}


def tuning_out(call: Call, now: Tuning) -> dict[str, Any]:
    preview = call.keep(now.preview)["picture"] if now.preview is not None else None
    return {"step": now.step, "steps": now.steps, "loss": round(float(now.loss), 4), "likeness": round(float(now.likeness), 3),
            "seconds": round(float(now.seconds), 1), "preview": preview}


def run(call: Call) -> dict[str, Any]:
    """picture, method, name, shows, target, steps (0 = the method's own), seed -> parts {step, steps, loss, likeness, seconds, preview}; the
    outcome is {"key": ...}."""
    method = call.choice("method", next(iter(METHODS)), tuple(METHODS))
    words = {name: call.text(name, most=1000) for name in ("shows", "target")}
    wanted = Tune(call.base, method, call.text("name", most=60), **words, steps=call.whole("steps", 0, 0, 1000), seed=call.whole("seed", 0))
    now: Tuning | None = None
    for now in tune(call.engine, plain(call.picture("picture")), wanted, call.progress, call.cancelled, call.session):
        call.part(tuning_out(call, now))
    return {"key": key_out(now.key), "notes": list(now.notes)}


TASK = Task("tune", "Learn this picture", run)
