"""ROC curves and their bootstrap bands, for the plots. Needs the training extra; floats for people to read."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from scoring.train.fit import Floats

RESAMPLES: Final = 1_000
SEED: Final = 20_260_101
GRID: Final = 201


def calculate_roc(risk: Sequence[float], bad: Sequence[bool]) -> tuple[Floats, Floats]:
    """(false alarms, bad loans caught), from (0, 0) to (1, 1), one point per distinct score, riskiest first."""
    return _calculate_roc(np.array(risk, dtype=np.float64), np.array(bad, dtype=np.bool_))


def _calculate_roc(risk: Floats, bad: np.typing.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    order = np.argsort(-risk, kind="stable")
    risk, bad = risk[order], bad[order]
    last = np.append(np.nonzero(np.diff(risk))[0], len(risk) - 1)
    caught = np.cumsum(bad)[last] / bad.sum()
    false = np.cumsum(~bad)[last] / (~bad).sum()
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], caught])


def calculate_roc_band(risk: Sequence[float], bad: Sequence[bool]) -> tuple[Floats, Floats, Floats]:
    """(false alarms on a grid, low, high): the 95 % band of 1,000 resamples within good and bad, from a fixed seed."""
    chance = np.random.default_rng(SEED)
    scores, flags = np.array(risk, dtype=np.float64), np.array(bad, dtype=np.bool_)
    ill, well = np.nonzero(flags)[0], np.nonzero(~flags)[0]
    grid = np.linspace(0, 1, GRID)
    curves = np.empty((RESAMPLES, GRID))
    for index in range(RESAMPLES):
        taken = np.concatenate([chance.choice(ill, len(ill)), chance.choice(well, len(well))])
        false, caught = _calculate_roc(scores[taken], flags[taken])
        curves[index] = np.interp(grid, false, caught)
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    return grid, low, high
