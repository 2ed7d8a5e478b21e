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


def run_selftest() -> None:
    """Raises AssertionError, naming case and value, when this machine computes anything but the golden vectors."""
    golden = json.loads(resources.files("scoring").joinpath("models", "golden.json").read_bytes())
    model = load_default()
    assert golden["feature_spec"] == FEATURE_SPEC, "golden vectors of another feature specification"
    assert golden["model_id"] == model.id.hex(), "golden vectors of another model"
    assert decode_model(encode_model(model)) == model, "the shipped model does not survive its canonical bytes"
    for case in golden["cases"]:
        reason = check_case(model, case)
        assert reason is None, f"self-test of scoring, case {case['name']}: {reason}"
