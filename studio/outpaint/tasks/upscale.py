"""The picture enlarged 2, 4 or 8 times."""
from __future__ import annotations

from typing import Any

from models.errors import BadInput
from models.flows.upscale import NET, upscale, upscalers
from studio.workbench.task import Call, Task


def run(call: Call) -> dict[str, Any]:
    """asked: times, upscaler (id), blur, noise (0..1, left out = estimated), fidelity (1 faithful .. 0 detail)."""
    known = {one["id"]: one for one in upscalers(call.engine.catalog)}
    chosen = call.choice("upscaler", NET if NET in known else next(iter(known)), tuple(known))
    if not known[chosen]["here"]:
        raise BadInput(f"{known[chosen]['title']} is not on this machine.", known[chosen]["cure"])
    blur, noise = (call.number(name, 0, 0, 1) if call.asked.get(name) is not None else None for name in ("blur", "noise"))
    times = call.whole("times", 4, 1, 100)
    done = upscale(call.engine, call.source(), times, chosen, blur, noise, call.number("fidelity", 0.5, 0, 1), call.progress, call.cancelled,
                   call.session)
    return {"pictures": [call.keep(done)]}


TASK = Task("upscale", "Upscale", run)
