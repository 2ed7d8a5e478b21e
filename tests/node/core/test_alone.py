"""Two processes of one key stay silent over any restart, until one has been alone with a quorum for a minute."""

from pathlib import Path

from node.alone import ALONE_MS, Alone
from node.stops import EXEC_ROOT_DIVERGED, KEY_IN_USE
from node.store.appendlog import LogError
from node.store.stopfile import Stop, StopFile
from protocol.ids import PublicKey

OTHERS = tuple(PublicKey(bytes([one]) * 32) for one in (1, 2, 3))


class Seat:
    """A validator's node and what it is told to do."""

    def __init__(self, directory: Path, *, quorum: int = 3) -> None:
        self.others, self.is_validator = OTHERS, True
        self.linked = set(OTHERS)
        self.now_ms = 0
        self.said: list[str] = []
        self.file = StopFile.open(directory)
        self.alone = Alone(
            reasons=self.file,
            roster=self,
            mesh=self,
            quorum=lambda: quorum,
            wall_ms=lambda: 5,
            steady_ms=lambda: self.now_ms,
            silence=lambda code: self.said.append(f"silent {code}"),
            resume=lambda code: self.said.append(f"resumed {code}"),
        )

    def is_connected(self, peer: PublicKey) -> bool:
        return peer in self.linked

    def live(self, ms: int) -> None:
        """So long, with a look each second."""
        for _ in range(ms // 1_000):
            self.now_ms += 1_000
            self.alone.look()


def test_a_process_that_was_met_votes_again_after_a_minute_alone_with_a_quorum(tmp_path: Path) -> None:
    """Silent at once and on disk; not before the minute is over; then the reason is gone from the disk as well."""
    seat = Seat(tmp_path)
    seat.alone.on_key_in_use()
    assert seat.said == [f"silent {KEY_IN_USE}"]
    assert [one.code for one in StopFile.open(tmp_path).stops] == [KEY_IN_USE]
    seat.live(ALONE_MS)
    assert len(seat.said) == 1
    seat.live(2_000)
    assert seat.said[1:] == [f"resumed {KEY_IN_USE}"]
    assert StopFile.open(tmp_path).stops == ()
    seat.live(2 * ALONE_MS)
    assert len(seat.said) == 2


def test_each_meeting_begins_the_minute_anew(tmp_path: Path) -> None:
    """The other one tries again and again: nobody votes."""
    seat = Seat(tmp_path)
    for _ in range(10):
        seat.alone.on_key_in_use()
        seat.live(ALONE_MS - 5_000)
    assert set(seat.said) == {f"silent {KEY_IN_USE}"}
    assert len(seat.file.stops) == 1


def test_without_a_quorum_nothing_is_known_and_a_gap_begins_the_minute_anew(tmp_path: Path) -> None:
    """Who is cut off hears of nobody: that is no minute alone."""
    seat = Seat(tmp_path)
    seat.alone.on_key_in_use()
    seat.linked = {OTHERS[0]}
    seat.live(3 * ALONE_MS)
    seat.linked = {OTHERS[0], OTHERS[1]}
    seat.live(ALONE_MS - 2_000)
    seat.linked = {OTHERS[0]}
    seat.live(1_000)
    seat.linked = set(OTHERS)
    seat.live(ALONE_MS - 2_000)
    assert seat.said == [f"silent {KEY_IN_USE}"]
    seat.live(5_000)
    assert seat.said[-1] == f"resumed {KEY_IN_USE}"


def test_a_restart_brings_no_vote_and_waits_the_minute_again(tmp_path: Path) -> None:
    """The reason stands in the file at the next start, whatever ended the process."""
    first = Seat(tmp_path)
    first.alone.on_key_in_use()
    first.live(ALONE_MS - 1_000)
    second = Seat(tmp_path)
    second.live(ALONE_MS)
    assert second.said == []
    second.live(2_000)
    assert second.said == [f"resumed {KEY_IN_USE}"]


def test_other_reasons_stay(tmp_path: Path) -> None:
    """Only its own reason is removed."""
    seat = Seat(tmp_path)
    seat.file.add(Stop(code=EXEC_ROOT_DIVERGED, sentence="", at_ms=1))
    seat.alone.on_key_in_use()
    seat.live(ALONE_MS + 2_000)
    assert [one.code for one in StopFile.open(tmp_path).stops] == [EXEC_ROOT_DIVERGED]


def test_a_disk_that_refuses_keeps_it_silent_and_stops_nothing(tmp_path: Path) -> None:
    """Silent in this life at least; and one that cannot remove the reason does not vote."""
    seat = Seat(tmp_path)

    def refuse(_: object) -> None:
        raise LogError("disk_full", "The disk is full.")

    seat.file.add = refuse  # type: ignore[method-assign]
    seat.alone.on_key_in_use()
    assert seat.said == [f"silent {KEY_IN_USE}"]
    del seat.file.add
    seat.alone.on_key_in_use()
    seat.file.remove = refuse  # type: ignore[method-assign]
    seat.live(2 * ALONE_MS)
    assert set(seat.said) == {f"silent {KEY_IN_USE}"}
