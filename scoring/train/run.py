"""The training run: which makers there are, evidence, final fit, and the files that come of it. Needs the extra."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scoring.points import PointsModel, encode_model
from scoring.train.boosted import fit_boosted
from scoring.train.card import render_card
from scoring.train.dataset import CURRENCY, LabelledLoan, load_loans
from scoring.train.evaluate import evaluate
from scoring.train.fit import (
    MONEY_FEATURES,
    RATIO_FEATURES,
    Maker,
    calculate_calibration,
    fit_scorecard,
    make_model,
    rescale_model,
)
from scoring.train.measures import calculate_auc
from scoring.train.page import render_page
from scoring.train.plots import draw_plots
from scoring.train.validate import (
    SPLIT_SHOWN,
    Evidence,
    cross_validate,
    leave_periods_out,
    make_evidence,
    measure_out_of_fold,
    split_in_time,
)

MAKERS: Final[dict[str, Maker]] = {"scorecard": fit_scorecard, "ebm": fit_boosted}
NAMES: Final = {"scorecard": "cashflow-v1", "ebm": "cashflow-v1-ebm"}
"""What the model of each maker is called; the first is the one that ships."""
WAGES_MINOR: Final = {"CZK": 817_200, "CNY": 950_241}
"""Average monthly wage: Czech Statistical Office, 1995; National Bureau of Statistics of China, 2022 (114,029 / 12)."""


def fit_model(
    loans: Sequence[LabelledLoan], names: Sequence[str], *, maker: str, name: str, currency: str, repeats: int
) -> tuple[PointsModel, dict[str, Any], Evidence]:
    """Final model on all loans, its PD calibrated out of fold, with the evidence."""
    features = [loan.features() for loan in loans]
    bad = [loan.bad for loan in loans]
    make = MAKERS[maker]
    validation, logits = cross_validate(make, names, features, bad, repeats=repeats)
    calibration = calculate_calibration(logits, bad)
    splits, later = split_in_time(make, names, features, bad)
    evidence = make_evidence(bad, logits, calibration, later[SPLIT_SHOWN])
    fit = make(names, features, bad)
    model = make_model(fit, features, name=name, currency=currency, calibration=calibration)
    points = [-model.assess(model.calculate_bins(item)).points for item in features]
    auc_float = calculate_auc([float(value) for value in fit.calculate_logits(features)], bad)[0]
    report = {
        "maker": maker,
        "loans": len(bad),
        "bad": sum(bad),
        "features": list(names),
        **measure_out_of_fold(loans, evidence.chances),
        "cross_validation": validation,
        "split_in_time": splits,
        "periods_left_out": leave_periods_out(make, names, features, bad, days=[loan.as_of for loan in loans]),
        "calibration": {"intercept": round(calibration[0], 4), "slope": round(calibration[1], 4)},
        "in_sample_auc": round(calculate_auc(points, bad)[0], 4),
        "integer_cost": round(abs(calculate_auc(points, bad)[0] - auc_float), 5),
    }
    return model, report, evidence


def train(
    data_dir: Path, *, repeats: int = 20, maker: str = "scorecard"
) -> tuple[PointsModel, dict[str, Any], Evidence]:
    """The model of a maker, its report and what its plots show, with the currency-free model measured beside it.

    Raises as `load_loans` does, KeyError for an unknown maker, ValueError when the loans are too few to split.
    """
    loans = load_loans(data_dir)
    names = (*RATIO_FEATURES, *MONEY_FEATURES)
    name = NAMES[maker]
    model, report, evidence = fit_model(loans, names, maker=maker, name=name, currency=CURRENCY, repeats=repeats)
    _, ratio, _ = fit_model(loans, RATIO_FEATURES, maker=maker, name=f"{name}-ratio", currency="XXX", repeats=repeats)
    report["model"], report["model_id"] = model.name, model.id.hex()
    measured = ("cross_validation", "split_in_time", "periods_left_out")
    report["ratio_features_only"] = {key: ratio[key] for key in measured}
    report["money_features"] = ", ".join(f"`{item}`" for item in MONEY_FEATURES)
    report["evaluation"] = evaluate(model, data_dir)
    return model, report, evidence


def write_models(data_dir: Path, out: Path, *, repeats: int, maker: str = "scorecard") -> dict[str, Any]:
    """Fit on `data_dir` and fill `out`: every model, the report, the card as Markdown and HTML, the plots as PNG.

    Returns the report. Raises as `train` does, and OSError when a file cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, report, evidence = train(data_dir, repeats=repeats, maker=maker)
    derived = derive_models(model)
    for item in (model, *derived):
        (out / f"{item.name}.json").write_bytes(encode_model(item))
    text = json.dumps(report, sort_keys=True, indent=1) + "\n"
    (out / f"{model.name}.report.json").write_text(text, encoding="utf-8")
    card = render_card(model, derived, report, report_sha256=hashlib.sha256(text.encode()).hexdigest())
    plots = draw_plots(model, report, evidence)
    (out / f"{model.name}.card.md").write_text(card, encoding="utf-8")
    (out / f"{model.name}.card.html").write_text(render_page(card, plots), encoding="utf-8")
    for plot in plots:
        (out / f"{model.name}.{plot.name}.png").write_bytes(plot.png)
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
