"""`liushui inspect`, `check` and `rollback`: a data directory, told, examined, and made anew. Never a check here."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import UnverifiedError, fail, json_option, print_facts, print_json, print_table

if TYPE_CHECKING:
    from node.check import CheckReport
    from node.rebuild import Rebuilt
    from protocol.genesis import Genesis
    from protocol.ids import Height

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    envvar="LIUSHUI_DATA",
    help="A node's data directory.",
)


@click.command()
@data_dir_option
@json_option
def inspect(*, data_dir: Path, as_json: bool) -> None:
    """Say what lies in a data directory: heights, roots, votes, stops, snapshots, sizes. Changes nothing.

    Works beside a running node, too; a damaged part is told as such, and the others all the same.
    """
    from node.examine import examine

    told = examine(data_dir)
    if as_json:
        print_json(told)
        return
    for name, part in told.items():
        if not isinstance(part, dict):
            click.echo(f"{name.replace('_', ' ')}: {_word(part)}")
            continue
        click.echo(f"\n{name.replace('_', ' ')}")
        print_facts((f"  {key.replace('_', ' ')}", text) for key, text in _flatten(part))


def _flatten(part: dict[str, Any]) -> list[tuple[str, str | None]]:
    rows: list[tuple[str, str | None]] = []
    for key, value in part.items():
        if key.endswith("time_ms") and value:
            rows.append((key[:-3], datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds")))
        elif isinstance(value, dict):
            rows += [(f"{key} {inner}", _word(one)) for inner, one in value.items()]
        elif isinstance(value, list):
            rows += [(key, ", ".join(f"{k} {_word(v)}" for k, v in one.items()) if isinstance(one, dict) else one)
                     for one in value] or [(key, "none")]  # fmt: skip
        else:
            rows.append((key, None if value is None else _word(value)))
    return rows


def _word(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@click.command()
@data_dir_option
@click.option("--repair", is_flag=True, help="Make the database anew from what is whole; a start fetches the rest.")
@json_option
def check(*, data_dir: Path, repair: bool, as_json: bool) -> None:
    """Check that a node's database is whole: pages, chain, batches, receipts, roots, proofs, indexes and books.

    Exit code 4 when something does not hold. With --repair the node must be stopped: everything up to the first block
    or batch that is lost is executed again into a new file; what is missing above, the node fetches from its peers when
    it is started. What was there is kept under another name. The vote log is never touched.
    """
    import sqlite3

    from node.check import Check
    from node.opening import DATABASE

    genesis, path = _read_genesis(data_dir), data_dir / DATABASE
    if not path.is_file():
        fail("database_missing", f"{path} is missing: --data-dir names a node's data directory.")
    report: CheckReport | None = None
    try:
        report = Check(genesis, path).run()
    except sqlite3.Error as error:
        if not repair:
            raise UnverifiedError(
                "database_damaged", f"{path} cannot be read at all ({error}): run it again with --repair."
            ) from error
    done = _repair(data_dir, genesis, report, as_json=as_json) if repair and (report is None or report.faults) else None
    if as_json:
        print_json({**_tell_check(report), "repair": done})
    else:
        _show_check(report, done)
    if done is None and report is not None and report.faults:
        raise click.exceptions.Exit(UnverifiedError.exit_code)


def _tell_check(report: "CheckReport | None") -> dict[str, Any]:
    if report is None:
        return {"whole": False, "faults": [{"code": "pages", "sentence": "The file cannot be read at all."}]}
    faults = [{**one._asdict(), "sentence": one.sentence} for one in report.faults]
    return {"whole": not faults, **report._asdict(), "sound_to": report.sound_to, "faults": faults}


def _show_check(report: "CheckReport | None", done: dict[str, Any] | None) -> None:
    if report is None:
        click.echo("The file cannot be read at all.")
    else:
        print_facts(
            [
                ("height", report.height),
                ("history from", report.base + 1 if report.base else None),
                ("blocks", report.blocks),
                ("transactions", report.transactions),
                ("rows of the books", report.rows),
                ("whole", "yes" if not report.faults else "no"),
            ]
        )
        if report.faults:
            heights = [f"{one.height_from}-{one.height_to}" if one.height_to else "" for one in report.faults]
            rows = [(one.code, at, one.sentence) for one, at in zip(report.faults, heights, strict=True)]
            print_table(("What", "Heights", "Why"), rows)
    if done is not None:
        print_facts((name.replace("_", " "), value) for name, value in done.items())


def _repair(data_dir: Path, genesis: "Genesis", report: "CheckReport | None", *, as_json: bool) -> dict[str, Any]:
    """What was done; a database of which nothing can be used is put aside, so that the node syncs anew."""
    from node.examine import is_in_use
    from node.opening import DATABASE
    from node.rebuild import RebuildError, set_aside

    if is_in_use(data_dir):
        fail("database_locked", f"A node uses {data_dir}: stop it first.")
    if report is not None and any(one.code == "schema" for one in report.faults):
        fail(
            "schema_unknown", "The tables are of another release: start the node once with this one, then check again."
        )
    if report is not None and report.sound_to > report.base:
        try:
            return _tell_rebuilt(_run(data_dir, genesis, None, as_json=as_json))
        except RebuildError as error:
            if error.code not in ("nothing_to_start_from", "database_damaged"):
                fail(error.code, error.sentence)
    name = set_aside(data_dir / DATABASE)
    return {"height": 0, "set_aside": name, "next": "start the node: it syncs anew from its peers"}


def _run(data_dir: Path, genesis: "Genesis", to: "Height | None", *, as_json: bool) -> "Rebuilt":
    import asyncio

    from node.rebuild import rebuild

    progress = None if as_json or not sys.stderr.isatty() else _progress
    return asyncio.run(rebuild(data_dir, genesis, to, progress=progress))


def _tell_rebuilt(done: "Rebuilt") -> dict[str, Any]:
    return {
        "height": done.height,
        "height_before": done.height_before,
        "history_from": done.started_from + 1,
        "exec_root": done.exec_root.hex(),
        "set_aside": done.set_aside,
        "next": "start the node: it fetches what follows from its peers, and votes again once it is past what it said",
    }


@click.command()
@data_dir_option
@click.option("--to", type=click.IntRange(min=1), required=True, help="The height at which the books are to stand.")
@json_option
def rollback(*, data_dir: Path, to: int, as_json: bool) -> None:
    """Set a stopped node's books back to an earlier height, by executing its blocks again from the genesis.

    (From a snapshot of its own where its history does not begin at the genesis.) Blocks above are fetched from peers
    when the node is started: they are final, and come back the same. For software that computed something wrong, or
    books that are in doubt. The database that was there is kept under another name. The vote log is never set back:
    a validator follows without voting until it is past what it has said.
    """
    from node.rebuild import RebuildError
    from protocol.ids import Height

    genesis = _read_genesis(data_dir)
    try:
        told = _tell_rebuilt(_run(data_dir, genesis, Height(to), as_json=as_json))
    except RebuildError as error:
        fail(error.code, error.sentence)
    if as_json:
        print_json(told)
    else:
        print_facts((name.replace("_", " "), value) for name, value in told.items())


def _read_genesis(data_dir: Path) -> "Genesis":
    from node.examine import find_genesis
    from node.opening import StartError

    try:
        return find_genesis(data_dir)
    except StartError as error:
        fail(error.code, error.sentence)


def _progress(height: int, last: int) -> None:
    if height % 100 == 0 or height == last:
        click.echo(f"\rheight {height} of {last}", nl=height == last, err=True)
