"""`liushui version`. Nothing here may import more than the standard library and click."""

import click

from node.cli.common import json_option, print_json


def read_version() -> str:
    """The installed distribution's version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("liushui")
    except PackageNotFoundError:
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
