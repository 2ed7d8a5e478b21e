"""Statements signed by their provider, as files: a bank writes one, its customer hands it on unchanged.

    LSST1 LF | canonical VaultPlain, with its provider's mark

The bank normalises its own export, so its rows, categories and ids of counterparties are what it signs; nobody else
could make them out. The ids are keyed by the bank for each account: stable from month to month, of no use elsewhere.
Never believe a file here beyond its signature: whether the key is a provider's is for the ledger to say.
"""

from typing import Final

from protocol.codec import CodecError, decode, encode
from protocol.crypto import Signer, calculate_hash
from protocol.ids import ZERO_DIGEST, Day, TimeMs
from protocol.money import Currency
from protocol.vault import VaultPlain, check_provider, sign_statement
from scoring.ingest.money import EXPONENTS
from scoring.ingest.read import read_statement
from scoring.ingest.statement import BadValue, ErrorCode, Statement, UnreadableFile
from scoring.rows import Provenance

MAGIC: Final = b"LSST1\n"


def is_signed_file(data: bytes) -> bool:
    """Whether bytes claim to be a signed statement."""
    return data.startswith(MAGIC)


def make_signed_file(
    data: bytes, *, name: str, provider: Signer, secret: bytes, account: str | None, time_ms: TimeMs
) -> bytes:
    """A provider's own export, normalised and signed. `secret` keys account and counterparties; `account` is the
    account's number, by default as the export names it. Raises StatementError."""
    blind = read_statement(data, name=name, counterparty_key=calculate_hash("counterparty-key", secret))
    number = "".join((account or blind.account_ref or "").split()).upper()
    if not number:
        raise UnreadableFile(ErrorCode.MISSING_COLUMN, "the file names no account: name it with --account", file=name)
    account_id = calculate_hash("provider-account", secret, number.encode())
    keyed = read_statement(data, name=name, counterparty_key=calculate_hash("counterparty-key", secret, account_id))
    plain = VaultPlain(
        currency=Currency(keyed.currency),
        opening_balance=keyed.opening_balance,
        first_day=Day(keyed.first_day),
        last_day=Day(keyed.last_day),
        provenance=int(keyed.provenance),
        salt_key=ZERO_DIGEST,  # the borrower's own comes in its place
        rows=keyed.rows,
    )
    return MAGIC + encode(sign_statement(provider, plain, account=account_id, time_ms=time_ms))


def read_signed_file(data: bytes, *, name: str) -> VaultPlain:
    """The signed statement of a file. Raises StatementError(broken_file) for one whose signature does not hold."""
    try:
        plain = decode(data[len(MAGIC) :], VaultPlain)
    except CodecError as error:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the signed statement is damaged", file=name) from error
    if plain.currency not in EXPONENTS:
        raise BadValue(ErrorCode.UNKNOWN_CURRENCY, f"{plain.currency} is no currency known here", file=name)
    if plain.provider is None or check_provider(plain) is not None:
        why = "its provider's signature does not hold: it was changed since"
        raise UnreadableFile(ErrorCode.BROKEN_FILE, why, file=name)
    return plain


def describe_signed(plain: VaultPlain) -> Statement:
    """A signed statement in the words of any other."""
    first = plain.rows[0] if plain.rows else None
    total_in = sum(row.amount for row in plain.rows if row.amount > 0)
    total_out = -sum(row.amount for row in plain.rows if row.amount < 0)
    return Statement(
        format="signed",
        currency=plain.currency,
        exponent=EXPONENTS[plain.currency],
        account_ref=None,
        holder=None,
        opening_balance=plain.opening_balance,
        closing_balance=plain.rows[-1].balance if first is not None else plain.opening_balance,
        first_day=plain.first_day,
        last_day=plain.last_day,
        provenance=Provenance(plain.provenance),
        rows=plain.rows,
        warnings=(),
        total_in=total_in,
        total_out=total_out,
    )
