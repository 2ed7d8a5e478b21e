"""Values as people type them on the command line: ids, dates, amounts, evidence. Never a command or a request here."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.common import fail

if TYPE_CHECKING:
    from protocol.ids import ObjectId

AMOUNT: Final = click.IntRange(1, 2**53 - 1)
AMOUNT_OR_NOTHING: Final = click.IntRange(0, 2**53 - 1)
PPM: Final = click.IntRange(0, 10_000_000)
FILE: Final = click.Path(dir_okay=False, path_type=Path)
DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
_UNITS_S: Final = {"m": 60, "h": 3_600, "d": 86_400}
_SECONDS_MAX: Final = 366 * 86_400


def read_time(text: str) -> int:
    """Seconds of 30m, 12h or 7d."""
    digits, unit = text[:-1], _UNITS_S.get(text[-1:])
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= 9
    if unit is None or not plain or not 1 <= int(digits) * unit <= _SECONDS_MAX:
        raise click.BadParameter(f"{text!r} is not a time like 30m, 12h or 7d, up to a year.")
    return int(digits) * unit


def read_id(text: str, what: str) -> "ObjectId":
    """An id as typed, or the end of the command."""
    from node.cli.remote import check_hex
    from protocol.ids import ObjectId

    return ObjectId(bytes.fromhex(check_hex(text, what)))


def read_evidence(path: Path | None, digest: str | None, *, flag: str = "--evidence") -> Any:
    """The SHA-256 of a file, or the hash as typed; the ledger keeps no more of it."""
    import hashlib

    from node.cli.remote import check_hex
    from protocol.ids import Digest

    if (path is None) == (digest is None):
        raise click.UsageError(f"Give {flag} FILE or {flag}-hash HEX.")
    if digest is not None:
        return Digest(bytes.fromhex(check_hex(digest, "what it rests on")))
    assert path is not None, "one of the two is given"
    try:
        with path.open("rb") as file:
            return Digest(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")


def evidence_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--evidence FILE` or `--evidence-hash HEX`, as two parameters for `read_evidence`."""
    function = click.option(
        "--evidence-hash", "digest", default=None, metavar="HEX", help="The SHA-256 of it, 64 hexadecimal digits."
    )(function)
    return click.option(
        "--evidence", "evidence", type=FILE, default=None, help="A file it rests on; only its SHA-256 is sent."
    )(function)


def day_option(flag: str, name: str, help_text: str, *, required: bool = True) -> Callable[[Any], Any]:
    """A date like 2027-01-31 as a day's number."""
    return click.option(
        flag, name, metavar="YYYY-MM-DD", required=required, default=None, callback=_check_day, help=help_text
    )


def _check_day(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    from datetime import date

    try:
        return None if value is None else date.fromisoformat(value).toordinal()
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a date like 2027-01-31.") from error
