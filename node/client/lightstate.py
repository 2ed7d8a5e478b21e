"""What a light client knows to be final, in one small file: so that it starts where it stopped, and is never led back.

Only further knowledge replaces what stands there, whichever process comes last. Never a proof or a key here.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.client.http import ClientError
from node.store.appendlog import sync_directory
from protocol.codec import CodecError, decode, encode
from protocol.genesis import Genesis
from protocol.rowproof import Trusted, make_trusted

BYTES_MAX: Final = 65_536


class LightState:
    """The file of one network."""

    def __init__(self, path: Path, genesis: Genesis) -> None:
        self._path = path
        self._genesis = genesis

    def load(self) -> Trusted:
        """What is known; without a file, what the genesis says. Raises ClientError for one that cannot be used."""
        try:
            with self._path.open("rb") as file:
                known = decode(file.read(BYTES_MAX + 1), Trusted)
        except FileNotFoundError:
            return make_trusted(self._genesis)
        except CodecError as error:
            raise ClientError(
                "light_state_damaged",
                f"{self._path} is not what a light client wrote: remove it to begin from the genesis again; until then"
                " nothing says how far the network was seen.",
            ) from error
        except OSError as error:
            raise ClientError("file_unreadable", f"{self._path} cannot be read: {error.strerror}.") from error
        if known.chain_id != self._genesis.calculate_chain_id():
            raise ClientError("wrong_network", f"{self._path} is of another network than this genesis: name another.")
        return known

    def save(self, known: Trusted) -> None:
        """Keep it, unless more is known by now. Raises ClientError(file_unwritable)."""
        try:
            with self._locked():
                if _is_further(known, self.load()):
                    self._write(encode(known))
        except OSError as error:
            raise ClientError("file_unwritable", f"{self._path} cannot be written: {error.strerror}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        place = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)

    def _write(self, raw: bytes) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_directory(self._path.parent)


def _is_further(known: Trusted, before: Trusted) -> bool:
    """Whether a state is later, or as late and seen under a later header."""
    header, old = known.header, before.header
    seen = 0 if header is None else header.height
    return (known.height, seen) > (before.height, 0 if old is None else old.height)
