"""The one door of ingest: bytes of a file in, a `Statement` out, or a refusal with file, line and reason.

    statement = read_statement(data, name="march.csv", counterparty_key=key)

The format is found from the content, never from the name. Work is bounded in time and memory (limits.py). Nothing
here opens a file: the caller brings the bytes.
"""

from scoring.ingest.assemble import assemble
from scoring.ingest.bankjson import read_json
from scoring.ingest.camt import read_camt
from scoring.ingest.draft import Draft
from scoring.ingest.limits import BYTES_MAX
from scoring.ingest.ofx import is_ofx, read_ofx
from scoring.ingest.statement import ErrorCode, Statement, StatementError, UnknownFormat, UnreadableFile, WarningCode
from scoring.ingest.swift import is_mt940, read_mt940
from scoring.ingest.table import count_chinese_headings, find_table, read_table
from scoring.ingest.text import decode, pick_delimiters, split_delimited
from scoring.ingest.workbook import CFB_MAGIC, ZIP_MAGIC, read_workbook

_FORMATS: tuple[tuple[str, str], ...] = (
    ("ofx", "OFX or QFX of one account, version 1 or 2"),
    ("mt940", "SWIFT MT940"),
    ("camt053", "ISO 20022 camt.053 of one account"),
    ("csv", "CSV with a heading line in English, German, French, Spanish, Italian, Dutch or Chinese"),
    ("alipay_csv", "Alipay (支付宝) CSV"),
    ("wechat", "WeChat Pay (微信支付) CSV or xlsx"),
    ("icbc", "ICBC (工商银行) CSV"),
    ("cmb", "CMB (招商银行) CSV"),
    ("boc", "BOC (中国银行) CSV"),
    ("bocom", "BOCOM (交通银行) CSV"),
    ("ccb", "CCB (建设银行) xls, xlsx or CSV"),
    ("plaid", "Plaid transactions JSON"),
    ("berlin_group", "Berlin Group NextGenPSD2 transactions JSON"),
)


def list_formats() -> tuple[tuple[str, str], ...]:
    """(code, description) of every format that can be read."""
    return _FORMATS


def read_statement(data: bytes, *, name: str, counterparty_key: bytes) -> Statement:
    """The statement in `data`. `name` is only shown in refusals; `counterparty_key` (16-64 bytes) keys the parties.

    Raises StatementError, and nothing else, whatever the bytes are.
    """
    try:
        return assemble(_read_draft(data), counterparty_key)
    except StatementError as error:
        error.file = shown_name(name)
        raise


def _read_draft(data: bytes) -> Draft:
    if len(data) > BYTES_MAX:
        raise UnreadableFile(ErrorCode.TOO_LARGE, f"the file is larger than {BYTES_MAX // 1024 // 1024} MiB")
    if not data.strip():
        raise UnreadableFile(ErrorCode.EMPTY_FILE, "the file is empty")
    if data.startswith((ZIP_MAGIC, CFB_MAGIC)):
        return _read_spreadsheet(data)
    if data.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"Rar!", b"\x1f\x8b", b"7z\xbc\xaf")):
        raise UnknownFormat(
            ErrorCode.UNSUPPORTED_FORMAT, "a PDF, picture or archive; export the statement as CSV, OFX, MT940 or Excel"
        )
    return _read_text(data)


def _read_spreadsheet(data: bytes) -> Draft:
    grids = read_workbook(data)
    for grid in grids:
        table = find_table(grid)
        if table is not None:
            return read_table(table)
    raise UnknownFormat(ErrorCode.UNKNOWN_FORMAT, "no sheet has a heading line of a statement we know")


def _read_text(data: bytes) -> Draft:
    failure: StatementError | None = None
    for encoding, text in decode(data):
        body = text.lstrip("\ufeff \t\r\n")
        if is_ofx(text):
            return _with_encoding(read_ofx(_latin(data, text, encoding)), encoding, True)
        if is_mt940(text):
            return _with_encoding(read_mt940(_latin(data, text, encoding)), encoding, True)
        if body.startswith(("{", "[", "<")):
            return _read_structured(data, body, text)
        for delimiter in pick_delimiters(text):
            try:
                grid = split_delimited(text, delimiter)
            except StatementError as error:
                failure = failure or error
                continue
            table = find_table(grid)
            if table is None:
                continue
            chinese_headings = count_chinese_headings(table) >= 2
            if encoding != "gb18030" or chinese_headings or _is_gb2312(data):
                return _with_encoding(read_table(table), encoding, not chinese_headings)
    raise failure or UnknownFormat(ErrorCode.UNKNOWN_FORMAT, "the content is no statement format we know", line=1)


def _read_structured(data: bytes, body: str, text: str) -> Draft:
    if body.startswith("<"):
        head = body[:2048].lower()
        if head.startswith("<!doctype html") or "<html" in head:
            raise UnknownFormat(ErrorCode.UNSUPPORTED_FORMAT, "a web page; export the statement itself", line=1)
        return read_camt(data)
    return read_json(text)


def _latin(data: bytes, text: str, encoding: str) -> str:
    """OFX and MT940 that are not UTF-8 are Windows-1252, unless every byte pair is common Chinese."""
    if encoding != "gb18030" or _is_gb2312(data):
        return text
    return data.decode("cp1252", errors="replace")


def _is_gb2312(data: bytes) -> bool:
    """Whether the text is in the common Chinese set: Western accents, being single bytes, fall outside it."""
    try:
        data.decode("gb2312")
    except UnicodeDecodeError:
        return False
    return True


def _with_encoding(draft: Draft, encoding: str, is_assumed: bool) -> Draft:
    if is_assumed and encoding in ("gb18030", "cp1252"):
        sentence = "The file is not UTF-8 and does not declare its encoding; Windows-1252 or GB18030 was assumed."
        draft.warn(WarningCode.ENCODING_ASSUMED, sentence)
    return draft


def shown_name(name: str) -> str:
    """The file's own name, without folders and without characters that could disturb a terminal."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char if char.isprintable() else "?" for char in plain)[:120] or "statement"
