"""The token that a command shows to a node: from a file of its owner alone, or from the environment, never an argument.

It goes out encrypted, or to this very machine. Never a token in a message.
"""

import os
import stat
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import click

from node.cli.common import BEARER_PLACE, BEARER_VARIABLE, fail


def has_token() -> bool:
    """Whether the command was given a token."""
    return _find_path() is not None or bool(os.environ.get(BEARER_VARIABLE))


def find_token(url: str) -> str | None:
    """The token of --token-file, else of the environment; None without one, and for any node but that of --node, whose
    token it is: others would learn it. It ends the command when it is unfit.
    """
    if not has_token() or not _is_named(url):
        return None
    path = _find_path()
    token = (os.environ.get(BEARER_VARIABLE, "") if path is None else _read(path)).strip()
    if not (token.isascii() and token.isprintable() and token and " " not in token):
        fail("token_unreadable", "That is no token: it is one line, as liushui token create shows it.")
    if not _is_private(url):
        fail(
            "token_in_the_clear",
            f"{url} is another machine, and http would show your token on the way: use https, or leave"
            f" --token-file and {BEARER_VARIABLE} away.",
        )
    return token


def _is_named(url: str) -> bool:
    """Whether it is the node of --node, in a command that takes one."""
    context = click.get_current_context(silent=True)
    named = None if context is None else context.params.get("node_url")
    return named is None or named == url


def _find_path() -> Path | None:
    context = click.get_current_context(silent=True)
    found = None if context is None else context.meta.get(BEARER_PLACE)
    return found if isinstance(found, Path) else None


def _is_private(url: str) -> bool:
    parts = urlsplit(url)
    try:
        return parts.scheme == "https" or parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            fail("token_exposed", f"{path} can be read by other users: run chmod 600 {path}.")
        return path.read_text("ascii", errors="replace").split("\n", 1)[0]
    except OSError as error:
        fail("token_unreadable", f"{path} cannot be read: {error.strerror}.")
