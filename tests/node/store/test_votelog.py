"""The vote log's amnesia rule and its records."""

from pathlib import Path

import pytest

from consensus.records import VoteRecord
from node.store.appendlog import LogError
from node.store.votelog import VoteLog
from protocol.certificate import Vote, VoteKind
from protocol.ids import BlockDigest, Epoch, Signature, ValidatorIndex, View


def make_record(view: int, epoch: int = 0) -> VoteRecord:
    """A vote of view `view`."""
    return VoteRecord(
        vote=Vote(
            kind=VoteKind.NOTARIZE,
            epoch=Epoch(epoch),
            view=View(view),
            digest=BlockDigest(bytes(32)),
            index=ValidatorIndex(0),
            signature=Signature(bytes(64)),
        )
    )


async def test_records_survive_and_prune_by_view(tmp_path: Path) -> None:
    """Votes come back as they were; pruning keeps the views asked for."""
    path = tmp_path / "votes.wal"
    log, records = VoteLog.open(path)
    assert records == []
    await log.append([make_record(view) for view in (1, 2, 3)])
    await log.prune((Epoch(0), View(2)))
    await log.close()
    log, records = VoteLog.open(path)
    await log.close()
    assert records == [make_record(2), make_record(3)]


async def test_a_log_is_shortened_over_epochs_and_says_from_where_on_it_is_whole(tmp_path: Path) -> None:
    """Views begin anew with each epoch: a high view of an earlier one is older than the first of the next."""
    path = tmp_path / "votes.wal"
    log, _ = VoteLog.open(path)
    assert log.floor == (0, 0)
    records = [make_record(90), make_record(1, epoch=1), make_record(5, epoch=1), make_record(2, epoch=2)]
    await log.append(records)
    await log.prune((Epoch(1), View(4)))
    await log.prune((Epoch(0), View(99)))  # never back
    await log.close()
    log, left = VoteLog.open(path)
    assert (left, log.floor) == (records[2:], (1, 4))
    await log.close()


async def test_a_log_that_was_there_and_is_gone_stops_the_node(tmp_path: Path) -> None:
    """Amnesia rule: a marked but missing log must not be replaced by an empty one."""
    path = tmp_path / "votes.wal"
    log, _ = VoteLog.open(path)
    await log.close()
    path.unlink()
    with pytest.raises(LogError) as caught:
        VoteLog.open(path)
    assert caught.value.code == "vote_log_missing"


async def test_an_emptied_log_stops_the_node_but_a_new_one_does_not(tmp_path: Path) -> None:
    """Amnesia rule: once a vote was logged, a log of no bytes is a lost one; before the first vote it is only new."""
    path = tmp_path / "votes.wal"
    for _ in range(2):
        log, records = VoteLog.open(path)
        assert records == []
        await log.close()
    log, _ = VoteLog.open(path)
    await log.append([make_record(1)])
    await log.prune((Epoch(0), View(9)))
    await log.close()
    log, records = VoteLog.open(path)
    assert records == []
    await log.close()
    path.write_bytes(b"")
    with pytest.raises(LogError) as caught:
        VoteLog.open(path)
    assert caught.value.code == "vote_log_emptied"
