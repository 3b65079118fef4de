"""Can an independent judge name what was painted, and its style?

The judge is a linear discriminant (Fisher 1936; shared covariance, shrunk towards its diagonal as in Friedman 1989) on 384
principal components of frozen EfficientNet-Lite0 features of real drawings, each seen plain, moved and on a colour. It is
cross-fitted: every picture, real or painted, is judged by a head that never saw any view of the drawing that was asked for. So
the column of real drawings, where the judge names that drawing itself, is an honest ceiling for the painted ones. The judge
answers among all concepts of things, animals and faces that three sets or more draw, those that no painter saw included. Style
is judged likewise, by texture.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.lab.items import STICKER_STYLE, Item, stable_hash
from models.lab.metrics.features import pca
from models.lab.metrics.metric import KNOWN, PAIR, STICKER, UNSEEN, Metric, Painted, Score, share
from models.lab.metrics.real import CATEGORIES, VIEWS, Real

FOLDS = 5
SHRINK = 0.03                                       # best of 0.03, 0.1, 0.3 on real drawings, as are the 384 components
DIMS = 384
MIN_DRAWINGS = 3


@dataclass(frozen=True)
class Discriminant:
    """score of class c = weight[:, c] . x + bias[c]; classes without an example score -inf."""
    weight: np.ndarray
    bias: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """x [N, D] -> [N, C]."""
        return x @ self.weight + self.bias


def fit_discriminant(x: np.ndarray, y: np.ndarray, classes: int, shrink: float = SHRINK) -> Discriminant:
    """x [N, D], y [N] in 0..classes-1. Equal priors: the judge must not guess the concept that most sets draw."""
    counts = np.bincount(y, minlength=classes)
    sums = np.zeros((classes, x.shape[1]))
    np.add.at(sums, y, x)
    means = sums / np.maximum(counts, 1)[:, None]
    within = x - means[y]
    covariance = within.T @ within / max(len(x) - (counts > 0).sum(), 1)
    diagonal = np.diag(covariance) + 1e-8
    covariance = (1 - shrink) * covariance + shrink * np.diag(diagonal)
    weight = np.linalg.solve(covariance + 1e-8 * diagonal.mean() * np.eye(len(diagonal)), means.T)
    bias = -0.5 * (means.T * weight).sum(0)
    return Discriminant(weight, np.where(counts > 0, bias, -np.inf))


def fold_of(item: Item) -> int:
    """Which head must not have seen this drawing."""
    return stable_hash(f"fold/{item.source}/{item.label}", FOLDS)


def concepts(items: Sequence[Item]) -> list[str]:
    """The judge's answers, sorted."""
    drawn = Counter(label for _, label in {(item.source, item.label) for item in items if item.category in CATEGORIES})
    return sorted(label for label, sets in drawn.items() if sets >= MIN_DRAWINGS)


@dataclass(frozen=True)
class Judge:
    """One head a fold, over `names`; features enter as (x - mean) @ basis."""
    names: tuple[str, ...]
    mean: np.ndarray
    basis: np.ndarray
    heads: tuple[Discriminant, ...]
    folds: np.ndarray                                # [items]

    def ranks(self, features: np.ndarray, wanted: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """How many names score higher than the right one: features [N, D], wanted [N] items, answers [N] names -> [N]."""
        rank = np.zeros(len(wanted), int)
        for fold, head in enumerate(self.heads):
            rows = np.flatnonzero(self.folds[wanted] == fold)
            scores = head.scores((features[rows] - self.mean) @ self.basis)
            rank[rows] = (scores > scores[np.arange(len(rows)), answers[rows]][:, None]).sum(1)
        return rank


def train_judge(names: Sequence[str], x: np.ndarray, classes: np.ndarray, folds: np.ndarray, item_folds: np.ndarray) -> Judge:
    """x [N, D], classes [N]; row i stays out of the head of folds[i] (-1: every head sees it)."""
    mean, basis = (a.astype(np.float32) for a in pca(x, min(DIMS, x.shape[1])))
    x = (x - mean) @ basis
    heads = tuple(fit_discriminant(x[folds != f], classes[folds != f], len(names)) for f in range(FOLDS))
    return Judge(tuple(names), mean, basis, heads, item_folds)


def concept_judge(real: Real, folds: np.ndarray) -> Judge:
    """Sees all views of the drawings whose label is among `concepts`."""
    names = concepts(real.items)
    number = {name: i for i, name in enumerate(names)}
    classes = np.array([number.get(item.label, -1) if item.category in CATEGORIES else -1 for item in real.items])
    rows = np.flatnonzero(classes >= 0)
    x = real.views[rows].reshape(-1, real.views.shape[2])
    return train_judge(names, x, np.repeat(classes[rows], len(VIEWS)), np.repeat(folds[rows], len(VIEWS)), folds)


def style_judge(real: Real, folds: np.ndarray) -> Judge:
    """Over the styles of the sets and the sticker, by texture."""
    names = [*sorted({item.style for item in real.items}), STICKER_STYLE]
    styles, stickers = np.array([names.index(item.style) for item in real.items]), len(real.stickers)
    x = np.concatenate([real.textures.reshape(-1, real.textures.shape[2]), real.stickers])
    classes = np.concatenate([np.repeat(styles, len(VIEWS)), np.full(stickers, len(names) - 1)])
    every = np.concatenate([np.repeat(folds, len(VIEWS)), np.full(stickers, -1)])
    return train_judge(names, x, classes, every, folds)


_judges: dict[int, tuple[Real, Judge, Judge]] = {}


def judges(real: Real) -> tuple[Judge, Judge]:
    """(concept, style), trained once for each Real."""
    if id(real) not in _judges:
        folds = np.array([fold_of(item) for item in real.items])
        _judges[id(real)] = real, concept_judge(real, folds), style_judge(real, folds)
    return _judges[id(real)][1:]


def _concept_scores(painted: Painted, real: Real, judge: Judge, what: str) -> dict[str, Score]:
    number = {name: i for i, name in enumerate(judge.names)}
    answers = np.array([number.get(real.items[i].label, -1) for i in painted.wanted], int)
    rows = answers >= 0
    if not rows.any():
        return {}
    rank = judge.ranks(painted.features[rows], painted.wanted[rows], answers[rows])
    return {f"{what}, named first ↑": share(rank < 1), f"{what}, among five ↑": share(rank < 5)}


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    concept, style = judges(real)
    out = {}
    for kind, what in ((KNOWN, "concept"), (PAIR, "concept in an unseen style"), (UNSEEN, "unseen concept"),
                       (STICKER, "concept of a sticker")):
        out |= _concept_scores(painted.of(kind), real, concept, what)
    styled = painted.of(KNOWN, PAIR, UNSEEN, STICKER)
    if len(styled):
        answers = np.array([style.names.index(s) for s in styled.styles])
        out["style ↑"] = share(style.ranks(styled.texture, styled.wanted, answers) < 1)
    return out


METRIC = Metric("concept", measure)
