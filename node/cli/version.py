"""`liushui version`. Nothing here may import more than the standard library and click."""

import sys
from pathlib import Path
from typing import Final

import click

from node.cli.common import json_option, print_json

NAME: Final = "liushui-"
METADATA: Final = ".dist-info"


def read_version() -> str:
    """The installed distribution's version.

    It is part of a directory's name. importlib.metadata would say the same and takes twice as long to import as all
    else that this command needs.
    """
    for place in sys.path:
        found = sorted(Path(place or ".").glob(f"{NAME}*{METADATA}"))
        if found:
            return found[-1].name[len(NAME) : -len(METADATA)]
    return "0+unknown"


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version."""
    found = read_version()
    if as_json:
        print_json({"name": "liushui", "version": found})
    else:
        click.echo(f"liushui {found}")
