"""`liushui config show`: the settings a node would start with, and where each of them comes from.

Never a setting's meaning here: `node.config` knows them all. No secret is among them: keys are files.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

import click

from node.cli.common import fail, json_option, print_json, print_table


@click.group()
def config() -> None:
    """Show a node's settings and where they come from; needs no running node."""


@config.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar="LIUSHUI_DATA",
    help="The node's directory, made by liushui testnet or liushui init.",
)
@click.option(
    "--origin", "with_origin", is_flag=True, help="Say of each setting what set it: a file, a variable, nobody."
)
@json_option
def show(*, data_dir: Path, with_origin: bool, as_json: bool) -> None:
    """Every setting with which `liushui start` would run the node of a data directory, flags apart."""
    import msgspec

    from node.config import CONFIG_FILE, ConfigError, load_config

    try:
        loaded = load_config(data_dir, environment=os.environ)
    except ConfigError as error:
        fail(error.code, error.sentence)
    written = tomllib.loads((data_dir / CONFIG_FILE).read_text(encoding="utf-8"))
    values: dict[str, Any] = msgspec.to_builtins(loaded)
    origins = {name: find_origin(name, value, written) for name, value in values.items()}
    if as_json:
        print_json({name: {"value": value, "origin": origins[name]} for name, value in values.items()})
        return
    rows = [(name, shown) for name, value in values.items() for shown in _show(value)]
    if with_origin:
        print_table(("Setting", "Value", "Origin"), [(*row, origins[row[0]]) for row in rows])
    else:
        print_table(("Setting", "Value"), rows)


def find_origin(name: str, value: object, written: dict[str, Any]) -> str:
    """What set a setting: the environment beats the file, and the file beats the default."""
    from node.config import CONFIG_FILE, ENVIRONMENT_PREFIX, TABLES

    variable = ENVIRONMENT_PREFIX + name.upper()
    is_table = isinstance(value, list | tuple) and name in TABLES
    if variable in os.environ and not is_table:  # tables come from the file alone
        return variable
    return CONFIG_FILE if name in written else "default"


def _show(value: object) -> list[str]:
    """A value as lines: a table's entries one below the other."""
    if isinstance(value, list | tuple):
        return [_join(one) for one in value] or ["none"]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def _join(one: object) -> str:
    return ", ".join(f"{key} {item}" for key, item in one.items()) if isinstance(one, dict) else str(one)
