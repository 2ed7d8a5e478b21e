"""The engine's own proof before it attests: golden vectors that ship with it must come out to the last bit.

A node calls `run_selftest` at its start and does not attest when it raises. Never a vector made from real data, and
never a tolerance.
"""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from scoring.feature_table import FEATURE_SPEC
from scoring.features import calculate_features, calculate_net_cashflow30
from scoring.invoice_table import INVOICE_SPEC
from scoring.invoices import Invoice, calculate_invoice_features, decode_invoice, encode_invoice
from scoring.models import load_default
from scoring.points import PointsModel, decode_model, encode_model
from scoring.rows import Category, Channel, Row, decode_row, encode_row


def read_rows(case: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a golden case."""
    return tuple(
        Row(
            day=day,
            seq=seq,
            amount=amount,
            balance=balance,
            counterparty=bytes.fromhex(party),
            category=Category(category),
            channel=Channel(channel),
            minute=minute,
        )
        for day, seq, amount, balance, party, category, channel, minute in case["rows"]
    )


def check_case(model: PointsModel, case: Mapping[str, Any]) -> str | None:
    """What of a golden case comes out differently here, or None."""
    rows = read_rows(case)
    if any(decode_row(encode_row(row)) != row for row in rows):
        return "a row does not survive its canonical bytes"
    terms = {name: case[name] for name in ("as_of", "last_day", "instalment", "principal")}
    features = calculate_features(rows, **terms)
    if list(features.items()) != list(case["features"].items()):
        differing = [name for name, value in features.items() if case["features"].get(name, "absent") != value]
        return f"features differ: {', '.join(differing) or 'their order'}"
    if calculate_net_cashflow30(rows, as_of=case["as_of"]) != case["net_cashflow30"]:
        return "net_cashflow30 differs"
    bins = model.calculate_bins(features)
    if list(bins) != case["bins"]:
        return "bins differ"
    found = model.assess(bins)
    expected = (case["points"], case["pd_ppm"], case["band"], tuple(case["reasons"]))
    if found != expected:
        return f"assessment differs: {tuple(found)} instead of {expected}"
    return None


def read_invoices(case: Mapping[str, Any]) -> tuple[Invoice, ...]:
    """The invoices of a golden case."""
    return tuple(
        Invoice(day=day, seq=seq, amount=amount, buyer=bytes.fromhex(buyer), is_void=is_void)
        for day, seq, amount, buyer, is_void in case["invoices"]
    )


def check_invoice_case(case: Mapping[str, Any]) -> str | None:
    """What of a golden case of invoices comes out differently here, or None."""
    invoices = read_invoices(case)
    if any(decode_invoice(encode_invoice(one)) != one for one in invoices):
        return "an invoice does not survive its canonical bytes"
    features = calculate_invoice_features(invoices, as_of=case["as_of"])
    if list(features.items()) != list(case["features"].items()):
        differing = [name for name, value in features.items() if case["features"].get(name, "absent") != value]
        return f"features differ: {', '.join(differing) or 'their order'}"
    return None


def _read_golden(name: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads(resources.files("scoring").joinpath("models", name).read_bytes())
    return golden


def run_selftest() -> None:
    """Raises AssertionError, naming case and value, when this machine computes anything but the golden vectors."""
    golden, firms = _read_golden("golden.json"), _read_golden("golden-invoices.json")
    model = load_default()
    assert golden["feature_spec"] == FEATURE_SPEC, "golden vectors of another feature specification"
    assert golden["model_id"] == model.id.hex(), "golden vectors of another model"
    assert decode_model(encode_model(model)) == model, "the shipped model does not survive its canonical bytes"
    for case in golden["cases"]:
        reason = check_case(model, case)
        assert reason is None, f"self-test of scoring, case {case['name']}: {reason}"
    assert firms["invoice_spec"] == INVOICE_SPEC, "golden vectors of another specification of invoices"
    for case in firms["cases"]:
        reason = check_invoice_case(case)
        assert reason is None, f"self-test of scoring, case {case['name']}: {reason}"
