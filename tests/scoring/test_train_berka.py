"""Training and measuring on the real loans; skipped where ../shared/data is absent."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.feature_table import FEATURES
from scoring.features import check_statement
from scoring.models import load_default
from scoring.points import encode_model
from scoring.train.dataset import LabelledLoan, load_loans
from scoring.train.evaluate import evaluate
from scoring.train.measures import calculate_auc, calculate_ks, calculate_psi

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "berka"
needs_data = pytest.mark.skipif(
    not (DATA / "loans.csv").exists(), reason="the real loans of ../shared/data/berka are absent"
)

EXTRAS = ("numpy", "scipy", "sklearn", "pandas", "interpret", "lightgbm")


@pytest.fixture(scope="module")
def loans() -> tuple[LabelledLoan, ...]:
    return load_loans(DATA)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(cases: list[tuple[int, bool]]) -> None:
    """AUC counts pairs; a tie is half; turning the score round mirrors it; KS is its furthest gap."""
    scores, bad = [score for score, _ in cases], [flag for _, flag in cases]
    if all(bad) or not any(bad):
        with pytest.raises(ValueError, match="good and bad"):
            calculate_auc(scores, bad)
        return
    auc, error = calculate_auc(scores, bad)
    pairs = [(p, n) for p, flag in cases if flag for n, other in cases if not other]
    assert auc == pytest.approx(sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs))
    assert calculate_auc([-score for score in scores], bad)[0] == pytest.approx(1 - auc)
    assert error >= 0
    assert abs(2 * auc - 1) <= calculate_ks(scores, bad) * 2


def test_psi_is_zero_of_the_same_and_grows_with_difference() -> None:
    """PSI of equal shares is 0, of a moved tenth small, of an exchanged half beyond .25."""
    assert calculate_psi([10, 20, 70], [10, 20, 70]) == 0
    assert 0 < calculate_psi([100, 200, 700], [120, 200, 680]) < 0.1
    assert calculate_psi([90, 10], [10, 90]) > 0.25


@needs_data
def test_every_loan_has_a_statement_that_would_be_accepted(loans: tuple[LabelledLoan, ...]) -> None:
    """The population trained on is one the engine would score: rows before the day, chain order, no refusal."""
    assert len(loans) >= 300
    for loan in loans:
        assert check_statement(loan.rows, as_of=loan.as_of, last_day=loan.as_of - 1) is None
        assert [row.seq for row in loan.rows] == list(range(len(loan.rows)))
        assert all(row.day < loan.as_of for row in loan.rows)


@needs_data
def test_the_shipped_model_ranks_the_loans_it_was_fitted_on() -> None:
    """A floor against a broken feature or file, not evidence: in-sample AUC stays where the card has it."""
    found = evaluate(load_default(), DATA)
    assert found["loans"] == sum(item["loans"] for item in found["bands"])
    if found["loans"] == 328:
        assert found["auc"] > 0.95
        assert found["psi"] == {"score": 0.0, "feature_max": 0.0}


@needs_data
def test_evaluation_runs_without_the_training_extra_and_gives_one_digest() -> None:
    """A node's installation can measure a model: no import of the extra, and one digest under any hash seed."""
    program = (
        "import sys, json\n"
        f"for name in {EXTRAS!r}: sys.modules[name] = None\n"
        "sys.argv = ['train', sys.argv[1], '--evaluate', 'cashflow-v1']\n"
        "from scoring.train.__main__ import main\n"
        "sys.exit(main())\n"
    )
    digests = []
    for seed in ("0", "99"):
        done = subprocess.run(
            [sys.executable, "-B", "-c", program, str(DATA)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )
        digests.append(json.loads(done.stdout)["digest"])
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def trained() -> tuple[Any, dict[str, Any]]:
    pytest.importorskip("sklearn", reason="the training extra is not installed")
    from scoring.train.run import train

    model, report, _ = train(DATA, repeats=2)
    return model, report


@needs_data
def test_training_again_gives_the_shipped_bytes(trained: tuple[Any, dict[str, Any]]) -> None:
    """The shipped file is what the shipped code makes of the data, but for the last digit of a numeric library."""
    model, _ = trained
    shipped = load_default()
    assert model.features == shipped.features
    assert [item.cuts for item in model.table] == [item.cuts for item in shipped.table]
    for mine, theirs in zip(model.table, shipped.table, strict=True):
        assert all(abs(a - b) <= 1 for a, b in zip(mine.points, theirs.points, strict=True))
    assert encode_model(model)


@needs_data
def test_integers_cost_at_most_a_thousandth_of_auc(trained: tuple[Any, dict[str, Any]]) -> None:
    """Integer points rank as the floats they came from do, in sample and out of fold."""
    _, report = trained
    found = report["cross_validation"]
    assert report["integer_cost"] <= 0.001
    assert abs(found["auc"] - found["auc_float"]) <= 0.001


@needs_data
def test_cross_validation_and_the_splits_in_time_hold(trained: tuple[Any, dict[str, Any]]) -> None:
    """What the card says comes out again, less what few repeats may move it; money earns its place."""
    _, report = trained
    assert report["cross_validation"]["auc"] >= 0.92
    assert all(split["auc"] >= 0.91 for split in report["split_in_time"])
    assert report["periods_left_out"]["auc"] >= 0.92
    assert report["ratio_features_only"]["cross_validation"]["auc"] < report["cross_validation"]["auc"]


@needs_data
def test_every_single_feature_has_the_sign_of_the_table(loans: tuple[LabelledLoan, ...]) -> None:
    """The model's features separate the loans in the direction the table claims, each on its own."""
    bad = [loan.bad for loan in loans]
    columns = [loan.features() for loan in loans]
    used = load_default().features
    for item in FEATURES:
        if item.name in used:
            worst = 10**12
            scores = [
                worst if values[item.name] is None else (values[item.name] or 0) * item.direction for values in columns
            ]
            assert calculate_auc(scores, bad)[0] > 0.5, item.name
