"""Commands that talk to a node: open a client, run one coroutine, turn its failures into exit codes.

Never a command itself, and never a rule: what the node says is what is shown.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from node.cli.common import FailureError, UnreachableError, fail, pick_language, read_passphrase
from node.cli.shown import find_token
from node.client.http import ClientError, NodeClient, NodeUnreachable
from node.client.keyfile import KeyFileProblem, open_seed, read_key_file
from protocol.genesis import Genesis, GenesisError, decode_genesis
from protocol.ids import TimeMs

T = TypeVar("T")


def read_clock_ms() -> TimeMs:
    """Wall-clock milliseconds, for valid_to and signed requests."""
    return TimeMs(time.time_ns() // 1_000_000)


def run(url: str, work: Callable[[NodeClient], Awaitable[T]], *, language: str = "") -> T:
    """The result of `work` with a client of the node at `url`; every failure ends the command in its own way.

    The node speaks `language`, by default that of the environment.
    """
    token = find_token(url)

    async def inside() -> T:
        async with NodeClient(url, language=language or pick_language(os.environ), token=token) as client:
            return await work(client)

    try:
        return asyncio.run(inside())
    except NodeUnreachable as error:
        raise UnreachableError(error.code, error.sentence) from error
    except ClientError as error:
        raise FailureError(error.code, error.sentence) from error
    except GenesisError as error:
        raise FailureError("genesis_invalid", f"The node's genesis cannot be used: {error}.") from error
    except KeyboardInterrupt:
        os._exit(130)


def get(url: str, path: str, *, language: str = "", **query: str) -> Any:
    """JSON of one read."""
    return run(url, lambda client: client.get(path, **query), language=language)


def open_key(
    path: Path, passphrase_file: Path | None, passphrase_fd: int | None, *, prompt: str = "Passphrase"
) -> bytes:
    """The seed of a key file, with its passphrase from where the caller said."""
    try:
        file = read_key_file(path)
        return open_seed(file, read_passphrase(file=passphrase_file, descriptor=passphrase_fd, prompt=prompt))
    except KeyFileProblem as error:
        fail(error.code, error.sentence)


def check_hex(text: str, what: str) -> str:
    """An id as typed, or the end of the command."""
    plain = text.strip().lower()
    if len(plain) != 64 or any(char not in "0123456789abcdef" for char in plain):
        fail("malformed_id", f"{text!r} is not the id of {what}: it has 64 hexadecimal digits.")
    return plain


def read_genesis(path: Path) -> Genesis:
    """The founding document in a file."""
    try:
        return decode_genesis(path.read_bytes())
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")
    except GenesisError as error:
        fail("genesis_invalid", f"{path}: {error}.")
