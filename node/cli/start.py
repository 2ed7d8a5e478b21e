"""`liushui start`: the door to the runtime. Settings come from config.toml, the environment, then these flags."""

import os
from pathlib import Path
from typing import Any

import click

from node.cli.common import fail


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar="LIUSHUI_DATA",
    help="The node's directory, made by liushui testnet or liushui init.",
)
@click.option("--role", type=click.Choice(["validator", "observer"]), default=None, help="Instead of config.toml's.")
@click.option("--listen-port", type=click.IntRange(0, 65_535), default=None, help="Port for other nodes.")
@click.option("--api-host", default=None, help="Address the API binds to; loopback unless told otherwise.")
@click.option("--api-port", type=click.IntRange(0, 65_535), default=None, help="Port of the API.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default=None)
@click.option("--log-json/--log-text", default=None, help="JSON lines for machines, or aligned text for people.")
def start(*, data_dir: Path, **overrides: Any) -> None:
    """Run the node of a data directory until SIGTERM or Ctrl-C.

    Exits 0 after a clean stop, 1 after a fault, 2 when it could not start (the last log line names the fix).
    """
    import asyncio

    from node.config import ConfigError, load_config
    from node.runtime import run_node

    try:
        config = load_config(data_dir, environment=os.environ, overrides=overrides)
    except ConfigError as error:
        fail(error.code, error.sentence)
    raise click.exceptions.Exit(asyncio.run(run_node(config)))
