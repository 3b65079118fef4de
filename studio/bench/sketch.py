"""From a line to the picture in the sketch tab: stroke to pixels in a real browser and inside the process, by stage."""
from __future__ import annotations

from studio.bench.live import QUICK as QUICK
from studio.bench.live import browser_figures, in_browser, inside_figures, serving
from studio.settings import Settings

DABS, ROWS, MOVES = 30, 8, 300


def run(settings: Settings) -> dict[str, float]:
    """Serve the studio, let a browser sketch in it, then sketch without one."""
    from studio.live.surface import Surface
    from studio.sketch.controls import SketchControls
    from studio.sketch.task import Painter, task_from

    with serving(settings) as (url, ctx, spec):
        able = ctx.engine.catalog.able(spec.id)
        surface = Surface("sketch", lambda controls, canvas, reference: task_from(controls, canvas, reference, able), lambda task: None,
                          Painter().paint, lambda task: task.mode, SketchControls(prompt="a house", base=spec.id))
        return browser_figures(in_browser(url, "sketch", DABS, ROWS)) | inside_figures(ctx, surface, DABS, MOVES)
