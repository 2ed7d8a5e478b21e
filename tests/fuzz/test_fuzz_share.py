"""A share of the fuzzers with every test run, and that they would notice; `python -m tests.fuzz` runs for longer."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import ConfigError, load_config
from node.store.appendlog import LogError, encode_group
from node.store.payloadlog import PayloadLog
from node.store.stopfile import STOP_FILE, StopFile
from node.store.votelog import VoteLog
from protocol.genesis import GenesisError, decode_genesis
from tests.fuzz.mutate import vary_bytes
from tests.fuzz.runner import CASE_SECONDS_MAX, TAKEN, Feed, Target, make_case, run
from tests.fuzz.targets import NOT_CANONICAL, TARGETS, feeding

SEED = 20_261_126
CASES = {"statement": 120, "invoices": 400, "submit": 200, "chunk": 300, "votes": 200, "payloads": 200}
CASES_USUAL = 600
SHALLOW = {NOT_CANONICAL, "malformed", "malformed_request", "receipt_malformed", "rows_malformed"}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_whatever_comes_is_taken_or_refused_with_a_code(name: str) -> None:
    """Hostile variations of valid bytes: a typed refusal, soon, in bounded memory; and the valid bytes are taken."""
    target = TARGETS[name]
    with target.open() as feed:
        said = [feed(seed) for seed in target.make_seeds()]
    assert not SHALLOW.intersection(said), f"a seed of {name} goes no deeper than its form: {said}"
    assert name == "submit" or any(one.startswith(TAKEN) for one in said), f"no seed of {name} is valid"
    report = run(target, seed=SEED, cases=CASES.get(name, CASES_USUAL))
    assert report.failure is None, report.describe()
    assert len(report.outcomes) > 1, f"cases of {name} reach nothing: {report.outcomes}"


def _raise(data: bytes) -> str:
    if len(data) % 3 == 0:
        raise IndexError("a decoder of ours")
    return TAKEN


def _spin(data: bytes) -> str:
    until_s = time.process_time() + 9 * CASE_SECONDS_MAX * (len(data) % 3 == 0)
    while time.process_time() < until_s:
        pass
    return TAKEN


def _hoard(data: bytes) -> str:
    return TAKEN if bytearray(64 << 20) else ""


@pytest.mark.parametrize(("feed", "word"), [(_raise, "IndexError"), (_hoard, "MiB")])
def test_a_fault_is_seen_and_its_case_comes_again(feed: Feed, word: str) -> None:
    """An exception that is no refusal and too much memory end a run; seed and number give the same bytes."""
    target = Target("planted", "a planted fault", lambda: (b"a valid one",), feeding(feed), vary_bytes)
    report = run(target, seed=1, cases=200)
    assert report.failure is not None
    assert word in report.failure.reason
    assert make_case(target, target.make_seeds(), 1, report.failure.number) == report.failure.data
    assert f"--seed 1 --case {report.failure.number}" in report.describe()


def test_a_slow_decoder_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time of a case is bounded."""
    monkeypatch.setattr("tests.fuzz.runner.CASE_SECONDS_MAX", 0.01)
    monkeypatch.setitem(_spin.__globals__, "CASE_SECONDS_MAX", 0.01)
    report = run(Target("slow", "", lambda: (b"abc",), feeding(_spin), vary_bytes), seed=1, cases=50)
    assert report.failure is not None
    assert "processor time" in report.failure.reason


# ---------------------------------------------------------------------- what the fuzzers have found


@pytest.mark.parametrize("record", [b"", b"\xc1", b"not a record"])
@pytest.mark.parametrize("opened", [VoteLog.open, PayloadLog.open])
def test_a_whole_group_of_what_no_node_writes_is_damage(
    tmp_path: Path, record: bytes, opened: Callable[[Path], object]
) -> None:
    """Checksums that fit prove no record: such a log is refused by name, not with a trace, and is left as it was."""
    path = tmp_path / "some.log"
    raw = encode_group(0, [record])
    path.write_bytes(raw)
    with pytest.raises(LogError) as caught:
        opened(path)
    assert (caught.value.code, path.read_bytes()) == ("log_damaged", raw)


def test_a_log_cut_by_a_crash_is_still_opened(tmp_path: Path) -> None:
    """The check above does not take a torn write for damage."""
    path = tmp_path / "votes.wal"
    whole = encode_group(0, [])
    path.write_bytes(whole + encode_group(1, [b"\xc1"])[:-1])
    log, records = VoteLog.open(path)
    asyncio.run(log.close())
    assert (records, path.read_bytes()) == ([], whole)


@pytest.mark.parametrize("raw", [b'[{"code":"\xff"}]', b"[" * 100_000])
def test_json_that_is_no_text_or_has_no_end_is_refused_by_name(tmp_path: Path, raw: bytes) -> None:
    """Neither bytes that are no UTF-8 nor endless nesting end in a trace."""
    (tmp_path / STOP_FILE).write_bytes(raw)
    with pytest.raises(LogError):
        StopFile.open(tmp_path)
    with pytest.raises(GenesisError):
        decode_genesis(raw)


@pytest.mark.parametrize("line", ['data_dir = "\\u0000"', "api_port = " + "9" * 5_000])
def test_settings_that_no_machine_can_use_are_refused_by_name(tmp_path: Path, line: str) -> None:
    """A path with a zero byte and a number without end."""
    (tmp_path / "config.toml").write_text(f'name = "a"\nrole = "observer"\n{line}\n')
    with pytest.raises(ConfigError):
        load_config(tmp_path, environment={})
