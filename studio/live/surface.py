"""What a tab puts behind a live canvas: its settings, what they and the drawing ask for, and how that is painted."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.job import Job, Picture, Result
from studio.live.controls import Controls

Render = Callable[[Job], Result]


@dataclass(frozen=True)
class Surface:
    """A task is a Job, or a frozen value that `paint` turns into Jobs; equal tasks give equal pictures.

    make_task(controls, canvas uint8 [512, 512, 3], reference or None) -> task; raises StudioError.
    better(task) -> the task whose picture replaces the preview when the hand rests, or None when the preview is the best there is.
    paint(render, task) -> Result of one sample, whose Job alone makes that picture again.
    mode(task): one word for the page, what the picture follows. name: of the socket, `studio/NAME/socket`.
    """
    name: str
    make_task: Callable[[Any, np.ndarray, Picture | None], Any]
    better: Callable[[Any], Any | None]
    paint: Callable[[Render, Any], Result] = lambda render, job: render(job)
    mode: Callable[[Any], str] = lambda job: "draw" if job.image is not None else "text"
    controls: Controls = field(default_factory=Controls)
