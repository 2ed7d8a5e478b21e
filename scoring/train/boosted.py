"""The second maker of points models: an explainable boosting machine (EBM) without interactions, monotone by the table.

Boosted one-feature trees, averaged over bags, are a sum of step functions, and so fit the one format that decides.
Needs the training extra. Never a feature that is free to turn against its direction of risk.
Source: Lou, Caruana, Gehrke, "Intelligible models", KDD 2012; Nori et al., arXiv:1909.09223.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from interpret.glassbox import ExplainableBoostingClassifier

from scoring.train.fit import AdditiveFit, Features, Floats, calculate_risk_column

BAGS: Final = 8
BINS_MAX: Final = 32
"""A model may hold 64 bins per feature; a few hundred loans do not fill half of these."""
ROUNDS_MAX: Final = 500
"""Enough by far where loans overlap (measured: under 250); where they do not, boosting would go on for minutes."""
SEED: Final = 1


def calculate_seen_column(name: str, features: Sequence[Features]) -> Floats:
    """The risk column with MISSING as risky as the worst value seen, so that it falls into the worst bin."""
    column = calculate_risk_column(name, features)
    finite = column[np.isfinite(column)]
    seen: Floats = np.where(np.isfinite(column), column, finite.max() if len(finite) else 0.0)
    return seen


def fit_boosted(names: Sequence[str], features: Sequence[Features], labels: Sequence[bool]) -> AdditiveFit:
    """The machine's steps. Cuts are raised to whole numbers, which moves no integer to another side.

    Every bag is monotone, so their mean is; what rounding of floats may undo is mended by the running maximum.
    """
    machine: Any = ExplainableBoostingClassifier(
        feature_names=list(names),
        feature_types=["continuous"] * len(names),
        interactions=0,
        outer_bags=BAGS,
        max_bins=BINS_MAX,
        max_rounds=ROUNDS_MAX,
        monotone_constraints=[1] * len(names),
        n_jobs=1,
        random_state=SEED,
    )
    machine.fit(np.stack([calculate_seen_column(name, features) for name in names], axis=1), np.array(labels))
    intercept = float(machine.intercept_[0])
    steps: dict[str, dict[float, float]] = {name: {} for name in names}
    terms = {int(term[0]): scores for term, scores in zip(machine.term_features_, machine.term_scores_, strict=True)}
    for index, name in enumerate(names):
        if index not in terms:
            continue  # the same value everywhere: nothing to learn
        cuts = machine.bins_[index][0]
        # The first score is that of missing values and the last that of unknown ones: neither was fitted.
        scores = np.maximum.accumulate(terms[index][1:-1])
        intercept += float(scores[0])
        for cut, weight in zip(cuts, np.diff(scores), strict=True):
            if weight > 0:
                whole = float(math.ceil(cut))
                steps[name][whole] = steps[name].get(whole, 0.0) + float(weight)
    return AdditiveFit(names=tuple(names), intercept=intercept, steps=steps)
