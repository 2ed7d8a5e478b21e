"""Both makers of points models, end to end on invented loans; skipped where the training extra is not installed."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring.points import PointsModel, check_model, decode_model
from scoring.reasons import REASONS
from tests.scoring.labelled import write_loans
from tests.scoring.synthetic import Chance

pytest.importorskip("interpret", reason="the training extra is not installed")
pytest.importorskip("matplotlib", reason="the training extra is not installed")
boosted = pytest.importorskip("scoring.train.boosted")
fitting = pytest.importorskip("scoring.train.fit")
running = pytest.importorskip("scoring.train.run")
validating = pytest.importorskip("scoring.train.validate")

COUNT = 80
PNG = b"\x89PNG\r\n\x1a\n"
PLOTS = ("roc", "calibration", "scores", "psi")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty invented borrowers; who spends more goes bad more often, not always."""
    chance = Chance(11)
    thrifts = [40 + chance.below(80) for _ in range(COUNT)]
    bad = [chance.below(80) + 40 < thrift - 20 for thrift in thrifts]
    return write_loans(tmp_path_factory.mktemp("loans"), thrifts, bad, sex=["f", "m"] * (COUNT // 2))


@pytest.fixture(scope="module", autouse=True)
def few_bags() -> Iterator[None]:
    """One bag and few rounds: the same code in a small part of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosted, "BAGS", 1)
        patch.setattr(boosted, "ROUNDS_MAX", 60)
        yield


@pytest.fixture(scope="module", params=list(running.MAKERS))
def made(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(maker, directory with everything that was written, report)."""
    out = tmp_path_factory.mktemp(request.param)
    return request.param, out, running.write_models(folder, out, repeats=1, maker=request.param)


def read_made(made: Any) -> PointsModel:
    maker, out, _ = made
    return decode_model((out / f"{running.NAMES[maker]}.json").read_bytes())


def test_each_maker_writes_lawful_models_with_all_that_belongs_to_them(made: Any) -> None:
    """Model, its relative in yuan, report, card twice and four plots; each refers to the others by hash."""
    maker, out, report = made
    name = running.NAMES[maker]
    model = read_made(made)
    expected = {f"{name}.json", f"{name}-cny.json", f"{name}.report.json", f"{name}.card.md", f"{name}.card.html"}
    assert {path.name for path in out.iterdir()} == expected | {f"{name}.{plot}.png" for plot in PLOTS}
    raw = (out / f"{name}.report.json").read_bytes()
    assert json.loads(raw) == json.loads(json.dumps(report))
    assert report["model_id"] == model.id.hex()
    for card in ("card.md", "card.html"):
        text = (out / f"{name}.{card}").read_text()
        assert model.id.hex() in text
        assert hashlib.sha256(raw).hexdigest() in text
        assert "By sex" in text
    assert all((out / f"{name}.{plot}.png").read_bytes().startswith(PNG) for plot in PLOTS)
    assert (out / f"{name}.card.html").read_text().count("data:image/png;base64,") == len(PLOTS)


def test_missing_and_direction_hold_for_whatever_was_fitted(made: Any) -> None:
    """MISSING scores as the worst bin, reasons have a sentence, and every training case is in the reference."""
    model = read_made(made)
    assert any(len(item.points) > 1 for item in model.table)
    for item in model.table:
        assert item.missing == min(item.points)
        assert item.reason in REASONS
        assert sum(item.reference) == COUNT
    assert sum(model.band_reference) == COUNT


def test_the_report_has_intervals_splits_calibration_and_groups(made: Any) -> None:
    """Out of fold and out of time, each with its interval; integers cost next to nothing."""
    _, _, report = made
    low, high = report["cross_validation"]["auc_pooled_ci95"]
    assert low < report["cross_validation"]["auc_pooled"] < high
    assert [split["train"] + split["test"] for split in report["split_in_time"]] == [COUNT] * 3
    assert report["integer_cost"] <= 0.01
    assert sum(item["loans"] for item in report["calibration_by_band"]) == COUNT
    assert [row["group"] for row in report["fairness"][0]["groups"]] == ["f", "m"]


def test_training_again_gives_the_same_bytes(made: Any, folder: Path, tmp_path: Path) -> None:
    """No clock and no chance: model, report, cards and plots repeat."""
    maker, out, _ = made
    running.write_models(folder, tmp_path, repeats=1, maker=maker)
    for path in sorted(out.iterdir()):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_half_years_left_out_count_pairs_within_them_and_never_score_with_their_own_fit() -> None:
    """Two half-years of two pairs each, one of a single outcome; levels that differ between half-years do not count."""
    days = [728_300] * 3 + [728_500] * 3 + [728_700] * 2  # 1995 H1, 1995 H2, 1996 H1
    bad = [True, False, False, True, False, False, False, False]
    pti = [50, 10, 60, 900, 800, 700, 5, 6]
    features = [{"pti": value, "inflow_med": 1} for value in pti]
    trained_on: list[tuple[int, ...]] = []

    def make(names: Any, inside: Any, labels: Any) -> Any:
        trained_on.append(tuple(item["pti"] for item in inside))
        return fitting.AdditiveFit(names=names, intercept=0.0, steps={"pti": {float(cut): 0.5 for cut in pti}})

    found = validating.leave_periods_out(make, ("pti",), features, bad, days=days)
    assert (found["periods"], found["auc"]) == (2, 0.75)
    assert trained_on == [(900, 800, 700, 5, 6), (50, 10, 60, 5, 6)]
    low, high = found["auc_ci95"]
    assert low < 0.75 < high
    alone = validating.leave_periods_out(make, ("pti",), features[:3], bad[:3], days=days[:3])
    assert alone == {"periods": 0, "auc": None, "auc_ci95": None}


def test_loans_that_never_overlap_still_give_a_lawful_model() -> None:
    """Where good and bad part without an error the points span thousands, and the PD table keeps within its limit."""
    names = fitting.RATIO_FEATURES
    values = [dict.fromkeys((*names, "inflow_med"), sign * 10**6) for sign in (-1, 1) for _ in range(30)]
    fit = fitting.AdditiveFit(names=names, intercept=0.0, steps={name: {0.0: 5.0} for name in names})
    model = fitting.make_model(
        fit, [{**one, "inflow_med": 1} for one in values], name="apart", currency="CZK", calibration=(0.0, 1.0)
    )
    assert check_model(model) is None
    assert len(model.pd) > 100
    assert len({model.assess(model.calculate_bins(one)).points for one in values}) == 2
