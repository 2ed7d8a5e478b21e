"""Logs of several nodes become one list in time, and whatever the ledger knows beyond them is told as a gap."""

from typing import Any

import pytest

from node.client.openings import GAPS, Asked, Reader, merge_logs

OWNER = "00"


def opening(reader: str, time_ms: int, serial: int = 1) -> dict[str, Any]:
    """One entry, as the API shows it."""
    return {"reader": reader, "reader_name": reader, "purpose": "underwrite", "time_ms": time_ms, "serial": serial}


def log(name: str | None, *entries: dict[str, Any], fault: str | None = None, url: str = "http://n") -> Asked:
    """One node's answer."""
    return Asked(url, name, {"entries": list(entries)}, fault)


def test_openings_of_all_nodes_are_merged_in_time() -> None:
    """Each with the node that told it; nothing is missing, so the list is whole."""
    readers = (Reader("aa", "harbour", 50), Reader("bb", "jade", None))
    found = merge_logs(
        [log("harbour", opening("aa", 10), opening("aa", 30, 2)), log("jade", opening("bb", 20), opening("00", 40, 2))],
        readers,
        OWNER,
    )
    assert [(one["time_ms"], one["node"]) for one in found["openings"]] == [
        (10, "harbour"),
        (20, "jade"),
        (30, "harbour"),
        (40, "jade"),
    ]
    assert [(one["name"], one["openings"], one["gap"]) for one in found["readers"]] == [
        ("harbour", 2, None),
        ("jade", 1, None),
    ]
    assert found["whole"] is True


@pytest.mark.parametrize(
    ("answers", "gap"),
    [
        ([log("harbour")], "not_asked"),
        ([log(None)], "not_asked"),
        ([Asked("http://n", "jade", None, "rate_limited")], "unreachable"),
        ([log("jade", opening("bb", 10), fault="access_chain")], "log_false"),
        ([log("jade")], "attested_unlogged"),
        ([log("jade", opening("bb", 200_000))], "attested_unlogged"),
        ([log("jade", opening("bb", 100_050))], None),
    ],
)
def test_every_gap_has_its_word(answers: list[Asked], gap: str | None) -> None:
    """Of a reader that attested at 100,000: what its node does not show. A false log's openings are not believed."""
    found = merge_logs(answers, (Reader("bb", "jade", 100_000),), OWNER)
    (reader,) = found["readers"]
    assert reader["gap"] == gap
    assert found["whole"] is (gap is None)
    assert gap is None or GAPS[gap]
    if gap == "log_false":
        assert found["openings"] == []


def test_an_opening_by_somebody_who_was_never_let_in_is_told() -> None:
    """The ledger knows no consent to it: the list is not whole, whatever the logs say."""
    found = merge_logs([log("jade", opening("bb", 1), opening("cc", 2, 2))], (Reader("bb", "jade", None),), OWNER)
    assert [one["granted"] for one in found["openings"]] == [True, False]
    assert found["whole"] is False
