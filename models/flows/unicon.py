"""The four ways of a pair (UniCon, Li et al. 2024; models.adapters.unicon): a picture and a signal of it, lines or a silhouette.

    control   from the signal to the picture                 read    from the picture to the signal
    loose     the signal is a hint: noisy at first           both    neither is given, both are invented

Every way is one job, but inventing both, which is two: a job paints one picture, and the partner's noise comes from the seed with its
last bit turned. So the second job, with that seed and the pair turned round, walks the very same pair and shows its other half.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.errors import BadInput
from models.flows import Render
from models.job import AdapterUse, Job, Picture, Result
from models.nets.pair import loosened

MODES = {"control": "Control", "read": "Read", "both": "Invent both", "loose": "Loose"}
HINT = loosened(0.6)                                 # how noisy a loose signal begins
NOTHING = Picture.from_array(np.zeros((1, 1, 3), np.uint8))       # where neither is given: an adapter of pictures wants one


def use_of(adapter: str, mode: str, picture: Picture | None = None, signal: str = "", noise: float = HINT, strength: float = 1.0) -> AdapterUse:
    """The adapter's use for one way. picture: white lines or a white silhouette on black; for "read" any picture; for "both" none.
    signal: "" = the adapter's first. Raises BadInput for a way that is not known or lacks its picture."""
    if mode not in MODES:
        raise BadInput(f'A pair cannot be used for "{mode[:40]}".', f"Known: {', '.join(MODES)}.")
    if picture is None and mode != "both":
        raise BadInput("This way of a pair needs a picture to begin with.", "Give it one, or invent both.")
    return AdapterUse(adapter, strength, picture or NOTHING, words=f"read {signal}".strip() if mode == "read" else signal,
                      noise={"loose": noise, "both": 1.0}.get(mode, 0.0))


def unicon(render: Render, job: Job, adapter: str, mode: str, picture: Picture | None = None, signal: str = "", noise: float = HINT) -> Iterator[Result]:
    """Yields one Result; for "both" the pictures first, then their signals, black on white, in the same order."""
    use = use_of(adapter, mode, picture, signal, noise)
    yield render(job.but(adapters=(*job.adapters, use)))
    if mode == "both":
        turned = AdapterUse(adapter, use.strength, NOTHING, words=f"read {signal}".strip(), noise=1.0)
        yield render(job.but(adapters=(*job.adapters, turned), seeds=tuple(seed ^ 1 for seed in job.seeds)))
