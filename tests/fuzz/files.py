"""The files that borrowers bring: statements, and a firm's invoices."""

from collections.abc import Sequence

from scoring.ingest.invoices import read_invoices
from scoring.ingest.read import read_statement
from scoring.ingest.statement import StatementError
from scoring.invoices import calculate_invoice_features, decode_invoice, encode_invoice
from tests.fuzz.runner import TAKEN
from tests.scoring.ingest import test_invoice_files
from tests.scoring.ingest.test_ingest_safety import KEY, SEEDS


def feed_statement(data: bytes) -> str:
    """A bank statement in any format."""
    try:
        read_statement(data, name="f", counterparty_key=KEY)
    except StatementError as error:
        return str(error.code)
    return TAKEN


def make_statements() -> Sequence[bytes]:
    """One of each format."""
    return tuple(one if isinstance(one, bytes) else one.encode() for one in SEEDS.values())


def feed_invoices(data: bytes) -> str:
    """A firm's invoice list; what is taken has canonical bytes and features."""
    try:
        found = read_invoices(data, name="f", buyer_key=KEY)
    except StatementError as error:
        return str(error.code)
    for one in found.invoices:
        assert decode_invoice(encode_invoice(one)) == one, "an invoice that was read survives its canonical bytes"
    calculate_invoice_features(found.invoices, as_of=found.last_day + 1)
    return TAKEN


def make_invoice_lists() -> Sequence[bytes]:
    """A Chinese list and a European one, each in an encoding of its own."""
    return test_invoice_files.ZH.encode("gb18030"), test_invoice_files.ZH.encode(), test_invoice_files.EN.encode()
