"""Excel files (xlsx and the older xls) to a grid of texts, within bounds of memory.

A workbook is unpacked here under a limit and packed anew without compression before calamine sees it, so that no
part can be larger than it says. Numbers leave as exact decimal text, never as floats.
"""

import io
import re
import zipfile
import zlib
from datetime import date, datetime, time, timedelta

from python_calamine import CalamineError, CalamineWorkbook

from scoring.ingest.limits import (
    CELL_CHARS_MAX,
    COLUMNS_MAX,
    LINES_MAX,
    SHEET_CELLS_MAX,
    UNZIPPED_BYTES_MAX,
    ZIP_ENTRIES_MAX,
)
from scoring.ingest.money import float_text
from scoring.ingest.statement import BadValue, ErrorCode, StatementError, UnreadableFile
from scoring.ingest.text import Grid, GridRow, clean_cell

ZIP_MAGIC = b"PK\x03\x04"
CFB_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_CELL_REF = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{0,8})(\d{1,10})["']""")
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def read_workbook(data: bytes) -> list[Grid]:
    """The grids of all sheets that hold anything. Raises UnreadableFile or BadValue."""
    if data.startswith(ZIP_MAGIC):
        data = _repack(data)
    try:
        return _read_sheets(data)
    except StatementError:
        raise
    except (CalamineError, ValueError, OSError, OverflowError, MemoryError) as error:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the workbook cannot be read") from error
    except BaseException as error:
        # A panic inside calamine surfaces as pyo3's PanicException, which does not derive from Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the workbook cannot be read") from error


def _read_sheets(data: bytes) -> list[Grid]:
    grids: list[Grid] = []
    with CalamineWorkbook.from_filelike(io.BytesIO(data)) as workbook:
        for index in range(min(len(workbook.sheet_names), 20)):
            sheet = workbook.get_sheet_by_index(index)
            if sheet.total_height > LINES_MAX:
                raise UnreadableFile(ErrorCode.TOO_LARGE, f"a sheet of more than {LINES_MAX} rows")
            offset = sheet.start[0] if sheet.start is not None else 0
            grid: Grid = []
            for number, cells in enumerate(sheet.to_python(skip_empty_area=True), start=offset + 1):
                texts = [_cell_text(cell, number) for cell in cells]
                if any(texts[COLUMNS_MAX:]):
                    raise UnreadableFile(ErrorCode.TOO_LARGE, f"more than {COLUMNS_MAX} columns", line=number)
                grid.append(GridRow(number, texts[:COLUMNS_MAX]))
            if any(any(row.cells) for row in grid):
                grids.append(grid)
    return grids


def _cell_text(cell: object, line: int) -> str:
    if isinstance(cell, str):
        if len(cell) > CELL_CHARS_MAX:
            raise UnreadableFile(ErrorCode.TOO_LARGE, "a cell is too long", line=line)
        return clean_cell(cell)
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float):
        try:
            return float_text(cell)
        except ValueError:
            raise BadValue(ErrorCode.BAD_AMOUNT, "a cell is not a number", line=line) from None
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S") if cell.time() != time() else cell.strftime("%Y-%m-%d")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, time):
        return cell.strftime("%H:%M:%S")
    if isinstance(cell, timedelta):
        seconds = cell.days * 86400 + cell.seconds
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return str(cell) if cell is not None else ""


def _repack(data: bytes) -> bytes:
    """The same parts stored without compression; refuses bombs, entities and sparse sheets beyond the limits."""
    out = io.BytesIO()
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
            entries = source.infolist()
            if len(entries) > ZIP_ENTRIES_MAX:
                raise UnreadableFile(ErrorCode.TOO_LARGE, "the workbook has too many parts")
            names: set[str] = set()
            for entry in entries:
                if entry.filename in names or entry.flag_bits & 1:
                    raise UnreadableFile(ErrorCode.BROKEN_FILE, "the workbook is encrypted or has a part twice")
                names.add(entry.filename)
                if entry.is_dir():
                    continue
                with source.open(entry) as part:
                    content = part.read(UNZIPPED_BYTES_MAX - total + 1)
                total += len(content)
                if total > UNZIPPED_BYTES_MAX:
                    raise UnreadableFile(ErrorCode.TOO_LARGE, "the workbook unpacks to more than a statement can be")
                _check_part(entry.filename, content)
                target.writestr(zipfile.ZipInfo(entry.filename), content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the workbook cannot be unpacked") from error
    return out.getvalue()


def _check_part(name: str, content: bytes) -> None:
    if not name.lower().endswith((".xml", ".rels")):
        return
    if _DOCTYPE.search(content):
        raise UnreadableFile(ErrorCode.FORBIDDEN_XML, "the workbook's XML declares entities or a document type")
    if "worksheets/" not in name.lower():
        return
    height = width = 1
    for match in _CELL_REF.finditer(content):
        height = max(height, int(match.group(2)))
        column = 0
        for letter in match.group(1).upper():
            column = column * 26 + letter - 64
        width = max(width, column)
    if height * width > SHEET_CELLS_MAX or height > LINES_MAX:
        raise UnreadableFile(ErrorCode.TOO_LARGE, "a sheet spans more cells than a statement can have")
