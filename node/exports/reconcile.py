"""Whether exported postings add up to the books: every currency and book against a trial balance of the same height.

Reads the file row by row. Never trust the manifest for what the file itself can show.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from node.exports.writers import ExportError

CHUNK: Final = 1 << 20
Lines = dict[tuple[str, str], int]
"""(currency, book) -> debits less credits."""


def calculate_sha256(path: Path) -> str:
    """Of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Rows of an export by column. Raises ExportError when the file is not what its manifest says."""
    try:
        if kind == "csv":
            with path.open(encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file)
        elif kind == "jsonl":
            with path.open("rb") as file:
                for line in file:
                    yield msgspec.json.decode(line, type=dict[str, Any])
        else:
            yield from _read_parquet(path)
    except (csv.Error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExportError("export_damaged", f"{path} is no {kind} file: {error}.") from error


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ExportError("parquet_missing", "Parquet needs pyarrow: install liushui[parquet].") from error
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def sum_postings(rows: Iterator[dict[str, Any]]) -> tuple[Lines, int]:
    """Sums by currency and book, and how many entries do not balance in themselves."""
    sums: Lines = defaultdict(int)
    entry: tuple[str, str] | None = None
    left: dict[str, int] = defaultdict(int)
    unbalanced = 0
    for row in rows:
        place = (str(row["height"]), str(row["index"]))
        if place != entry:
            unbalanced += any(left.values())
            entry, left = place, defaultdict(int)
        amount = int(row["debit"]) - int(row["credit"])
        sums[str(row["currency"]), str(row["book"])] += amount
        left[str(row["currency"])] += amount
    return dict(sums), unbalanced + any(left.values())


def find_differences(sums: Lines, trial: Lines) -> list[str]:
    """Where sums and a trial balance differ, in words; none when they reconcile."""
    return [
        f"{currency} {book}: the postings come to {sums.get((currency, book), 0)},"
        f" the books say {trial.get((currency, book), 0)}"
        for currency, book in sorted({*sums, *trial})
        if sums.get((currency, book), 0) != trial.get((currency, book), 0)
    ]


def parse_lines(lines: list[dict[str, Any]]) -> Lines:
    """A trial balance as the API and manifests write it."""
    return {(one["currency"], one["book"]): one["debit"] - one["credit"] for one in lines}


def check_export(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The manifest of an export and what does not hold of it. Raises ExportError when there is nothing to check."""
    place = path.with_name(path.name + ".manifest.json")
    try:
        manifest = msgspec.json.decode(place.read_bytes(), type=dict[str, Any])
        faults = [] if calculate_sha256(path) == manifest["sha256"] else ["the file is not the one that was exported"]
        rows = read_rows(path, manifest["format"])
        if manifest["what"] == "postings":
            sums, unbalanced = sum_postings(rows)
            faults += [f"{unbalanced} entries do not balance"] if unbalanced else []
            if manifest["trial_balance"] is not None:
                faults += find_differences(sums, parse_lines(manifest["trial_balance"]))
        elif sum(1 for _ in rows) != manifest["rows"]:
            faults.append("rows are missing, or there are too many")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ExportError("export_damaged", f"{path} or its manifest cannot be read: {error}.") from error
    return manifest, faults
