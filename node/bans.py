"""`bans.json`: which peers this node takes no link from, until when and why. For people to read, and to change.

Bans are by node key: an address proves nothing. The node writes those that a peer earned by false signatures, the
operator those of `liushui peers ban`; either survives a restart, and a running node looks at the file every second. Who
may write the file may ban, so no port has to be guarded. It is changed under a lock, because two may want to. A file
that cannot be read bans nobody: a ban protects from load, never the books.
"""

import asyncio
import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

import msgspec

from node.telemetry import get_logger
from protocol.codec import JSON_FAULTS
from protocol.ids import PublicKey

BAN_FILE: Final = "bans.json"
BANS_MAX: Final = 1_024
REMEMBERED_MS: Final = 86_400_000  # after its end, so that the next one is longer
LOOK_EVERY_S: Final = 1.0
FALSE_SIGNATURES: Final = "false_signatures"
OPERATOR: Final = "operator"


class Ban(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One peer that is not taken."""

    node_key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: Annotated[str, msgspec.Meta(max_length=64)]
    until_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    """Wall-clock milliseconds since 1970."""
    reason: Literal["false_signatures", "operator"]
    times: Annotated[int, msgspec.Meta(ge=1, le=2**31)] = 1
    """How often it was banned for this reason; the next ban is longer."""


class BanFileError(Exception):
    """A ban file that cannot be read or written; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def read_bans(directory: Path) -> tuple[Ban, ...]:
    """What the file says, ended bans included. Raises BanFileError."""
    path = directory / BAN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Ban, ...])
    except FileNotFoundError:
        return ()
    except (OSError, *JSON_FAULTS) as error:
        raise BanFileError(
            "bans_unreadable", f"{path} cannot be read ({error}): correct it, or remove it to ban nobody."
        ) from error


def change_bans(directory: Path, change: Callable[[tuple[Ban, ...]], Sequence[Ban]]) -> tuple[Ban, ...]:
    """Replace what the file says by what `change` makes of it, while nobody else does. Raises BanFileError."""
    path = directory / BAN_FILE
    fresh = path.with_suffix(".new")
    try:
        with _locked(path.with_suffix(".lock")):
            bans = tuple(change(read_bans(directory)))[-BANS_MAX:]
            fresh.write_bytes(msgspec.json.format(msgspec.json.encode(bans), indent=2) + b"\n")
            fresh.replace(path)
    except OSError as error:
        raise BanFileError("bans_unwritable", f"{path} cannot be written: {error.strerror}.") from error
    return bans


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def put_ban(bans: Sequence[Ban], ban: Ban) -> list[Ban]:
    """With this ban, and without what it replaces and what ended so long ago that nobody asks."""
    return [*(one for one in bans if (one.node_key, one.reason) != (ban.node_key, ban.reason)), ban]


def lift_bans(bans: Sequence[Ban], key: str) -> list[Ban]:
    """Without any ban of a peer, ended or not: it begins anew."""
    return [one for one in bans if one.node_key != key]


class Mesh(Protocol):
    """What is asked of the network."""

    def ban(self, peer: PublicKey, seconds: float) -> None:
        """End the link to a peer and take none for a while."""

    def unban(self, peer: PublicKey) -> None:
        """Take links from a peer again."""


class BanRoom:
    """Keeps one node's network in step with its file. `wall_ms` is the wall clock."""

    def __init__(self, directory: Path, mesh: Mesh, wall_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._mesh = mesh
        self._wall_ms = wall_ms
        self._seen: tuple[int, int] | None = None
        self._in_force: dict[str, int] = {}
        self._log = get_logger("bans")

    def count(self, peer: PublicKey) -> int:
        """How often a peer was banned for false signatures, as far as anybody remembers."""
        return _count(self._read(), peer, self._wall_ms())

    def record(self, peer: PublicKey, name: str, seconds: int) -> None:
        """Keep a ban that a peer earned."""
        now_ms = self._wall_ms()

        def change(bans: tuple[Ban, ...]) -> list[Ban]:
            known = [one for one in bans if one.until_ms + REMEMBERED_MS > now_ms]
            times, until_ms = 1 + _count(known, peer, now_ms), now_ms + 1_000 * seconds
            ban = Ban(node_key=peer.hex(), name=name[:64], until_ms=until_ms, reason=FALSE_SIGNATURES, times=times)
            return put_ban(known, ban)

        try:
            change_bans(self._directory, change)
        except BanFileError as error:
            self._log.warning("ban_not_kept", code=error.code, reason=error.sentence)

    def list_bans(self) -> list[Ban]:
        """Those in force. Raises BanFileError."""
        now_ms = self._wall_ms()
        return [one for one in read_bans(self._directory) if one.until_ms > now_ms]

    async def put(self, peer: PublicKey, name: str, seconds: int) -> Ban:
        """Ban a peer at once, because the operator says so. Raises BanFileError, and bans nobody then."""
        until_ms = self._wall_ms() + 1_000 * seconds
        ban = Ban(node_key=peer.hex(), name=name[:64], until_ms=until_ms, reason=OPERATOR)
        await asyncio.to_thread(change_bans, self._directory, lambda bans: put_ban(bans, ban))
        self.look()
        return ban

    async def lift(self, peer: PublicKey) -> bool:
        """End all bans of a peer at once; whether there was one. Raises BanFileError."""
        was_banned = any(one.node_key == peer.hex() for one in self.list_bans())
        await asyncio.to_thread(change_bans, self._directory, lambda bans: lift_bans(bans, peer.hex()))
        self.look()
        return was_banned

    def look(self) -> None:
        """Bring the network in step with the file when that has changed."""
        try:
            found = (self._directory / BAN_FILE).stat()
            seen = found.st_mtime_ns, found.st_ino
        except OSError:
            seen = 0, 0
        if seen == self._seen:
            return
        self._seen = seen
        now_ms = self._wall_ms()
        bans: dict[str, int] = {}
        for one in self._read():
            if one.until_ms > now_ms:
                bans[one.node_key] = max(one.until_ms, bans.get(one.node_key, 0))
        for key in self._in_force.keys() - bans.keys():
            self._mesh.unban(PublicKey(bytes.fromhex(key)))
        for key, until_ms in bans.items():
            known_ms = self._in_force.get(key)
            if known_ms is not None and until_ms < known_ms:
                self._mesh.unban(PublicKey(bytes.fromhex(key)))  # else the longer ban would stand
            if known_ms != until_ms:
                self._mesh.ban(PublicKey(bytes.fromhex(key)), (until_ms - now_ms) / 1_000)
        self._in_force = bans

    async def run(self) -> None:
        """Look every second."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _read(self) -> tuple[Ban, ...]:
        try:
            return read_bans(self._directory)
        except BanFileError as error:
            self._log.warning("bans_unread", code=error.code, reason=error.sentence)
            return ()


def _count(bans: Sequence[Ban], peer: PublicKey, now_ms: int) -> int:
    key = (peer.hex(), FALSE_SIGNATURES)
    held = (one for one in bans if one.until_ms + REMEMBERED_MS > now_ms)
    return max((one.times for one in held if (one.node_key, one.reason) == key), default=0)
