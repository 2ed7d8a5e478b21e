"""`liushui debug dump`: one file for whoever helps. What may be in it is `node.bundle`'s to say."""

import time
from pathlib import Path

import click

from node.cli.common import fail, json_option, node_option, print_facts, print_json


@click.group()
def debug() -> None:
    """Collect what somebody who helps needs to know; never keys or statements."""


@debug.command()
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    envvar="LIUSHUI_DATA",
    help="The node's data directory.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="The file to write.")
@click.option(
    "--log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="A file with the node's log, whose last lines are added; for a service: journalctl -u liushui -o cat > FILE.",
)
@node_option
@json_option
def dump(*, data_dir: Path, out: Path | None, log: Path | None, node_url: str, as_json: bool) -> None:
    """Write a support bundle (tar.gz): version, settings, findings, status, metrics, sizes, last lines of the log.

    It works beside a running node and without one. It holds no key, nothing of the vault and no statement; all of it is
    text, so read it before you send it.
    """
    from node.bundle import make_bundle, write_bundle
    from node.cli.shown import find_token

    now_s = int(time.time())
    path = out or Path(f"liushui-debug-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now_s))}.tar.gz")
    try:
        files = make_bundle(data_dir, node_url=node_url, log=log, token=find_token(node_url))
        write_bundle(path, files, time_s=now_s)
    except FileExistsError:
        fail("file_exists", f"{path} is there already: name another file with --out.")
    except OSError as error:
        fail("file_unwritable", f"{error.filename or path} cannot be used: {error.strerror}.")
    if as_json:
        print_json({"file": str(path), "files": {name: len(content) for name, content in files.items()}})
        return
    print_facts([("written", path), *((f"  {name}", f"{len(content)} bytes") for name, content in files.items())])
