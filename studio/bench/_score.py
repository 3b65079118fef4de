"""What two benches of sketches share: drawings painted by the base itself, and a paired comparison."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.engine import Engine
from models.errors import BadInput
from models.flows import Render
from models.job import Extent, Job, Picture
from models.lines import by_hand, edges, strokes_of
from studio.settings import Settings

KNOWN = ("a house", "a tree", "a red heart", "an apple", "a car", "a full moon", "a cat face", "a star", "a bus", "a clock", "a mushroom", "a butterfly")
RESAMPLES = 2000


def opened(settings: Settings) -> tuple[Engine, Job]:
    """An engine, and a job with the named base, its native size and as many steps as it usefully takes, up to 4 for distilled ones."""
    from models.engine import open_engine
    engine = open_engine(settings.budget_bytes, settings.cache_dir, models_dir=settings.models_dir)
    spec = engine.catalog.resolve_base(settings.base)
    side_px = spec.native_px[0]
    return engine, Job(base=spec.id, extent=Extent(side_px, side_px), steps=max(spec.default_steps, min(4, spec.max_steps)))


def control_of_lines(engine: Engine, base: str) -> str:
    """The adapter that follows scribbles or edges on `base`. Raises BadInput where there is none."""
    controls = engine.catalog.able(base).controls
    found = next((controls[kind][0] for kind in ("scribble", "canny", "lineart") if controls.get(kind)), "")
    if not found:
        raise BadInput(f"No adapter follows lines on {base}.", "Put a scribble ControlNet for it into the models folder.")
    return found


def drawing(render: Render, job: Job, rng: np.random.Generator) -> list[np.ndarray]:
    """The strokes of the picture that `job` paints, repeated by an unsteady hand: int arrays [n, 2] of (x, y)."""
    return by_hand(strokes_of(edges(render(job).pixels[0][..., :3])), rng)


def white_on_black(line: np.ndarray) -> Picture:
    """uint8 [H, W] -> a control picture."""
    return Picture.from_array(np.repeat(line[..., None], 3, 2))


def interval(differences: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % of the mean of paired differences by bootstrap (Efron 1979)."""
    d = np.asarray(differences, float)
    means = d[np.random.default_rng(seed).integers(0, len(d), (RESAMPLES, len(d)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
