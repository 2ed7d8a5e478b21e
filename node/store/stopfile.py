"""`voting_stopped.json`: reasons not to vote that a restart must not forget, with what proves them. For people to read.

A reason is saved before the node stops speaking and removed only by what makes it void. Never decide here what does.
"""

import os
from pathlib import Path

import msgspec

from node.store.appendlog import LogError, sync_directory
from protocol.codec import JSON_FAULTS

STOP_FILE = "voting_stopped.json"


class Stop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason."""

    code: str
    sentence: str
    at_ms: int
    validator_key: str = ""
    """Hex; the reason ends with the seat of this key. Empty: it concerns the node's state, whatever its key."""
    height: int = 0
    """Of the certified header that this node contradicts."""
    digest: str = ""
    """Of that header, hex."""
    exec_height: int = 0
    certified_root: str = ""
    """What that header says of the state after `exec_height`, hex."""
    own_root: str = ""
    """What this node computed for it, hex; empty when it is not known any more."""
    evidence: tuple[str, ...] = ()
    """Canonical bytes, in hex, of the signed things that prove the reason: votes, a header, its certificates."""


class StopFile:
    """The reasons of one data directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.stops: tuple[Stop, ...] = ()

    @classmethod
    def open(cls, directory: Path) -> "StopFile":
        """The file of a directory. Raises LogError for one that cannot be read: it may not be ignored."""
        file = cls(directory / STOP_FILE)
        try:
            file.stops = msgspec.json.decode(file._path.read_bytes(), type=tuple[Stop, ...])
        except FileNotFoundError:
            pass
        except (OSError, *JSON_FAULTS) as error:
            raise LogError(
                "stop_file_damaged",
                f"{STOP_FILE} cannot be read ({error}): it says why this node must not vote. Restore it, or seat"
                " another validator key and remove it.",
            ) from error
        return file

    def add(self, stop: Stop) -> None:
        """Keep a reason, once per code and key. Durable on return. Raises LogError when the disk refuses."""
        if any((one.code, one.validator_key) == (stop.code, stop.validator_key) for one in self.stops):
            return
        self._save((*self.stops, stop))

    def remove(self, stop: Stop) -> None:
        """Forget a reason that is void."""
        self._save(tuple(one for one in self.stops if one != stop))

    def _save(self, stops: tuple[Stop, ...]) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as handle:
                handle.write(msgspec.json.format(msgspec.json.encode(stops), indent=2) + b"\n")
                handle.flush()
                os.fsync(handle.fileno())
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise LogError(
                "log_write_failed",
                f"{self._path.name} could not be written ({error.strerror}): free or repair the disk, then restart.",
            ) from error
        self.stops = stops
