"""Methods that need several jobs: one file each, a generator that yields Results, the last one being the finished picture.

A flow takes `render` first: the engine's own, or `Remembered(engine.render)`, which paints no job twice. It knows jobs and pictures,
never devices, networks or the page.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from models.job import Job, Result

Render = Callable[[Job], Result]
RESULTS_KEPT = 32


class Remembered:
    """A render that keeps its last `most` Results by job. Same Job, same pixels, so nothing can be stale."""

    def __init__(self, render: Render, most: int = RESULTS_KEPT) -> None:
        self.render, self.most = render, most
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._lock = Lock()

    def __call__(self, job: Job) -> Result:
        """Two threads may both paint a job that neither has seen; both get the same pixels."""
        with self._lock:
            if job.digest in self._results:
                self._results.move_to_end(job.digest)
                return self._results[job.digest]
        result = self.render(job)
        with self._lock:
            self._results[job.digest] = result
            while len(self._results) > self.most:
                self._results.popitem(last=False)
        return result
