"""`tokens.json`: bearer tokens of this node's API, by name, with what each may do. Only hashes of them are kept.

    secret, token = make_token("grafana", (Scope.MONITOR,), now_ms)   the secret is shown once and never again
    TokenRoom(directory).find(secret, now_ms)                         the token, or why it is none

A token is 256 random bits, so its hash needs no salt and nobody can guess it back. A running node looks at the file
whenever somebody shows a token, so that one that is revoked is refused at once. A file that cannot be read, or that
others may read or write, lets nobody in. Never a secret in the file, in a log or in an argument of a command.
"""

import fcntl
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from node.telemetry import get_logger
from protocol.codec import JSON_FAULTS
from protocol.crypto import calculate_hash
from protocol.limits import TOKENS_MAX

REGISTER: Final = "tokens.json"
PREFIX: Final = "lst_"
"""So that whoever finds a token in a file knows what it is, and logs can black it out."""
SECRET_BYTES: Final = 32
SECRET_CHARS_MAX: Final = 128  # of what is shown; a real one has 47
_NAME: Final = "^[a-z0-9][a-z0-9._-]{0,63}$"


class Scope(StrEnum):
    """What a token is good for. None includes another; a token may have several."""

    MONITOR = "monitor"
    """Read how the node does: peers, guests and bans; status and metrics where the settings close them."""
    READ_PRIVATE = "read-private"
    """Read what only the member itself, or members, may: warnings, signals, applications, exposure, the report."""
    OPERATE = "operate"
    """Ban peers and take them again."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token, without its secret."""

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the secret, under a tag of its own."""
    scopes: tuple[Scope, ...]
    created_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    """Wall-clock milliseconds since 1970."""
    expires_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    """None: until it is revoked."""

    def has_expired(self, now_ms: int) -> bool:
        """Whether its time is over."""
        return self.expires_ms is not None and self.expires_ms <= now_ms


class TokenFileError(Exception):
    """A token file that cannot be used or changed; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def make_token(name: str, scopes: Sequence[Scope], now_ms: int, *, expires_ms: int | None = None) -> tuple[str, Token]:
    """A new secret and what is kept of it."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    ordered = tuple(one for one in Scope if one in scopes)
    made = Token(name=name, hash=calculate_token_hash(secret), scopes=ordered, created_ms=now_ms, expires_ms=expires_ms)
    return secret, made


def calculate_token_hash(secret: str) -> str:
    """What the file holds of a secret, in hex."""
    return calculate_hash("api-token", secret.encode("utf-8", "surrogateescape")).hex()


def read_tokens(directory: Path) -> tuple[Token, ...]:
    """What the file says, expired ones included. Raises TokenFileError."""
    path = directory / REGISTER
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise TokenFileError(
                    "tokens_exposed", f"{path} can be read or written by other users: run chmod 600 {path}."
                )
            found = msgspec.json.decode(file.read(), type=tuple[Token, ...])
    except FileNotFoundError:
        return ()
    except (OSError, *JSON_FAULTS) as error:
        raise TokenFileError(
            "tokens_unreadable", f"{path} cannot be read ({error}): correct it, or remove it and make new tokens."
        ) from error
    return found[:TOKENS_MAX]


def add_token(directory: Path, token: Token) -> None:
    """Keep a token. Raises TokenFileError: token_exists for a name that is taken, tokens_full."""

    def add(tokens: tuple[Token, ...]) -> Sequence[Token]:
        if any(one.name == token.name for one in tokens):
            raise TokenFileError("token_exists", f"There is a token {token.name}: revoke it, or choose another name.")
        if len(tokens) >= TOKENS_MAX:
            raise TokenFileError("tokens_full", f"A node has at most {TOKENS_MAX} tokens: revoke one that is not used.")
        return (*tokens, token)

    _change(directory, add)


def revoke_token(directory: Path, name: str) -> Token:
    """Take a token back; what it was. Raises TokenFileError: token_unknown."""
    gone: list[Token] = []

    def drop(tokens: tuple[Token, ...]) -> Sequence[Token]:
        gone.extend(one for one in tokens if one.name == name)
        if not gone:
            raise TokenFileError("token_unknown", f"There is no token {name}: see liushui token list.")
        return tuple(one for one in tokens if one.name != name)

    _change(directory, drop)
    return gone[0]


def _change(directory: Path, change: Callable[[tuple[Token, ...]], Sequence[Token]]) -> None:
    path = directory / REGISTER
    fresh = path.with_suffix(".new")
    try:
        with _locked(path.with_suffix(".lock")):
            tokens = tuple(change(read_tokens(directory)))
            fresh.unlink(missing_ok=True)  # of one that was killed meanwhile
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(tokens), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
    except OSError as error:
        raise TokenFileError("tokens_unwritable", f"{path} cannot be written: {error.strerror}.") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class TokenRoom:
    """The tokens of one running node."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: tuple[int, ...] | None = None
        self._tokens: tuple[Token, ...] = ()
        self._log = get_logger("tokens")

    def find(self, secret: str, now_ms: int) -> Token | Literal["unknown", "expired"]:
        """The token of a secret, or what is wrong with it. All are compared, each in constant time."""
        if len(secret) > SECRET_CHARS_MAX:
            return "unknown"
        shown, found = calculate_token_hash(secret), None
        for one in self._read():
            if hmac.compare_digest(one.hash, shown):
                found = one
        if found is None:
            return "unknown"
        return "expired" if found.has_expired(now_ms) else found

    def _read(self) -> tuple[Token, ...]:
        """What the file says now; it is read again when it has changed."""
        try:
            at = (self._directory / REGISTER).stat()
            seen: tuple[int, ...] = (at.st_mtime_ns, at.st_ino, at.st_size, at.st_mode)
        except OSError:
            seen = ()
        if seen != self._seen:
            self._seen = seen
            try:
                self._tokens = read_tokens(self._directory)
            except TokenFileError as error:
                self._tokens = ()
                self._log.warning("tokens_unread", code=error.code, reason=error.sentence)
        return self._tokens
