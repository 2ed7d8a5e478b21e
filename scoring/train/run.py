"""The whole training run: cross-validation, split in time, final fit, report. Needs the training extra."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from scoring.points import PointsModel
from scoring.train.dataset import CURRENCY, LabelledLoan, load_loans
from scoring.train.evaluate import calculate_auc, evaluate
from scoring.train.fit import (
    MONEY_FEATURES,
    RATIO_FEATURES,
    AdditiveFit,
    Features,
    Floats,
    calculate_calibration,
    make_model,
)

FOLDS: Final = 5
SEED: Final = 20_260_101
SPLITS: Final = (0.5, 0.6, 0.7)
"""Shares of the loans, in order of time, that a temporal split trains on."""


def _calculate_points(fit: AdditiveFit, train: Sequence[Features], test: Sequence[Features]) -> list[int]:
    """Integer points of `test`."""
    model = make_model(fit, train, name="fold", currency=CURRENCY, calibration=(0.0, 1.0))
    return [model.assess(model.calculate_bins(item)).points for item in test]


def cross_validate(
    names: Sequence[str], features: Sequence[Features], bad: Sequence[bool], *, repeats: int
) -> tuple[dict[str, Any], Floats]:
    """Repeated stratified cross-validation with integer points; also the mean out-of-fold log odds per loan."""
    folds: list[float] = []
    folds_float: list[float] = []
    logits = np.zeros(len(bad))
    splitter = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=SEED)
    for train, test in splitter.split(np.zeros(len(bad)), np.array(bad)):
        inside, outside = [features[i] for i in train], [features[i] for i in test]
        fit = AdditiveFit(names, inside, [bad[i] for i in train])
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
        "auc_pooled_ci95": [round(pooled - 1.96 * error, 4), round(min(1.0, pooled + 1.96 * error), 4)],
        "repeats": repeats,
        "folds": FOLDS,
    }, logits


def split_in_time(names: Sequence[str], features: Sequence[Features], bad: Sequence[bool]) -> list[dict[str, Any]]:
    """Trained on the earlier loans, measured on the later ones; the input is in order of time."""
    found = []
    for share in SPLITS:
        cut = int(len(bad) * share)
        fit = AdditiveFit(names, features[:cut], bad[:cut])
        points = _calculate_points(fit, features[:cut], features[cut:])
        auc, error = calculate_auc([-value for value in points], bad[cut:])
        found.append(
            {
                "train": cut,
                "test": len(bad) - cut,
                "test_bad": sum(bad[cut:]),
                "auc": round(auc, 4),
                "auc_ci95": [round(auc - 1.96 * error, 4), round(min(1.0, auc + 1.96 * error), 4)],
            }
        )
    return found


def fit_model(
    loans: Sequence[LabelledLoan], names: Sequence[str], *, name: str, currency: str, repeats: int
) -> tuple[PointsModel, dict[str, Any]]:
    """Final model on all loans, its PD calibrated out of fold, with the evidence."""
    features = [loan.features() for loan in loans]
    bad = [loan.bad for loan in loans]
    validation, logits = cross_validate(names, features, bad, repeats=repeats)
    calibration = calculate_calibration(logits, bad)
    fit = AdditiveFit(names, features, bad)
    model = make_model(fit, features, name=name, currency=currency, calibration=calibration)
    points = [-model.assess(model.calculate_bins(item)).points for item in features]
    auc_float = calculate_auc([float(value) for value in fit.calculate_logits(features)], bad)[0]
    return model, {
        "features": list(names),
        "cross_validation": validation,
        "split_in_time": split_in_time(names, features, bad),
        "calibration": {"intercept": round(calibration[0], 4), "slope": round(calibration[1], 4)},
        "in_sample_auc": round(calculate_auc(points, bad)[0], 4),
        "integer_cost": round(abs(calculate_auc(points, bad)[0] - auc_float), 5),
    }


def train(data_dir: Path, *, repeats: int = 20) -> tuple[PointsModel, dict[str, Any]]:
    """The default model and its report, with the currency-free model measured beside it."""
    loans = load_loans(data_dir)
    names = (*RATIO_FEATURES, *MONEY_FEATURES)
    model, report = fit_model(loans, names, name="cashflow-v1", currency=CURRENCY, repeats=repeats)
    _, ratio = fit_model(loans, RATIO_FEATURES, name="cashflow-ratio-v1", currency="XXX", repeats=repeats)
    report["ratio_features_only"] = {key: ratio[key] for key in ("cross_validation", "split_in_time")}
    report["evaluation"] = evaluate(model, data_dir)
    return model, report
