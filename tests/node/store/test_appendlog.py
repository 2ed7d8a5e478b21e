"""The append-only log: what a crash may do to it, and what it must refuse."""

import asyncio
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.store.appendlog import AppendLog, LogError, encode_group, parse_groups


async def reread(path: Path) -> list[bytes]:
    """All records of a log on disk."""
    log, records = AppendLog.open(path)
    await log.close()
    return records


async def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    """Reopening gives every record, in the order of the appends."""
    path = tmp_path / "some.log"
    log, records = AppendLog.open(path)
    assert records == []
    await log.append([b"a", b"b"])
    await log.append([b"c"])
    await log.close()
    log, records = AppendLog.open(path)
    assert records == [b"a", b"b", b"c"]
    await log.append([b"d"])
    await log.close()
    assert await reread(path) == [b"a", b"b", b"c", b"d"]


async def test_appends_of_one_turn_share_a_group(tmp_path: Path) -> None:
    """Group commit: appends that wait together cost one group, one checksum, one fdatasync."""
    path = tmp_path / "some.log"
    log, _ = AppendLog.open(path)
    await asyncio.gather(*(log.append([bytes((i,))]) for i in range(20)))
    await log.close()
    groups, _, _ = parse_groups(path.read_bytes(), "some.log")
    assert len(groups) <= 2
    assert [record for group in groups for record in group] == [bytes((i,)) for i in range(20)]


@given(cut=st.integers(min_value=0, max_value=200))
@settings(max_examples=60)
def test_a_torn_last_group_is_cut_off(cut: int) -> None:
    """Whatever length a crash leaves, whole groups stay and the torn one goes; never an error."""
    first, second = encode_group(0, [b"one"]), encode_group(1, [b"two" * 30])
    raw = (first + second)[: len(first) + min(cut, len(second))]
    groups, whole, sequence = parse_groups(raw, "log")
    expected = [[b"one"], [b"two" * 30]] if len(raw) == len(first) + len(second) else [[b"one"]]
    assert groups == expected
    assert whole == sum(len(encode_group(i, group)) for i, group in enumerate(expected))
    assert sequence == len(expected)


@given(at=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
@settings(max_examples=100)
def test_damage_before_the_end_is_an_error_not_a_truncation(at: int, flip: int) -> None:
    """A changed byte anywhere but in the last group stops the node: cutting there would forget votes."""
    first, second = encode_group(0, [b"first vote"]), encode_group(1, [b"second vote"])
    raw = bytearray(first + second)
    raw[at % len(first)] ^= flip
    with pytest.raises(LogError) as caught:
        parse_groups(bytes(raw), "votes.wal")
    assert caught.value.code == "log_damaged"


async def test_rewrite_keeps_what_is_asked_and_goes_on(tmp_path: Path) -> None:
    """Pruning drops refused records, and later appends follow."""
    path = tmp_path / "some.log"
    log, _ = AppendLog.open(path)
    await log.append([b"old", b"new"])
    await log.rewrite(lambda record: record != b"old")
    await log.append([b"newer"])
    await log.close()
    assert await reread(path) == [b"new", b"newer"]


async def test_a_large_append_is_split_so_that_it_can_be_read_back(tmp_path: Path) -> None:
    """What is acknowledged is readable: one turn's records beyond the bound of a group become several groups."""
    path = tmp_path / "some.log"
    records = [bytes((i,)) * (9 * 1024 * 1024) for i in range(4)]
    log, _ = AppendLog.open(path)
    await log.append(records)
    await log.rewrite(lambda record: record[:1] != b"\x01")
    await log.append([b"after"])
    await log.close()
    assert await reread(path) == [records[0], records[2], records[3], b"after"]
    groups, _, _ = parse_groups(path.read_bytes(), "some.log")
    assert len(groups) >= 4


def test_a_users_bytes_that_look_like_a_group_do_not_pass_for_one() -> None:
    """A torn tail that carries a whole group inside a record is still a torn tail."""
    first = encode_group(0, [b"one"])
    torn = encode_group(1, [encode_group(0, [b"planted"]), b"rest" * 10])[:-3]
    groups, whole, sequence = parse_groups(first + torn, "log")
    assert (groups, whole, sequence) == ([[b"one"]], len(first), 1)


async def test_closing_during_a_rewrite_closes_the_file_that_took_its_place(tmp_path: Path) -> None:
    """No handle stays open: the close comes after the rewrite and finds the new file."""
    log, _ = AppendLog.open(tmp_path / "some.log")
    await log.append([b"old", b"new"])
    rewriting = asyncio.create_task(log.rewrite(lambda record: record != b"old"))
    await asyncio.sleep(0)
    await log.close()
    await rewriting
    assert log._handle.closed
    assert await reread(tmp_path / "some.log") == [b"new"]


async def test_a_disk_that_refuses_is_told_and_closing_does_not_raise_it_again(tmp_path: Path) -> None:
    """What could not be written may be torn; the log says so once, closes, and opens again with what was durable."""
    path = tmp_path / "some.log"
    log, _ = AppendLog.open(path)
    await log.append([b"durable"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, hard))
    try:
        for _ in range(2):
            with pytest.raises(LogError) as caught:
                await log.append([b"refused" * 100])
            assert caught.value.code == "log_write_failed"
        await log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await reread(path) == [b"durable"]
