"""One digest everywhere: golden vectors, hash seeds, Python versions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scoring import selftest
from scoring.features import calculate_features
from scoring.models import load_default

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors" / "scoring" / "features-v1.json"
INVOICE_VECTORS = VECTORS.with_name("invoices-v1.json")

DIGEST_PROGRAM = """
import hashlib, json, sys
from scoring.selftest import read_rows, run_selftest
from scoring.features import calculate_features, calculate_net_cashflow30
from scoring.models import load_default
run_selftest()
digest = hashlib.sha256()
for case in json.load(open(sys.argv[1]))["cases"]:
    rows, as_of = read_rows(case), case["as_of"]
    terms = {name: case[name] for name in ("last_day", "instalment", "principal")}
    features = calculate_features(rows, as_of=as_of, **terms)
    bins = load_default().calculate_bins(features)
    found = [list(features.items()), bins, load_default().assess(bins), calculate_net_cashflow30(rows, as_of=as_of)]
    digest.update(json.dumps(found).encode())
from scoring.invoices import calculate_invoice_features
from scoring.selftest import read_invoices
for case in json.load(open(sys.argv[2]))["cases"]:
    firm = read_invoices(case)
    digest.update(json.dumps(list(calculate_invoice_features(firm, as_of=case["as_of"]).items())).encode())
print(digest.hexdigest(), load_default().id.hex())
"""


def run_digest(python: str, *, seed: str) -> str:
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python, "-B", "-c", DIGEST_PROGRAM, str(VECTORS), str(INVOICE_VECTORS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
        cwd=ROOT,
    )
    return done.stdout.strip()


def load_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(VECTORS.read_text())["cases"]
    return cases


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case["name"])
def test_frozen_vectors_come_out_to_the_last_bit(case: dict[str, Any]) -> None:
    """Features, bins, points, PD, band, reasons and capacity of frozen statements never change within a version."""
    assert selftest.check_case(load_default(), case) is None


def test_the_shipped_self_test_passes_here() -> None:
    """A node on this machine may attest."""
    selftest.run_selftest()


@pytest.mark.parametrize("field", ["points", "pd_ppm", "band", "reasons", "bins", "net_cashflow30", "features", "rows"])
def test_the_self_test_notices_any_difference(field: str) -> None:
    """A changed expectation, or a changed row, is named."""
    case = load_cases()[0]
    if field == "rows":
        case["rows"][5][2] += 1
    elif field == "features":
        case["features"]["pti"] += 1
    elif field in ("bins", "reasons"):
        case[field] = case[field][:-1]
    else:
        case[field] += 1
    assert selftest.check_case(load_default(), case) is not None


def test_the_self_test_stops_a_node_whose_engine_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that computes one figure differently raises before it attests."""
    right = calculate_features
    monkeypatch.setattr(selftest, "calculate_features", lambda rows, **terms: {**right(rows, **terms), "pti": 1})
    with pytest.raises(AssertionError, match="pti"):
        selftest.run_selftest()


def load_firms() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(INVOICE_VECTORS.read_text())["cases"]
    return cases


@pytest.mark.parametrize("field", ["features", "order", "invoices", "as_of"])
def test_the_self_test_notices_any_difference_of_invoices(field: str) -> None:
    """Frozen firms come out to the last bit, and a changed invoice, day, value or order is told."""
    case = load_firms()[3]
    assert selftest.check_invoice_case(case) is None
    if field == "features":
        case["features"]["inv_12m"] += 1
    elif field == "order":
        case["features"] = dict(reversed(case["features"].items()))
    elif field == "invoices":
        case["invoices"][5][2] += 10_000
    else:
        case["as_of"] -= 200
    assert "differ" in (selftest.check_invoice_case(case) or "")


def test_the_self_test_stops_a_node_whose_invoice_features_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ships with the package covers invoices too: an engine that counts them otherwise does not attest."""
    right = selftest.calculate_invoice_features
    monkeypatch.setattr(
        selftest, "calculate_invoice_features", lambda found, *, as_of: {**right(found, as_of=as_of), "inv_cv": 1}
    )
    with pytest.raises(AssertionError, match="inv_cv"):
        selftest.run_selftest()


def test_one_digest_under_any_hash_seed() -> None:
    """No result depends on the order of a set or on a string's hash."""
    digests = {run_digest(sys.executable, seed=seed) for seed in ("0", "1", "4242")}
    assert len(digests) == 1


def find_python(version: str) -> str | None:
    """An interpreter of a version that has msgspec: this one, one of LIUSHUI_PYTHONS, or one on the PATH."""
    named = [one for one in os.environ.get("LIUSHUI_PYTHONS", "").split(os.pathsep) if one]
    for python in (sys.executable, *named, shutil.which(f"python{version}")):
        if python is None:
            continue
        program = "import sys, msgspec; print('%d.%d' % sys.version_info[:2])"
        probe = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        if probe.returncode == 0 and probe.stdout.strip() == version:
            return python
    return None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_one_digest_on_every_python(version: str) -> None:
    """Features, points, reasons and invoices have one digest on each supported Python that is at hand."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here has msgspec; name one in LIUSHUI_PYTHONS")
    assert run_digest(python, seed="7") == run_digest(sys.executable, seed="0")
