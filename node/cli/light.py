"""`liushui light`: reads that trust no node. They begin from the genesis file, follow the validators, verify, remember.

What is verified and how is `node.client.light`'s; words for rows are `node.cli.lightwords`'. A lie ends a command with
exit code 4. Never a figure here that does not follow from proved rows.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from node.cli.common import (
    NODE_DEFAULT,
    NODE_ENVIRONMENT,
    FailureError,
    UnreachableError,
    UnverifiedError,
    check_url,
    fail,
    json_option,
    passphrase_options,
    print_facts,
    print_json,
)
from node.cli.typed import DIRECTORY, FILE, read_id

if TYPE_CHECKING:
    from node.client.light import LightReader
    from protocol.crypto import KeySigner
    from protocol.genesis import Genesis
    from protocol.ledger.state import Place
    from protocol.rowproof import VerifiedRows

AGE_MAX_S: Final = 3_600
Follow = Callable[[dict[Any, Any]], Sequence[Any]]
Tell = Callable[["Genesis", dict[Any, Any]], list[tuple[str, object]] | str]


class Source(NamedTuple):
    """Where a command reads, and what it leaves."""

    genesis_path: Path
    state_path: Path | None
    urls: tuple[str, ...]
    age_max_s: int
    out: Path | None
    key_path: Path | None
    directory: Path | None
    passphrase_file: Path | None
    passphrase_fd: int | None
    as_json: bool


def light_options(function: Callable[..., None]) -> Callable[..., None]:
    """What all verbs share, as one parameter `source`."""

    @functools.wraps(function)
    def inner(**given: Any) -> None:
        own = {name: given.pop(name) for name in Source._fields}
        function(source=Source(**own), **given)

    options = (
        click.option(
            "--genesis", "genesis_path", type=FILE, required=True, envvar="LIUSHUI_GENESIS",
            help="The network's genesis.json, from a place you trust.",
        ),
        click.option(
            "--state", "state_path", type=FILE, default=None,
            help="What was seen final so far; by default the genesis' name with .light.",
        ),
        click.option(
            "--node", "urls", multiple=True, envvar=NODE_ENVIRONMENT, callback=_check_urls,
            help=f"Address of a node's API; may be given several times. By default {NODE_DEFAULT}.",
        ),
        click.option(
            "--max-age", "age_max_s", type=click.IntRange(0, 10**9), default=AGE_MAX_S, show_default=True,
            help="Refuse a state whose block is older by this machine's clock, in seconds; 0 takes any.",
        ),
        click.option("--out", type=FILE, default=None, help="Keep the proof in this file, for liushui verify."),
        click.option(
            "--key", "key_path", type=FILE, default=None,
            help="Sign the request with this key file: for rows that hold your own tag.",
        ),
        click.option(
            "--officer-dir", "directory", type=DIRECTORY, default=None,
            help="Sign the request with the officer key of this directory: for members.",
        ),
        passphrase_options,
        json_option,
    )  # fmt: skip
    made: Callable[..., None] = inner
    for option in reversed(options):
        made = option(made)
    return made


def _check_urls(context: click.Context, parameter: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_url(context, parameter, url) for url in urls or (NODE_DEFAULT,))


@click.group()
def light() -> None:
    """Read balances, loans and pools with a proof that the validators signed them; no node is trusted."""


@light.command()
@light_options
def status(*, source: Source) -> None:
    """Say how far the network has come, and who validates, as a quorum signed it.

    Example: liushui light status --genesis genesis.json --node http://127.0.0.1:7400
    """
    from node.cli.lightwords import STATUS, tell_status

    _show(source, STATUS, tell_status, what="state")


@light.command()
@click.argument("account_id", metavar="ACCOUNT")
@light_options
def account(*, source: Source, account_id: str) -> None:
    """Show what ACCOUNT holds; with its own --key, its credential too.

    Example: liushui light account ACCOUNT --genesis genesis.json
    """
    from node.cli.lightwords import find_account_places, tell_account

    key = read_id(account_id, "an account")
    signed = source.key_path is not None or source.directory is not None

    def tell(genesis: "Genesis", rows: dict[Any, Any]) -> list[tuple[str, object]] | str:
        return tell_account(genesis, key, rows)

    _show(source, lambda genesis: find_account_places(genesis, key, signed=signed), tell)


@light.command()
@click.argument("loan_id", metavar="LOAN")
@light_options
def loan(*, source: Source, loan_id: str) -> None:
    """Show where LOAN stands: what is owed, what was paid, how late it was.

    Example: liushui light loan LOAN --genesis genesis.json
    """
    from node.cli.lightwords import follow_loan, tell_loan
    from protocol.ledger.state import LOANS

    place = (LOANS.number, bytes(read_id(loan_id, "a loan")))
    _show(source, [place], tell_loan, what="loan", follow=follow_loan)


@light.command()
@click.argument("pool_id", metavar="POOL")
@light_options
def pool(*, source: Source, pool_id: str) -> None:
    """Show what POOL has: cash, loans, goods, cover, shares.

    Example: liushui light pool POOL --genesis genesis.json
    """
    from node.cli.lightwords import follow_pool, tell_pool
    from protocol.ledger.state import POOLS

    place = (POOLS.number, bytes(read_id(pool_id, "a pool")))
    _show(source, [place], tell_pool, what="pool", follow=follow_pool)


@light.command()
@click.argument("product_id", metavar="PRODUCT")
@light_options
def product(*, source: Source, product_id: str) -> None:
    """Show the main terms of PRODUCT, and whose it is.

    Example: liushui light product PRODUCT --genesis genesis.json
    """
    from node.cli.lightwords import follow_product, tell_product
    from protocol.ledger.state import PRODUCTS

    place = (PRODUCTS.number, bytes(read_id(product_id, "a product")))
    _show(source, [place], tell_product, what="product", follow=follow_product)


@light.command()
@click.argument("proposal_id", metavar="PROPOSAL")
@light_options
def proposal(*, source: Source, proposal_id: str) -> None:
    """Show where PROPOSAL stands with the validators.

    Example: liushui light proposal PROPOSAL --genesis genesis.json
    """
    from node.cli.lightwords import follow_proposal, tell_proposal
    from protocol.ledger.state import PROPOSALS

    place = (PROPOSALS.number, bytes(read_id(proposal_id, "a proposal")))
    _show(source, [place], tell_proposal, what="proposal", follow=follow_proposal)


@light.command()
@click.argument("tag", metavar="TAG")
@light_options
def exposure(*, source: Source, tag: str) -> None:
    """Show what the person or firm behind TAG owes to all lenders; for members that validate or observe, who sign.

    Example: liushui light exposure TAG --genesis genesis.json --officer-dir mynet/regulator
    """
    from node.cli.lightwords import tell_exposure
    from protocol.ledger.state import EXPOSURES

    place = (EXPOSURES.number, bytes(read_id(tag, "a subject's tag")))
    _show(source, [place], tell_exposure, what="subject")


@light.command()
@click.argument("table")
@click.argument("key")
@light_options
def row(*, source: Source, table: str, key: str) -> None:
    """Show any row: TABLE by its name, KEY in hexadecimal digits, or - for a table of one row.

    Example: liushui light row members ACCOUNT --genesis genesis.json
    """
    from node.cli.lightwords import tell_row
    from protocol.ledger.state import TABLES

    numbers = {one.name: number for number, one in TABLES.items()}
    if table not in numbers:
        fail("table_unknown", f"{table!r} is no table; there are {', '.join(numbers)}.")
    try:
        raw = b"" if key == "-" else bytes.fromhex(key)
    except ValueError:
        fail("malformed_id", f"{key!r} is no key: give hexadecimal digits, or - for a table of one row.")
    _show(source, [(numbers[table], raw)], tell_row, what="row")


# ---------------------------------------------------------------------- reading and showing


def _show(
    source: Source,
    places: "Sequence[Place] | Callable[[Genesis], Sequence[Place]]",
    tell: Tell,
    *,
    what: str = "",
    follow: Follow = lambda _rows: (),
) -> None:
    from node.cli.remote import read_genesis
    from node.client.light import decode_rows

    genesis = read_genesis(source.genesis_path)
    wanted = tuple(places(genesis) if callable(places) else places)
    reader, found = _read(source, genesis, wanted, follow)
    _check_age(source, found)
    if source.out is not None:
        _keep(source.out, reader.raw)
    rows = decode_rows(found)
    told = f"There is no such {what}." if what and rows[wanted[0]] is None else tell(genesis, rows)
    if source.as_json:
        print_json(_make_json(found, reader, rows))
        return
    if isinstance(told, str):
        click.echo(told)
    else:
        print_facts(told)
    quorum = f"by {len(found.signers)} of {found.validators} validators"
    click.echo(f"verified at height {found.height} {quorum}: {', '.join(found.signers)}")
    for lie in reader.lies:
        click.echo(
            f"{lie.url} answered falsely and was not believed: {lie.fault.sentence} [{lie.fault.code}]", err=True
        )
    for failure in reader.failures:
        click.echo(f"{failure.url} answered nothing: {failure.error.sentence} [{failure.error.code}]", err=True)


def _read(
    source: Source, genesis: "Genesis", places: "Sequence[Place]", follow: Follow
) -> "tuple[LightReader, VerifiedRows]":
    """The latest proved rows; what they show to be final is remembered before anything is shown."""
    import asyncio
    import os

    from node.cli import remote
    from node.cli.common import pick_language
    from node.client.http import ClientError, NodeUnreachable
    from node.client.light import LightError, LightReader
    from node.client.lightstate import LightState

    path = source.state_path or source.genesis_path.with_name(source.genesis_path.name + ".light")
    state = LightState(path, genesis)
    signer = _open_signer(source)
    try:
        reader = LightReader(
            source.urls,
            genesis,
            state.load(),
            now_ms=remote.read_clock_ms,
            signer=signer,
            language=pick_language(os.environ),
        )
        found = asyncio.run(reader.read_on(places, follow, whole=source.out is not None))
        state.save(reader.known)
    except LightError as error:
        raise UnverifiedError(error.code, error.sentence) from error
    except NodeUnreachable as error:
        raise UnreachableError(error.code, error.sentence) from error
    except ClientError as error:
        if error.code == "signature_missing":
            fail(error.code, "Such rows are proved to whom they concern alone: sign with --key or --officer-dir.")
        raise FailureError(error.code, error.sentence) from error
    return reader, found


def _open_signer(source: Source) -> "KeySigner | None":
    from node.cli.remote import open_key
    from node.cli.sign import read_officer_seed
    from protocol.crypto import KeySigner

    if source.key_path is not None and source.directory is not None:
        raise click.UsageError("Give --key or --officer-dir, not both.")
    if source.key_path is not None:
        return KeySigner(open_key(source.key_path, source.passphrase_file, source.passphrase_fd))
    return None if source.directory is None else KeySigner(read_officer_seed(source.directory))


def _check_age(source: Source, found: "VerifiedRows") -> None:
    """End the command when the newest block that any node shows is old: newer ones may be withheld."""
    from node.cli.remote import read_clock_ms

    age_s = (read_clock_ms() - found.last.time_ms) // 1_000
    if source.age_max_s and age_s > source.age_max_s:
        raise UnverifiedError(
            "light_stale",
            f"The newest block that was shown is {age_s} s old: the network stands, the nodes asked are behind or hide"
            " what came later, or this machine's clock is wrong. Ask other nodes, or raise --max-age.",
        )


def _keep(path: Path, raw: bytes) -> None:
    try:
        path.write_bytes(raw)
    except OSError as error:
        fail("file_unwritable", f"{path} cannot be written: {error.strerror}.")


def _make_json(found: "VerifiedRows", reader: "LightReader", rows: dict[Any, Any]) -> dict[str, Any]:
    from node.cli.lightwords import format_time, plain
    from protocol.ledger.state import TABLES

    return {
        "verified": True,
        "height": found.height,
        "named_by_header": found.header.height,
        "header_time": format_time(found.last.time_ms),
        "epoch": found.last.epoch,
        "signed_by": list(found.signers),
        "validators": found.validators,
        "rows": [
            {"table": TABLES[number].name, "key": key.hex(), "row": plain(rows[number, key])} for number, key in rows
        ],
        "lies": [{"node": one.url, "code": one.fault.code, "sentence": one.fault.sentence} for one in reader.lies],
        "silent": [{"node": one.url, "code": one.error.code} for one in reader.failures],
    }
