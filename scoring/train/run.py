"""The whole training run: cross-validation, split in time, final fit, report. Needs the training extra."""

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from scoring.points import PointsModel, encode_model
from scoring.train.card import render_card
from scoring.train.dataset import CURRENCY, LabelledLoan, load_loans
from scoring.train.evaluate import calculate_auc, calculate_psi, evaluate
from scoring.train.fit import (
    BAND_PPM,
    MONEY_FEATURES,
    RATIO_FEATURES,
    AdditiveFit,
    Features,
    Floats,
    calculate_calibration,
    make_model,
    rescale_model,
)

FOLDS: Final = 5
SEED: Final = 20_260_101
WAGES_MINOR: Final = {"CZK": 817_200, "CNY": 950_241}
"""Average monthly wage: Czech Statistical Office, 1995; National Bureau of Statistics of China, 2022 (114,029 / 12)."""
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
        "loans": len(bad),
        "bad": sum(bad),
        "features": list(names),
        **measure_out_of_fold(loans, logits, calibration),
        "cross_validation": validation,
        "split_in_time": split_in_time(names, features, bad),
        "calibration": {"intercept": round(calibration[0], 4), "slope": round(calibration[1], 4)},
        "in_sample_auc": round(calculate_auc(points, bad)[0], 4),
        "integer_cost": round(abs(calculate_auc(points, bad)[0] - auc_float), 5),
    }


def measure_out_of_fold(
    loans: Sequence[LabelledLoan], logits: Floats, calibration: tuple[float, float]
) -> dict[str, Any]:
    """Calibration by PD band, AUC by year and PSI between halves, from the mean out-of-fold log odds."""
    chances = [1 / (1 + math.exp(-(calibration[0] + calibration[1] * float(value)))) for value in logits]
    bands = [sum(1 for ppm in BAND_PPM if chance * 1e6 >= ppm) for chance in chances]
    by_band = []
    for band in range(len(BAND_PPM) + 1):
        held = [index for index, value in enumerate(bands) if value == band]
        bad = sum(loans[index].bad for index in held)
        by_band.append(
            {
                "band": band,
                "loans": len(held),
                "bad": bad,
                "pd_mean": round(sum(chances[index] for index in held) / len(held), 4) if held else None,
                "bad_rate": round(bad / len(held), 4) if held else None,
            }
        )
    years = [date.fromordinal(loan.as_of).year for loan in loans]
    by_year = []
    for year in sorted(set(years)):
        held = [index for index, value in enumerate(years) if value == year]
        flags = [loans[index].bad for index in held]
        auc = calculate_auc([chances[index] for index in held], flags)[0]
        by_year.append({"year": year, "loans": len(held), "bad": sum(flags), "auc": round(auc, 4)})
    half = len(loans) // 2
    counts = [[part.count(band) for band in range(len(BAND_PPM) + 1)] for part in (bands[:half], bands[half:])]
    return {
        "calibration_by_band": by_band,
        "by_year": by_year,
        "psi_halves": round(calculate_psi(counts[0], counts[1]), 4),
    }


def train(data_dir: Path, *, repeats: int = 20) -> tuple[PointsModel, dict[str, Any]]:
    """The default model and its report, with the currency-free model measured beside it."""
    loans = load_loans(data_dir)
    names = (*RATIO_FEATURES, *MONEY_FEATURES)
    model, report = fit_model(loans, names, name="cashflow-v1", currency=CURRENCY, repeats=repeats)
    _, ratio = fit_model(loans, RATIO_FEATURES, name="cashflow-ratio-v1", currency="XXX", repeats=repeats)
    report["ratio_features_only"] = {key: ratio[key] for key in ("cross_validation", "split_in_time")}
    report["money_features"] = ", ".join(f"`{item}`" for item in MONEY_FEATURES)
    report["evaluation"] = evaluate(model, data_dir)
    return model, report


def write_models(data_dir: Path, out: Path, *, repeats: int) -> dict[str, Any]:
    """Fit on `data_dir`, write every model and the card into `out`, and return the report.

    Raises as `load_loans` does, and OSError when a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, report = train(data_dir, repeats=repeats)
    derived = derive_models(model)
    for item in (model, *derived):
        (out / f"{item.name}.json").write_bytes(encode_model(item))
    (out / f"{model.name}.card.md").write_text(render_card(model, derived, report), encoding="utf-8")
    return report


def derive_models(model: PointsModel) -> tuple[PointsModel, ...]:
    """The same points for other currencies: money cuts moved by the ratio of average wages (sources in the card)."""
    derived = []
    for currency, wage in WAGES_MINOR.items():
        if currency != CURRENCY:
            level = model.price_level * wage // WAGES_MINOR[CURRENCY]
            name = f"{model.name}-{currency.lower()}"
            derived.append(rescale_model(model, name=name, currency=currency, price_level=level))
    return tuple(derived)
