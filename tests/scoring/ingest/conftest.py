"""Small statement files made in memory, and the one call that reads them."""

import io
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scoring.ingest.read import read_statement
from scoring.ingest.statement import Statement, StatementError

Cell = str | int | float
KEY = bytes(range(32))
SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "statements"


@pytest.fixture
def read() -> Callable[..., Statement]:
    """Reads text or bytes as a statement file."""

    def read_bytes(data: str | bytes, name: str = "made.txt", key: bytes = KEY) -> Statement:
        return read_statement(data.encode() if isinstance(data, str) else data, name=name, counterparty_key=key)

    return read_bytes


@pytest.fixture
def refusal(read: Callable[..., Statement]) -> Callable[..., StatementError]:
    """The StatementError that a file is refused with; a file that is read fails the test."""

    def refuse(data: str | bytes, name: str = "made.txt") -> StatementError:
        with pytest.raises(StatementError) as caught:
            read(data, name)
        return caught.value

    return refuse


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """The bytes of a real sample beside the repository, or a skip."""

    def load(name: str) -> bytes:
        path = SAMPLES / name
        if not path.exists():
            pytest.skip(f"the real sample {name} is not beside the repository (../shared/data/statements)")
        return path.read_bytes()

    return load


@pytest.fixture
def make_xlsx() -> Callable[..., bytes]:
    """An xlsx workbook with one sheet of texts (inline) and numbers (as written)."""

    def make(rows: Sequence[Sequence[Cell]], sheet_xml: str | None = None) -> bytes:
        lines = []
        for number, cells in enumerate(rows, start=1):
            parts = []
            for index, cell in enumerate(cells):
                ref = f"{chr(65 + index)}{number}"
                if isinstance(cell, str):
                    text = cell.replace("&", "&amp;").replace("<", "&lt;")
                    parts.append(f'<c r="{ref}" t="inlineStr"><is><t>{text}</t></is></c>')
                else:
                    parts.append(f'<c r="{ref}"><v>{cell!r}</v></c>')
            lines.append(f'<row r="{number}">{"".join(parts)}</row>')
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        sheet = sheet_xml or f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
        package = "http://schemas.openxmlformats.org/package/2006"
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "[Content_Types].xml",
                f'<Types xmlns="{package}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',  # noqa: E501
            )
            archive.writestr(
                "_rels/.rels",
                f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="{rel}/officeDocument" '
                'Target="xl/workbook.xml"/></Relationships>',
            )
            archive.writestr(
                "xl/workbook.xml",
                f'<workbook xmlns="{main}" xmlns:r="{rel}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets>'
                "</workbook>",
            )
            archive.writestr(
                "xl/_rels/workbook.xml.rels",
                f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="{rel}/worksheet" '
                'Target="worksheets/sheet1.xml"/></Relationships>',
            )
            archive.writestr("xl/worksheets/sheet1.xml", sheet)
        return out.getvalue()

    return make


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def _biff(rows: Sequence[Sequence[Cell]]) -> bytes:
    """A BIFF8 workbook stream ([MS-XLS]): globals with one sheet, then LABEL and NUMBER cells."""
    cells = b""
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            place = struct.pack("<HHH", row, column, 0)
            if isinstance(value, str):
                text = value.encode("utf-16-le")
                cells += _record(0x0204, place + struct.pack("<HB", len(text) // 2, 1) + text)
            else:
                cells += _record(0x0203, place + struct.pack("<d", value))
    bof = struct.pack("<HHHHII", 0x0600, 0, 0, 0, 0, 0)
    name = "S".encode("utf-16-le")
    first = _record(0x0809, bof[:2] + struct.pack("<H", 0x0005) + bof[4:])
    bound_length = 4 + 4 + 2 + 2 + len(name)
    offset = len(first) + bound_length + 4
    bound = _record(0x0085, struct.pack("<IHBB", offset, 0, 1, 1) + name)
    sheet = _record(0x0809, bof[:2] + struct.pack("<H", 0x0010) + bof[4:]) + cells + _record(0x000A, b"")
    return first + bound + _record(0x000A, b"") + sheet


@pytest.fixture
def make_xls() -> Callable[..., bytes]:
    """A legacy xls workbook: a BIFF8 stream in a compound file ([MS-CFB], version 3, 512-byte sectors)."""

    def make(rows: Sequence[Sequence[Cell]]) -> bytes:
        stream = _biff(rows)
        stream += bytes(max(4096, -(-len(stream) // 512) * 512) - len(stream))
        count = len(stream) // 512
        fat = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, count + 2), 0xFFFFFFFE]
        assert len(fat) <= 128
        fat += [0xFFFFFFFF] * (128 - len(fat))

        def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
            raw = name.encode("utf-16-le") + b"\0\0" if name else b""
            links = struct.pack("<HBBIII", len(raw), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
            return raw.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", start, size)

        directory = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry("Workbook", 2, 0xFFFFFFFF, 2, len(stream))
        directory += entry("", 0, 0xFFFFFFFF, 0, 0) * 2
        header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        header += bytes(6) + struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
        header += struct.pack("<I", 0) + b"\xff" * 4 * 108
        return header + struct.pack("<128I", *fat) + directory + stream

    return make
