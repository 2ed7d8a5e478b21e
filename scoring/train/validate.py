"""How good a fit is on loans it has not seen: cross-validation, splits in time, calibration, stability, groups.

Needs the training extra. Never a figure here from loans that the measured fit was made on, unless its name says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from scoring.train.dataset import CURRENCY, LabelledLoan
from scoring.train.evaluate import measure_periods, name_period
from scoring.train.fairness import measure_groups
from scoring.train.fit import (
    ANCHOR_ODDS,
    ANCHOR_POINTS,
    BAND_PPM,
    POINTS_PER_LOGIT,
    AdditiveFit,
    Features,
    Floats,
    Maker,
    make_model,
)
from scoring.train.measures import calculate_auc, calculate_interval, calculate_ks, calculate_psi, calculate_wilson

FOLDS: Final = 5
SEED: Final = 20_260_101
SPLITS: Final = (0.5, 0.6, 0.7)
"""Shares of the loans, in order of time, that a temporal split trains on."""
SPLIT_SHOWN: Final = 0.6
"""The split that the ROC plot shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the plots are drawn from: one entry per loan, all out of fold."""

    bad: tuple[bool, ...]
    chances: tuple[float, ...]
    """Calibrated PD, 0 to 1."""
    points: tuple[float, ...]
    """On the scale of the model, before rounding."""
    later_risk: tuple[float, ...]
    """Of the later loans, scored by the fit on the earlier 60 %; higher is riskier."""
    later_bad: tuple[bool, ...]


def _calculate_points(fit: AdditiveFit, train: Sequence[Features], test: Sequence[Features]) -> list[int]:
    """Integer points of `test`."""
    model = make_model(fit, train, name="fold", currency=CURRENCY, calibration=(0.0, 1.0))
    return [model.assess(model.calculate_bins(item)).points for item in test]


def cross_validate(
    maker: Maker, names: Sequence[str], features: Sequence[Features], bad: Sequence[bool], *, repeats: int
) -> tuple[dict[str, Any], Floats]:
    """Repeated stratified cross-validation with integer points; also the mean out-of-fold log odds per loan."""
    folds: list[float] = []
    folds_float: list[float] = []
    logits = np.zeros(len(bad))
    splitter = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=SEED)
    for train, test in splitter.split(np.zeros(len(bad)), np.array(bad)):
        inside, outside = [features[i] for i in train], [features[i] for i in test]
        fit = maker(names, inside, [bad[i] for i in train])
        held = [bad[i] for i in test]
        found = fit.calculate_logits(outside)
        logits[test] += found / repeats
        folds_float.append(calculate_auc([float(value) for value in found], held)[0])
        folds.append(calculate_auc([-value for value in _calculate_points(fit, inside, outside)], held)[0])
    per_repeat = np.array(folds).reshape(repeats, FOLDS).mean(axis=1)
    pooled, error = calculate_auc([float(value) for value in logits], bad)
    return {
        "auc": round(float(np.mean(folds)), 4),
        "auc_float": round(float(np.mean(folds_float)), 4),
        "repeat_range": [round(float(per_repeat.min()), 4), round(float(per_repeat.max()), 4)],
        "auc_pooled": round(pooled, 4),
        "auc_pooled_ci95": calculate_interval(pooled, error),
        "ks_pooled": round(calculate_ks([float(value) for value in logits], bad), 4),
        "repeats": repeats,
        "folds": FOLDS,
    }, logits


def split_in_time(
    maker: Maker, names: Sequence[str], features: Sequence[Features], bad: Sequence[bool]
) -> tuple[list[dict[str, Any]], dict[float, list[int]]]:
    """Trained on the earlier loans, measured on the later ones; the input is in order of time. Also {share: points}.

    Raises ValueError when a part has not both outcomes.
    """
    found, later = [], {}
    for share in SPLITS:
        cut = int(len(bad) * share)
        fit = maker(names, features[:cut], bad[:cut])
        points = later[share] = _calculate_points(fit, features[:cut], features[cut:])
        auc, error = calculate_auc([-value for value in points], bad[cut:])
        found.append(
            {
                "train": cut,
                "test": len(bad) - cut,
                "test_bad": sum(bad[cut:]),
                "auc": round(auc, 4),
                "auc_ci95": calculate_interval(auc, error),
            }
        )
    return found, later


def leave_periods_out(
    maker: Maker,
    names: Sequence[str],
    features: Sequence[Features],
    bad: Sequence[bool],
    *,
    days: Sequence[int],
) -> dict[str, Any]:
    """Every half-year scored by a fit on all others: pairs of good and bad within one half-year, all taken together.

    The nearest there is to loans of another time with a fit of full size. Half-years with one outcome have no pairs.
    """
    periods = [name_period(day) for day in days]
    pairs_total, won, variance, measured = 0, 0.0, 0.0, 0
    for period in sorted(set(periods)):
        inside = [index for index, one in enumerate(periods) if one != period]
        held = [index for index, one in enumerate(periods) if one == period]
        flags = [bad[index] for index in held]
        known = [bad[index] for index in inside]
        if any(all(part) or not any(part) for part in (flags, known)):
            continue
        train = [features[index] for index in inside]
        fit = maker(names, train, known)
        points = _calculate_points(fit, train, [features[index] for index in held])
        auc, error = calculate_auc([-value for value in points], flags)
        pairs = sum(flags) * (len(flags) - sum(flags))
        pairs_total, won, variance = pairs_total + pairs, won + pairs * auc, variance + (pairs * error) ** 2
        measured += 1
    if not pairs_total:
        return {"periods": 0, "auc": None, "auc_ci95": None}
    auc, error = won / pairs_total, math.sqrt(variance) / pairs_total
    return {"periods": measured, "auc": round(auc, 4), "auc_ci95": calculate_interval(auc, error)}


def make_evidence(
    bad: Sequence[bool], logits: Floats, calibration: tuple[float, float], later: Sequence[int]
) -> Evidence:
    """Out-of-fold log odds as PD and points, and the points of the split that is shown."""
    intercept, slope = calibration
    return Evidence(
        bad=tuple(bad),
        chances=tuple(1 / (1 + math.exp(-(intercept + slope * float(value)))) for value in logits),
        points=tuple(ANCHOR_POINTS - POINTS_PER_LOGIT * (float(value) + math.log(ANCHOR_ODDS)) for value in logits),
        later_risk=tuple(-float(value) for value in later),
        later_bad=tuple(bad[len(bad) - len(later) :]),
    )


def measure_out_of_fold(loans: Sequence[LabelledLoan], chances: Sequence[float]) -> dict[str, Any]:
    """Calibration by PD band, AUC by year, PSI between halves and by half-year, and groups, from out-of-fold PD."""
    bands = [sum(1 for ppm in BAND_PPM if chance * 1e6 >= ppm) for chance in chances]
    half = len(loans) // 2
    counts = [[part.count(band) for band in range(len(BAND_PPM) + 1)] for part in (bands[:half], bands[half:])]
    return {
        "calibration_by_band": [_measure_band(band, bands, loans, chances) for band in range(len(BAND_PPM) + 1)],
        "by_year": _measure_years(loans, chances),
        "by_period": measure_periods([one.as_of for one in loans], bands, [one.bad for one in loans], None),
        "psi_halves": round(calculate_psi(counts[0], counts[1]), 4),
        "fairness": measure_groups(loans, chances),
    }


def _measure_band(
    band: int, bands: Sequence[int], loans: Sequence[LabelledLoan], chances: Sequence[float]
) -> dict[str, Any]:
    held = [index for index, value in enumerate(bands) if value == band]
    bad = sum(loans[index].bad for index in held)
    return {
        "band": band,
        "loans": len(held),
        "bad": bad,
        "pd_mean": round(sum(chances[index] for index in held) / len(held), 4) if held else None,
        "bad_rate": round(bad / len(held), 4) if held else None,
        "bad_rate_ci95": calculate_wilson(bad, len(held)),
    }


def _measure_years(loans: Sequence[LabelledLoan], chances: Sequence[float]) -> list[dict[str, Any]]:
    years = [date.fromordinal(loan.as_of).year for loan in loans]
    by_year = []
    for year in sorted(set(years)):
        held = [index for index, value in enumerate(years) if value == year]
        flags = [loans[index].bad for index in held]
        both = any(flags) and not all(flags)
        auc = round(calculate_auc([chances[index] for index in held], flags)[0], 4) if both else None
        by_year.append({"year": year, "loans": len(held), "bad": sum(flags), "auc": auc})
    return by_year
