"""A file of rows, written beside its name and moved there when it is whole, with the hash of what was written.

    with open_writer(path, "csv", columns) as writer: writer.write(row)

Cells of text that a spreadsheet would take for a formula get an apostrophe before them. pyarrow is imported for
Parquet alone. Never a row kept longer than a few thousand of them.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Protocol

import msgspec

from node.exports.columns import Column, Row

Format = Literal["csv", "jsonl", "parquet"]
ROWS_AT_ONCE: Final = 4_096
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets run (OWASP, CSV injection)."""


class ExportError(Exception):
    """An export that cannot be made; the code is stable, the sentence says what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class _Hashed(io.RawIOBase):
    """A file that hashes what passes."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self.digest.update(raw)
        self.size += len(raw)
        return self._file.write(raw)

    def tell(self) -> int:
        return self.size


class _Sink(Protocol):
    def write_rows(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


def guard_cell(value: object) -> object:
    """A text that no spreadsheet runs; everything else as it is."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value


class _Csv:
    """RFC 4180; an absent value is an empty cell, a flag is 1 or 0."""

    def __init__(self, file: _Hashed, columns: Sequence[Column]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)  # type: ignore[type-var]
        self._table = csv.writer(self._text)
        self._table.writerow([one.name for one in columns])

    def write_rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._table.writerow([int(one) if isinstance(one, bool) else guard_cell(one) for one in row])

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _JsonLines:
    """One object a line; a `json` column is the value itself."""

    def __init__(self, file: _Hashed, columns: Sequence[Column]) -> None:
        self._file, self._columns = file, columns

    def write_rows(self, rows: Sequence[Row]) -> None:
        lines = []
        for row in rows:
            pairs = zip(self._columns, row, strict=True)
            shown = {
                one.name: msgspec.Raw(v.encode()) if one.kind == "json" and v is not None else v for one, v in pairs
            }
            lines.append(msgspec.json.encode(shown))
        self._file.write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        """Nothing is held back."""


class _Parquet:
    """Apache Parquet, a row group for every few thousand rows."""

    def __init__(self, file: _Hashed, columns: Sequence[Column]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ExportError(
                "parquet_missing", "Parquet needs pyarrow: install liushui[parquet], or take --format csv or jsonl."
            ) from error
        kinds = {"text": pyarrow.string(), "json": pyarrow.string(), "int": pyarrow.int64(), "flag": pyarrow.bool_()}
        self._arrow = pyarrow
        self._schema = pyarrow.schema([(one.name, kinds[one.kind]) for one in columns])
        self._writer = pyarrow.parquet.ParquetWriter(pyarrow.PythonFile(file, mode="w"), self._schema)

    def write_rows(self, rows: Sequence[Row]) -> None:
        arrays = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


_SINKS: Final[dict[Format, Any]] = {"csv": _Csv, "jsonl": _JsonLines, "parquet": _Parquet}


class Writer:
    """Takes rows one by one."""

    def __init__(self, sink: _Sink, file: _Hashed) -> None:
        self._sink, self._file = sink, file
        self._rows: list[Row] = []
        self.rows = 0

    def write(self, row: Row) -> None:
        """Take a row; a few thousand are written at once."""
        self._rows.append(row)
        self.rows += 1
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._sink.write_rows(self._rows)
            self._rows = []

    def finish(self) -> None:
        """Everything is in the file."""
        self._flush()
        self._sink.close()

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._file.size

    @property
    def sha256(self) -> str:
        """Of the whole file; right once it is finished."""
        return self._file.digest.hexdigest()


@contextmanager
def open_writer(path: Path, kind: Format, columns: Sequence[Column]) -> Iterator[Writer]:
    """A writer whose file appears under its name when the block ends well, and not at all when it does not."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as raw:
            hashed = _Hashed(raw)
            writer = Writer(_SINKS[kind](hashed, columns), hashed)
            yield writer
            writer.finish()
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
    except OSError as error:
        raise ExportError("export_failed", f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def write_manifest(path: Path, manifest: dict[str, Any]) -> Path:
    """FILE.manifest.json, whole or not at all."""
    place = path.with_name(path.name + ".manifest.json")
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        part.replace(place)
    except OSError as error:
        raise ExportError("export_failed", f"{place} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
    return place
