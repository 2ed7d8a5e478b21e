"""Founding a network: what lies on disk afterwards is what nodes load."""

from pathlib import Path

import pytest

from node.config import load_config
from node.keystore import load_node_keys
from node.setup import EPOCH_DAY, make_testnet
from node.store.appendlog import LogError
from node.store.votelog import BEGINNING, VOTES, VoteLog
from protocol.genesis import DAY_MS, GenesisError, decode_genesis, encode_genesis
from protocol.ids import TimeMs

NOW = TimeMs(1_790_000_000_123)


def test_every_node_loads_what_was_laid_out(tmp_path: Path) -> None:
    """Each node's keys are those the genesis names, and its config points at all others."""
    testnet = make_testnet(tmp_path / "net", lenders=("a", "b", "c", "d"), observers=("o",), time_ms=NOW)
    members = {member.name: member for member in testnet.genesis.members}
    for place in testnet.nodes:
        config = load_config(place.directory, environment={})
        keys = load_node_keys(place.directory)
        genesis = decode_genesis(Path(config.genesis).read_bytes())
        assert genesis.calculate_chain_id() == testnet.genesis.calculate_chain_id()
        assert members[place.name].node_key == keys.node.public_key
        assert members[place.name].enc_key == keys.enc_key
        assert (keys.validator is None) == (place.role == "observer")
        assert {peer.name for peer in config.peers} == {"a", "b", "c", "d", "o"} - {place.name}
    assert len({place.listen_port for place in testnet.nodes} | {place.api_port for place in testnet.nodes}) == 10


async def test_a_validators_vote_log_is_marked_before_it_ever_started(tmp_path: Path) -> None:
    """One that is gone at the very first start was lost as well; an observer has none to lose."""
    testnet = make_testnet(tmp_path / "net", lenders=("a",), observers=("o",), time_ms=NOW)
    assert not (testnet.directory / "o" / VOTES).exists()
    log, records = VoteLog.open(testnet.directory / "a" / VOTES)
    assert (records, log.floor) == ([], BEGINNING)
    await log.close()
    (testnet.directory / "a" / VOTES).unlink()
    with pytest.raises(LogError) as caught:
        VoteLog.open(testnet.directory / "a" / VOTES)
    assert caught.value.code == "vote_log_missing"


def test_whole_days_begin_at_midnight_and_days_invert(tmp_path: Path) -> None:
    """Contract days are calendar days; calculate_day_start_ms is the first instant of the day."""
    genesis = make_testnet(tmp_path / "net", lenders=("a",), time_ms=NOW).genesis
    assert genesis.time_ms % DAY_MS == 0
    assert genesis.calculate_day(NOW, 0) == EPOCH_DAY + NOW // DAY_MS
    for offset in (-720, 0, 480, 840):
        day = genesis.calculate_day(NOW, offset)
        first = genesis.calculate_day_start_ms(day, offset)
        assert genesis.calculate_day(first, offset) == day
        assert genesis.calculate_day(TimeMs(first - 1), offset) == day - 1


def test_a_network_is_never_founded_over_another(tmp_path: Path) -> None:
    """Keys of a living network must not be overwritten."""
    make_testnet(tmp_path / "net", lenders=("a",), time_ms=NOW)
    with pytest.raises(FileExistsError):
        make_testnet(tmp_path / "net", lenders=("a",), time_ms=NOW)


def test_a_genesis_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    """One key in two roles would let one signature speak for both."""
    text = encode_genesis(make_testnet(tmp_path / "net", lenders=("a", "b"), time_ms=NOW).genesis).decode()
    first, second = (part.split('"')[3] for part in text.split('"officer_key"')[1:3] for part in ['"x"' + part])
    with pytest.raises(GenesisError, match="twice"):
        decode_genesis(text.replace(second, first).encode())
