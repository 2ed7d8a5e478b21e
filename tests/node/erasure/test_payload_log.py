"""What the payload log forgot, by an order or by its age, is not left in any file, whenever the node ends."""

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.store import appendlog, payloadlog
from node.store.appendlog import AppendLog, encode_group
from node.store.payloadlog import PayloadLog
from protocol.ids import BatchDigest, Height
from tests.fuzz.samples import make_block

SECRET = b"seventeen-noodles"


def search(directory: Path) -> list[str]:
    """Files that say it."""
    return [path.name for path in sorted(directory.rglob("*")) if path.is_file() and SECRET in path.read_bytes()]


def list_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def drop(raw: bytes) -> bool:
    return SECRET not in raw


async def test_what_was_forgotten_for_its_age_alone_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever still holds the old file reads zeros; what is not saved yet stays, and the log goes on."""
    monkeypatch.setattr(payloadlog, "REWRITE_BYTES", 1)
    path = tmp_path / "payload.log"
    block = make_block()
    first, second, third = (
        msgspec.structs.replace(block, header=msgspec.structs.replace(block.header, height=Height(height)))
        for height in (1, 2, 3)
    )
    log, _, _ = PayloadLog.open(path)
    await log.append([(first, [(BatchDigest(bytes(32)), SECRET)]), (second, [(BatchDigest(b"2" * 32), b"kept")])])
    assert search(tmp_path) == ["payload.log"]
    with path.open("rb") as old:
        await log.prune(Height(first.header.height))
        said = old.read()
    assert said.strip(b"\0") == b""
    assert len(said) > len(SECRET)
    assert search(tmp_path) == []
    await log.append([(third, [])])
    await log.close()
    again, blocks, batches = PayloadLog.open(path)
    await again.close()
    assert [one.header.height for one in blocks.values()] == [second.header.height, third.header.height]
    assert list(batches.values()) == [b"kept"]
    assert list_names(tmp_path) == ["payload.log"]


async def test_what_a_crash_left_of_a_rewrite_is_overwritten_at_the_start(tmp_path: Path) -> None:
    """The new file before it took its place, and the old one after that; held open, they read as zeros."""
    (tmp_path / "payload.log").write_bytes(encode_group(0, [b"kept"]))
    held = []
    for name in ("payload.new", "payload.old"):
        (tmp_path / name).write_bytes(encode_group(0, [SECRET]))
        held.append((tmp_path / name).open("rb"))
    log, records = AppendLog.open(tmp_path / "payload.log")
    await log.close()
    assert records == [b"kept"]
    assert list_names(tmp_path) == ["payload.log"]
    for file in held:
        with file:
            assert file.read().strip(b"\0") == b""


async def test_a_crash_before_the_new_file_took_its_place_costs_the_log_nothing(tmp_path: Path) -> None:
    """Until then the old name is a second one of the log itself, whose records are promises."""
    path = tmp_path / "payload.log"
    path.write_bytes(encode_group(0, [b"kept"]))
    (tmp_path / "payload.new").write_bytes(encode_group(0, [b"kept"]))
    (tmp_path / "payload.old").hardlink_to(path)
    log, records = AppendLog.open(path)
    await log.close()
    assert records == [b"kept"]
    assert list_names(tmp_path) == ["payload.log"]


async def test_a_rewrite_that_the_disk_refuses_at_its_last_step_costs_the_log_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when the log is closed, nor when it is rewritten again; only then what is to go is gone."""
    path = tmp_path / "payload.log"
    log, _ = AppendLog.open(path)
    await log.append([SECRET, b"kept"])

    def refuse(_self: Path, _target: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(appendlog.LogError):
            await log.rewrite(drop, shred=True)
    await log.close()
    log, records = AppendLog.open(path)
    assert records == [SECRET, b"kept"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(appendlog.LogError):
            await log.rewrite(drop, shred=True)
    await log.rewrite(drop, shred=True)
    await log.close()
    again, records = AppendLog.open(path)
    await again.close()
    assert records == [b"kept"]
    assert search(tmp_path) == []
    assert list_names(tmp_path) == ["payload.log"]


class Watched:
    """A handle that notes what the file says when it is cut."""

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, path.open("a+b", buffering=0)
        self.cut: list[bytes] = []

    def truncate(self, size: int) -> int:
        self.cut.append(self._path.read_bytes()[size:])
        return self._handle.truncate(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


async def test_a_torn_end_is_overwritten_before_it_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a batch may hold whole bins."""
    path = tmp_path / "payload.log"
    torn = encode_group(1, [SECRET + b"rest"])[:-1]
    path.write_bytes(encode_group(0, [b"kept"]) + torn)
    watched: list[Watched] = []
    monkeypatch.setattr(appendlog, "_open_end", lambda one: watched.append(Watched(one)) or watched[-1])
    log, records = AppendLog.open(path)
    await log.close()
    assert records == [b"kept"]
    assert watched[0].cut == [bytes(len(torn))]


async def test_appends_do_not_wait_until_the_old_file_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes wait for this log; and a second rewrite waits for the first."""
    log, _ = AppendLog.open(tmp_path / "payload.log")
    await log.append([SECRET, b"kept"])
    going, shred, begun = threading.Event(), appendlog._shred, asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(path: Path) -> None:
        if path.exists() and path.suffix == ".old":
            loop.call_soon_threadsafe(begun.set)
            going.wait()
        shred(path)

    monkeypatch.setattr(appendlog, "_shred", wait)
    rewriting = asyncio.create_task(log.rewrite(drop, shred=True))
    try:
        await begun.wait()
        await log.append([b"meanwhile"])
        second = asyncio.create_task(log.rewrite(lambda raw: raw != b"kept", shred=True))
        assert not rewriting.done()
        assert search(tmp_path) == ["payload.old"]
    finally:
        going.set()
    await asyncio.gather(rewriting, second)
    await log.close()
    assert list_names(tmp_path) == ["payload.log"]
    again, records = AppendLog.open(tmp_path / "payload.log")
    await again.close()
    assert records == [b"meanwhile"]


async def test_a_rewrite_that_nobody_waits_for_leaves_nothing_behind_a_stopped_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that stops cancels its housekeeping; closing the log does the rest."""
    log, _ = AppendLog.open(tmp_path / "payload.log")
    await log.append([SECRET, b"kept"])
    rewrite, done, going, loop = AppendLog._rewrite, asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def rewrite_and_wait(self: AppendLog, *args: Any) -> None:
        rewrite(self, *args)
        loop.call_soon_threadsafe(done.set)
        going.wait()

    monkeypatch.setattr(AppendLog, "_rewrite", rewrite_and_wait)
    rewriting = asyncio.create_task(log.rewrite(drop, shred=True))
    await done.wait()
    assert search(tmp_path) == ["payload.old"]
    rewriting.cancel()
    await asyncio.gather(rewriting, return_exceptions=True)
    going.set()
    await log.close()
    assert rewriting.cancelled()
    assert search(tmp_path) == []
    assert list_names(tmp_path) == ["payload.log"]


async def test_a_file_system_without_second_names_overwrites_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the open handle; any other refusal of the disk is told, and the log goes on as it was."""
    log, _ = AppendLog.open(tmp_path / "payload.log")
    await log.append([SECRET, b"kept"])

    def refuse(code: int) -> Any:
        def link(_self: Path, _target: Path) -> None:
            raise OSError(code, os.strerror(code))

        return link

    monkeypatch.setattr(Path, "hardlink_to", refuse(errno.EIO))
    with pytest.raises(appendlog.LogError) as caught:
        await log.rewrite(drop, shred=True)
    assert caught.value.code == "log_rewrite_failed"
    monkeypatch.setattr(Path, "hardlink_to", refuse(errno.EPERM))
    with (tmp_path / "payload.log").open("rb") as old:
        await log.rewrite(drop, shred=True)
        assert old.read().strip(b"\0") == b""
    await log.close()
    assert search(tmp_path) == []
