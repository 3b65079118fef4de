"""What a metric is. Each other file of this folder that holds a `METRIC` is one, and every score table has it."""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from models.lab.metrics.real import Real

KNOWN, PAIR, UNSEEN, AGAIN, STICKER, REBUILT = "known", "pair", "unseen", "again", "sticker", "rebuilt"


@dataclass(frozen=True)
class Painted:
    """Pictures to be judged, row for row with what was asked for.

    pictures uint8 [N, 256, 256, 3]; features float32 [N, 1280] and texture float32 [N, 384] as in FeatureNet.look; wanted [N],
    the index in `Real.items` of the drawing whose concept and style were asked for; styles [N] style words; kinds [N]: KNOWN
    (concept and style seen in training), PAIR (both seen, never together), UNSEEN (concept never seen), AGAIN (several seeds of
    some KNOWN prompts), STICKER, REBUILT (the wanted drawing through the autoencoder). `real` marks the column of real drawings.
    """
    pictures: np.ndarray
    features: np.ndarray
    texture: np.ndarray
    wanted: np.ndarray
    styles: np.ndarray
    kinds: np.ndarray
    real: bool = False

    def of(self, *kinds: str) -> Painted:
        """Only the rows of these kinds."""
        rows = np.isin(self.kinds, kinds)
        arrays = ("pictures", "features", "texture", "wanted", "styles", "kinds")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def __len__(self) -> int:
        return len(self.wanted)


class Score(NamedTuple):
    """`spread` is half a 95 % interval, where one is known."""
    value: float
    spread: float | None = None


@dataclass(frozen=True)
class Metric:
    """`measure` gives a Score for each row that it adds to the table; {} when the pictures hold nothing that it measures.
    An arrow at the end of a row's name says which way is better."""
    name: str
    measure: Callable[[Painted, Real], dict[str, Score]]


def discover() -> Sequence[Metric]:
    """All metrics of this folder, sorted by name."""
    package = importlib.import_module(__package__)
    modules = (importlib.import_module(f"{__package__}.{info.name}") for info in pkgutil.iter_modules(package.__path__))
    return sorted((m.METRIC for m in modules if hasattr(m, "METRIC")), key=lambda metric: metric.name)


def share(hits: np.ndarray) -> Score:
    """Mean of booleans with the half width of its normal 95 % interval."""
    p, n = float(np.mean(hits)), len(hits)
    return Score(p, 1.96 * float(np.sqrt(p * (1 - p) / n)))
