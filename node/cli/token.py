"""`liushui token`: bearer tokens of this machine's node, made, listed and revoked in its directory.

The secret is printed once, or written to a file of its owner alone; the directory keeps a hash. Never a secret as an
argument: other users of the machine could read it there.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from node.cli.common import fail, json_option, print_facts, print_json, print_table
from node.cli.typed import DIRECTORY, FILE, read_time

if TYPE_CHECKING:
    from node.tokens import Token, TokenFileError

SCOPES: Final = ("monitor", "read-private", "operate")
_HOME = click.option(
    "--data-dir", "directory", type=DIRECTORY, required=True, envvar="LIUSHUI_DATA", help="The node's directory."
)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that read or operate this node over its API."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What it is good for; may be repeated. docs/operations.md says what each opens.",
)
@click.option(
    "--for",
    "seconds",
    default=None,
    callback=lambda *given: None if given[2] is None else read_time(given[2]),
    help="How long it holds: 12h, 90d; without it until it is revoked.",
)
@click.option("--out", type=FILE, default=None, help="Write the secret to this new file instead of the screen.")
@_HOME
@json_option
def create(
    *, name: str, scopes: tuple[str, ...], seconds: int | None, out: Path | None, directory: Path, as_json: bool
) -> None:
    """Make a token. Its secret is shown now and never again; a running node takes it at once.

    Example: liushui token create grafana --scope monitor --for 365d --data-dir mynet/lender1 --out grafana.token
    """
    import msgspec

    from node.tokens import Scope, Token, TokenFileError, add_token, make_token, revoke_token

    _need_node(directory)
    now_ms = _read_now_ms()
    expires_ms = None if seconds is None else now_ms + 1_000 * seconds
    secret, made = make_token(name, [Scope(one) for one in scopes], now_ms, expires_ms=expires_ms)
    try:
        msgspec.convert(msgspec.to_builtins(made), Token)
    except msgspec.ValidationError:
        fail("token_name_invalid", f"{name!r} is no name: use up to 64 of a-z, 0-9, dot, dash and underscore.")
    try:
        add_token(directory, made)
        if out is not None:
            try:
                _write(out, secret)
            except OSError as error:
                revoke_token(directory, name)
                fail("file_unwritable", f"{out} cannot be written ({error.strerror}): no token was made.")
    except TokenFileError as error:
        _give_up(error)
    shown = {**_tell(made, now_ms), **({"token": secret} if out is None else {"file": str(out)})}
    if as_json:
        print_json(shown)
        return
    print_facts([(key, ", ".join(value) if isinstance(value, list) else value) for key, value in shown.items()])
    if out is None:
        click.echo("Keep the token now: this node cannot show it again.", err=True)


@token.command(name="list")
@_HOME
@json_option
def list_tokens(*, directory: Path, as_json: bool) -> None:
    """List the tokens: name, what each is good for, since when and until when. Secrets are not here to show."""
    from node.tokens import TokenFileError, read_tokens

    _need_node(directory)
    now_ms = _read_now_ms()
    try:
        found = [_tell(one, now_ms) for one in read_tokens(directory)]
    except TokenFileError as error:
        _give_up(error)
    if as_json:
        print_json({"tokens": found})
        return
    print_table(
        ("Token", "Good for", "Made", "Holds until", ""),
        [
            (
                one["name"],
                ", ".join(one["scopes"]),
                _show_time(one["created_ms"]),
                "no end" if one["expires_ms"] is None else _show_time(one["expires_ms"]),
                "expired" if one["expired"] else "",
            )
            for one in found
        ],
    )


@token.command()
@click.argument("name")
@_HOME
@json_option
def revoke(*, name: str, directory: Path, as_json: bool) -> None:
    """Take a token back. A running node refuses it at once; an open stream of warnings goes on until it ends.

    Example: liushui token revoke grafana --data-dir mynet/lender1
    """
    from node.tokens import TokenFileError, revoke_token

    _need_node(directory)
    try:
        gone = revoke_token(directory, name)
    except TokenFileError as error:
        _give_up(error)
    if as_json:
        print_json({"revoked": gone.name})
    else:
        print_facts([("revoked", gone.name)])


def _need_node(directory: Path) -> None:
    from node.config import CONFIG_FILE

    if not (directory / CONFIG_FILE).is_file():
        fail("no_node_here", f"{directory} holds no {CONFIG_FILE}: name the directory of a node with --data-dir.")


def _give_up(error: "TokenFileError") -> NoReturn:
    fail(error.code, error.sentence)


def _write(path: Path, secret: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secret + "\n")


def _tell(one: "Token", now_ms: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "scopes": [str(scope) for scope in one.scopes],
        "created_ms": one.created_ms,
        "expires_ms": one.expires_ms,
        "expired": one.has_expired(now_ms),
    }


def _show_time(time_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms // 1_000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _read_now_ms() -> int:
    return time.time_ns() // 1_000_000
