"""Bans by key survive a restart, end with their time, and are the operator's to give and to take."""

from pathlib import Path

import pytest

from node.bans import (
    BAN_FILE,
    OPERATOR,
    REMEMBERED_MS,
    Ban,
    BanFileError,
    BanRoom,
    change_bans,
    lift_bans,
    put_ban,
    read_bans,
)
from node.conduct import BAN_FIRST_S, FALSEHOODS_MAX, Conduct
from protocol.ids import PublicKey

LIAR = PublicKey(b"\x09" * 32)
OTHER = PublicKey(b"\x0a" * 32)


class Door:
    """A mesh that notes what it is told."""

    def __init__(self) -> None:
        self.banned: dict[PublicKey, float] = {}
        self.calls = 0

    def ban(self, peer: PublicKey, seconds: float) -> None:
        self.calls += 1
        self.banned[peer] = seconds

    def unban(self, peer: PublicKey) -> None:
        self.calls += 1
        self.banned.pop(peer, None)

    def get_name(self, peer: PublicKey) -> str:
        return "liar"


def lie(conduct: Conduct) -> None:
    """As often as makes a ban."""
    for _ in range(FALSEHOODS_MAX):
        conduct.on_falsehood(LIAR)


def test_a_ban_that_was_earned_outlives_the_process_and_the_next_one_is_longer(tmp_path: Path) -> None:
    """After a restart the door is shut for what is left of it, and the doubling goes on."""
    now_ms = 1_000_000
    door = Door()
    lie(Conduct(door, lambda: 0, BanRoom(tmp_path, door, lambda: now_ms)))
    assert door.banned == {LIAR: BAN_FIRST_S}
    now_ms += 20_000
    door = Door()
    room = BanRoom(tmp_path, door, lambda: now_ms)
    room.look()
    assert door.banned == {LIAR: BAN_FIRST_S - 20}
    lie(Conduct(door, lambda: 0, room))
    assert door.banned == {LIAR: 2 * BAN_FIRST_S}
    assert [(one.times, one.reason, one.name) for one in read_bans(tmp_path)] == [(2, "false_signatures", "liar")]


def test_a_ban_that_ended_bans_nobody_and_is_forgotten_in_the_end(tmp_path: Path) -> None:
    """It counts for a day more, then the peer begins anew."""
    now_ms = 1_000_000
    lie(Conduct(Door(), lambda: 0, BanRoom(tmp_path, Door(), lambda: now_ms)))
    now_ms += 1_000 * BAN_FIRST_S
    door = Door()
    room = BanRoom(tmp_path, door, lambda: now_ms)
    room.look()
    assert door.banned == {}
    assert room.count(LIAR) == 1
    now_ms += REMEMBERED_MS
    lie(Conduct(door, lambda: 0, room))
    assert door.banned == {LIAR: BAN_FIRST_S}


def test_a_running_node_follows_the_file(tmp_path: Path) -> None:
    """What the operator writes holds at the next look, what he takes out is lifted, and nothing is done twice."""
    door = Door()
    room = BanRoom(tmp_path, door, lambda: 5_000)
    room.look()
    ban = Ban(node_key=OTHER.hex(), name="other", until_ms=65_000, reason=OPERATOR)
    change_bans(tmp_path, lambda bans: put_ban(bans, ban))
    room.look()
    room.look()
    assert (door.banned, door.calls) == ({OTHER: 60.0}, 1)
    another = Ban(node_key=LIAR.hex(), name="liar", until_ms=65_000, reason=OPERATOR)
    change_bans(tmp_path, lambda bans: put_ban(bans, another))
    room.look()
    assert (set(door.banned), door.calls) == ({OTHER, LIAR}, 2), "what stands already is not said again"
    change_bans(tmp_path, lambda bans: lift_bans(bans, LIAR.hex()))
    room.look()
    longer = Ban(node_key=OTHER.hex(), name="other", until_ms=95_000, reason=OPERATOR)
    change_bans(tmp_path, lambda bans: put_ban(bans, longer))
    room.look()
    assert door.banned == {OTHER: 90.0}
    sooner = Ban(node_key=OTHER.hex(), name="other", until_ms=35_000, reason=OPERATOR)
    change_bans(tmp_path, lambda bans: put_ban(bans, sooner))
    calls = door.calls
    room.look()
    assert (door.banned, door.calls - calls) == ({OTHER: 30.0}, 2), "lifted first: a mesh keeps the longer of two bans"
    change_bans(tmp_path, lambda bans: [])
    room.look()
    assert door.banned == {}


async def test_what_is_done_at_a_running_node_holds_at_once_and_is_kept(tmp_path: Path) -> None:
    """Without waiting for a look; after a restart it stands, and a lifted one does not."""
    door = Door()
    room = BanRoom(tmp_path, door, lambda: 5_000)
    made = await room.put(OTHER, "other", 60)
    assert (door.banned, made.until_ms, room.list_bans()) == ({OTHER: 60.0}, 65_000, [made])
    again = Door()
    BanRoom(tmp_path, again, lambda: 35_000).look()
    assert again.banned == {OTHER: 30.0}
    assert [await room.lift(peer) for peer in (OTHER, OTHER, LIAR)] == [True, False, False]
    assert (door.banned, room.list_bans()) == ({}, [])


@pytest.mark.parametrize("content", [b"", b"{", b'[{"node_key": "zz"}]', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_cannot_be_read_bans_nobody_and_stops_nobody(tmp_path: Path, content: bytes) -> None:
    """The error has a code and names the file; the node says so and goes on."""
    (tmp_path / BAN_FILE).write_bytes(content)
    with pytest.raises(BanFileError) as caught:
        read_bans(tmp_path)
    assert caught.value.code == "bans_unreadable"
    assert BAN_FILE in caught.value.sentence
    door = Door()
    room = BanRoom(tmp_path, door, lambda: 0)
    room.look()
    room.record(LIAR, "liar", 60)
    assert (door.banned, room.count(LIAR)) == ({}, 0)
