"""`liushui start`: the door to the runtime. Settings come from config.toml, the environment, then these flags."""

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.common import EXIT_USAGE, FailureError, fail, passphrase_options, read_passphrase

if TYPE_CHECKING:
    from node.client.keyfile import Passphrase

STANDARD_INPUT: Final = 0
CREDENTIAL: Final = "liushui-passphrase"


class NotStartedError(FailureError):
    """The node cannot start as things are: a service manager must not try the same again and again."""

    exit_code = EXIT_USAGE


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar="LIUSHUI_DATA",
    help="The node's directory, made by liushui testnet or liushui init.",
)
@passphrase_options
@click.option("--role", type=click.Choice(["validator", "observer"]), default=None, help="Instead of config.toml's.")
@click.option("--listen-port", type=click.IntRange(0, 65_535), default=None, help="Port for other nodes.")
@click.option("--api-host", default=None, help="Address the API binds to; loopback unless told otherwise.")
@click.option("--api-port", type=click.IntRange(0, 65_535), default=None, help="Port of the API.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default=None)
@click.option("--log-json/--log-text", default=None, help="JSON lines for machines, or aligned text for people.")
@click.option(
    "--until-input-ends",
    is_flag=True,
    help="Stop too when the pipe on standard input ends: with the program that started this node, however that ends.",
)
def start(
    *, data_dir: Path, passphrase_file: Path | None, passphrase_fd: int | None, until_input_ends: bool, **overrides: Any
) -> None:
    """Run the node of a data directory until SIGTERM or Ctrl-C.

    Sealed keys have one passphrase: from --passphrase-file, --passphrase-fd, the systemd credential
    liushui-passphrase, or else asked for, once.

    Exits 0 after a clean stop, 1 after a fault, 2 when it could not start (the last log line names the fix).
    """
    import asyncio

    from node.config import ConfigError, load_config
    from node.runtime import run_node
    from node.service import end_with_input

    try:
        if until_input_ends and not stat.S_ISFIFO(os.fstat(STANDARD_INPUT).st_mode):
            fail(
                "input_no_pipe", "Standard input is no pipe, whose end could be noticed: leave --until-input-ends out."
            )
        try:
            config = load_config(data_dir, environment=os.environ, overrides=overrides)
        except ConfigError as error:
            fail(error.code, error.sentence)
        passphrase = _open_keys(Path(config.data_dir), passphrase_file, passphrase_fd)
    except FailureError as error:
        raise NotStartedError(error.code, error.message) from error

    async def run() -> int:
        with end_with_input(STANDARD_INPUT) if until_input_ends else contextlib.nullcontext():
            return await run_node(config, passphrase)

    raise click.exceptions.Exit(asyncio.run(run()))


def _is_somebody_there() -> bool:
    return sys.stdin.isatty()


def _open_keys(directory: Path, file: Path | None, descriptor: int | None) -> "Passphrase | None":
    """The passphrase that opens the node's keys, tried before anything runs; None when none is sealed."""
    from node.client.keyfile import Passphrase
    from node.keystore import KeyFileError, list_keys, read_seed

    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    is_guarded = file is None and descriptor is None and folder is not None and (Path(folder) / CREDENTIAL).is_file()
    if is_guarded and folder is not None:
        file = Path(folder) / CREDENTIAL  # systemd lets the service read it by an access list: its mode says nothing
    try:
        sealed = [name for name, is_sealed in list_keys(directory).items() if is_sealed]
        if not sealed:
            return None
        if file is None and descriptor is None and not _is_somebody_there():
            fail(
                "passphrase_missing",
                f"The keys in {directory} are sealed, and nobody can be asked: give --passphrase-file or"
                f" --passphrase-fd, or the systemd credential {CREDENTIAL}.",
            )
        prompt = f"Passphrase of the keys in {directory}"
        passphrase = Passphrase(
            lambda: read_passphrase(file=file, descriptor=descriptor, prompt=prompt, is_guarded=is_guarded)
        )
        read_seed(directory, sealed[0], passphrase)
    except KeyFileError as error:
        fail(error.code, error.sentence)
    return passphrase
