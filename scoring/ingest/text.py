"""Bytes to text and text to a grid of cells that know their line. Never put meaning of columns here."""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from scoring.ingest.limits import CELL_BREAKS_MAX, CELL_CHARS_MAX, COLUMNS_MAX, LINES_MAX
from scoring.ingest.statement import ErrorCode, UnreadableFile

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 200


class GridRow(NamedTuple):
    """One line of a table: its 1-based line in the file (or row of the sheet) and its cells, stripped."""

    line: int
    cells: list[str]


Grid = list[GridRow]


def decode(data: bytes) -> Iterator[tuple[str, str]]:
    """(encoding, text) candidates, surest first; never yields a text with NUL or other control bytes.

    A byte-order mark decides. Without one: UTF-8, then GB18030, then Windows-1252 (which reads anything).
    Raises UnreadableFile `binary_content` or `bad_encoding`.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                text = data[len(bom) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise UnreadableFile(ErrorCode.BAD_ENCODING, f"the file is not the {encoding} it claims") from error
            _refuse_control(text)
            yield encoding, text
            return
    head = data.translate(None, b"\t\n\r\x0b\x0c\x1a")
    if head and min(head) < 0x20:
        line = next(number for number, each in enumerate(data.split(b"\n"), start=1) if _has_control(each))
        raise UnreadableFile(ErrorCode.BINARY_CONTENT, "the file holds NUL or control bytes", line=line)
    yielded = False
    for encoding in ("utf-8", "gb18030", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        yielded = True
        yield encoding, text
        if encoding == "utf-8":
            return
    if not yielded:
        raise UnreadableFile(ErrorCode.BAD_ENCODING, "the text is neither UTF-8 nor GB18030 nor Windows-1252")


def _has_control(line: bytes) -> bool:
    plain = line.translate(None, b"\t\r\x0b\x0c\x1a")
    return bool(plain) and min(plain) < 0x20


def _refuse_control(text: str) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        if any(ord(char) < 0x20 and char not in "\t\r\x0b\x0c\x1a" for char in line):
            raise UnreadableFile(ErrorCode.BINARY_CONTENT, "the file holds NUL or control bytes", line=number)


def split_delimited(text: str, delimiter: str) -> Grid:
    """The cells of a CSV text. Raises UnreadableFile: `too_large`, `broken_file` (a quote never closed)."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=False)
    grid: Grid = []
    start = 1
    try:
        for cells in reader:
            if len(grid) >= LINES_MAX:
                raise UnreadableFile(ErrorCode.TOO_LARGE, f"more than {LINES_MAX} lines", line=start)
            if len(cells) > COLUMNS_MAX:
                raise UnreadableFile(ErrorCode.TOO_LARGE, f"more than {COLUMNS_MAX} columns", line=start)
            for cell in cells:
                if len(cell) > CELL_CHARS_MAX or cell.count("\n") > CELL_BREAKS_MAX:
                    raise UnreadableFile(ErrorCode.BROKEN_FILE, "a quoted field is never closed", line=start)
            grid.append(GridRow(start, [clean_cell(cell) for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the table's quoting is broken", line=start) from error
    return grid


def pick_delimiters(text: str) -> list[str]:
    """The delimiters that occur in the first lines, commonest first."""
    sample = "\n".join(text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES])
    counts = {each: sample.count(each) for each in _DELIMITERS}
    return sorted((each for each in _DELIMITERS if counts[each]), key=lambda each: -counts[each])


def clean_cell(cell: str) -> str:
    """The cell without padding: blanks, tabs and the ="..." with which some exports keep Excel from guessing."""
    plain = cell.replace("\u3000", " ").replace("\xa0", " ").strip().strip("\ufeff").strip()
    if plain.startswith('="') and plain.endswith('"') and len(plain) >= 3:
        plain = plain[2:-1].strip()
    return plain
