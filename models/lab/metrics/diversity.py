"""Do other seeds give other pictures? Mean feature distance between pictures of one prompt.

For each prompt painted with several seeds: the mean over pairs of ||f_i - f_j|| (EfficientNet-Lite0 features). The floor column
holds the drawings of that concept in the other styles, which differ more than seeds of one style can be asked to: read it as
the upper end of the scale, not as a goal. A painter that repeats one picture scores 0.
"""
from __future__ import annotations

import numpy as np

from models.lab.metrics.metric import AGAIN, Metric, Painted, Score
from models.lab.metrics.real import Real


def mean_pair_distance(x: np.ndarray) -> float:
    """Mean of ||x_i - x_j|| over the pairs i < j of x [N, D], N >= 2."""
    i, j = np.triu_indices(len(x), 1)
    return float(np.linalg.norm(x[i] - x[j], axis=1).mean())


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    again = painted.of(AGAIN)
    groups = [again.features[again.wanted == wanted] for wanted in np.unique(again.wanted)]
    distances = [mean_pair_distance(group) for group in groups if len(group) > 1]
    if not distances:
        return {}
    spread = 1.96 * float(np.std(distances)) / len(distances) ** 0.5
    return {"distance between seeds ↑": Score(float(np.mean(distances)), spread)}


METRIC = Metric("diversity", measure)
