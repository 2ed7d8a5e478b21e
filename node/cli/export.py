"""`liushui export`: what the ledger holds and did, as files with a manifest. Never a row's content here."""

import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from node.cli.common import UnverifiedError, fail, json_option, node_option, print_facts, print_json

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.exports.columns import Row, What
    from node.exports.writers import Format, Writer

WHATS: Final = ("loans", "events", "postings", "transactions", "accounts", "balances")
FORMATS: Final = ("csv", "jsonl", "parquet")
TELL_EVERY: Final = 10_000
TIMEOUT_S: Final = 120.0


class Wish(NamedTuple):
    """What is exported, how and where to."""

    what: "What"
    kind: "Format"
    out: Path
    quiet: bool


@click.command()
@click.option("--what", type=click.Choice(WHATS), default=None, help="Which table.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", show_default=True, help="Of the file.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="File to write.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Read a node's database instead of asking a node; the node may be running.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@click.option(
    "--verify",
    "verified",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    default=None,
    help="Check an export against its manifest instead; postings are added up to the trial balance.",
)
@node_option
@json_option
def export(
    *,
    what: str | None,
    kind: str,
    out: Path | None,
    data_dir: Path | None,
    overwrite: bool,
    verified: Path | None,
    node_url: str,
    as_json: bool,
) -> None:
    """Write loans, events, postings, transactions, accounts or balances into a file, with a manifest beside it.

    The manifest names height, root, number of rows and SHA-256, and for postings the trial balance of that height.
    Money is in minor units. The file appears when it is whole. Exit code 4 when a file does not verify.
    """
    from node.exports.writers import ExportError

    try:
        if verified is not None:
            _verify(verified, as_json=as_json)
            return
        if what is None or out is None:
            raise click.UsageError("Give --what and --out, or --verify FILE.")
        if out.exists() and not overwrite:
            fail("out_exists", f"{out} is there already: name another file, or give --overwrite.")
        wish = Wish(what, kind, out, as_json or not sys.stderr.isatty())  # type: ignore[arg-type]
        manifest = _export_remote(wish, node_url) if data_dir is None else _export_database(wish, data_dir)
    except ExportError as error:
        fail(error.code, error.sentence)
    if as_json:
        print_json(manifest)
        return
    print_facts((name.replace("_", " "), value) for name, value in manifest.items() if name != "trial_balance")
    click.echo(f"Written to {out}, with its manifest beside it.")


def _verify(path: Path, *, as_json: bool) -> None:
    from node.exports.reconcile import check_export

    manifest, faults = check_export(path)
    if as_json:
        print_json({"holds": not faults, "faults": faults, "manifest": manifest})
        if faults:
            raise click.exceptions.Exit(UnverifiedError.exit_code)
        return
    if faults:
        raise UnverifiedError("export_differs", f"{path} does not hold: {'; '.join(faults[:5])}.")
    more = " and adds up to the trial balance" if manifest.get("trial_balance") else ""
    click.echo(f"{path} is the export of height {manifest['height']}{more}.")


def _export_database(wish: Wish, data_dir: Path) -> dict[str, Any]:
    from node.exports.columns import COLUMNS
    from node.exports.database import DatabaseSource
    from node.exports.writers import open_writer, write_manifest
    from node.opening import DATABASE, StartError, read_genesis

    try:
        genesis = read_genesis(data_dir / "genesis.json")
    except StartError as error:
        fail(error.code, error.sentence)
    with DatabaseSource(data_dir / DATABASE, genesis) as source:
        with open_writer(wish.out, wish.kind, COLUMNS[wish.what]) as writer:
            for row in source.read(wish.what):
                _write(writer, row, wish)
        trial = None
        if wish.what == "postings" and not source.base:
            totals = source.read_trial_balance().items()
            trial = [
                _make_line(currency, book.name.lower(), sum_) for currency, of in totals for book, sum_ in of.items()
            ]
        manifest = _make_manifest(wish, writer, source, trial)
    write_manifest(wish.out, manifest)
    return manifest


def _make_line(currency: str, book: str, sum_: int) -> dict[str, Any]:
    return {"currency": currency, "book": book, "debit": max(0, sum_), "credit": max(0, -sum_)}


def _export_remote(wish: Wish, node_url: str) -> dict[str, Any]:
    from node.cli.remote import run
    from node.exports.columns import COLUMNS
    from node.exports.remote import RemoteSource
    from node.exports.writers import open_writer, write_manifest

    async def work(client: "NodeClient") -> dict[str, Any]:
        source = RemoteSource(client)
        await source.open()
        with open_writer(wish.out, wish.kind, COLUMNS[wish.what]) as writer:
            rows: AsyncIterator[Row] = source.read(wish.what)
            async for row in rows:
                _write(writer, row, wish)
        trial = await source.read_trial_balance() if wish.what == "postings" else None
        return _make_manifest(wish, writer, source, trial) | {"heights_read": list(source.heights)}

    manifest = run(node_url, work)
    write_manifest(wish.out, manifest)
    return manifest


def _write(writer: "Writer", row: "Row", wish: Wish) -> None:
    writer.write(row)
    if not wish.quiet and not writer.rows % TELL_EVERY:
        click.echo(f"\r{writer.rows} rows", err=True, nl=False)


def _make_manifest(wish: Wish, writer: "Writer", source: Any, trial: Iterable[dict[str, Any]] | None) -> dict[str, Any]:
    from node.exports.columns import COLUMNS

    return {
        "what": wish.what,
        "format": wish.kind,
        "file": wish.out.name,
        "chain_id": source.chain_id.hex(),
        "height": source.height,
        "exec_root": source.exec_root.hex(),
        "history_begins_after": source.base,
        "rows": writer.rows,
        "bytes": writer.size,
        "sha256": writer.sha256,
        "columns": [one.name for one in COLUMNS[wish.what]],
        "trial_balance": trial,
    }
