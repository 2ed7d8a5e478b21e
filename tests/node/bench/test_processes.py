"""The bench as a user runs it: real node processes under a short load, figures that add up, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.bench.report import Report
from node.bench.table import LABELS, VALUES, make_rows

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.process


def begin(*arguments: str, deaf: bool = False) -> subprocess.Popen[str]:
    """`liushui bench` with these arguments; `deaf`: as a script's background job, which has SIGINT ignored."""
    return subprocess.Popen(
        [sys.executable, "-m", "node.cli.main", "bench", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"LANG": "C"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler),
    )


def end(process: subprocess.Popen[str]) -> None:
    """Whatever a test came to: the bench ends, and its nodes with it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
    process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a bench printed; one that does not come to its end is stopped, so that it leaves nothing either."""
    try:
        return process.communicate(timeout=110)
    finally:
        end(process)


def find_processes(directory: Path) -> list[int]:
    """Processes that were told to work in a directory."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(directory).encode() in command and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def wait_for_load(process: subprocess.Popen[str], directory: Path) -> None:
    """Return when the load is being signed, or runs."""
    until = time.monotonic() + 60
    while not list(directory.glob("network/lane-*.spool")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One run: four validators and an observer, 150 transfers a second for 2 s, then the same with one dead, then a
    newcomer. Its JSON and its directory."""
    directory = tmp_path_factory.mktemp("bench") / "data"
    process = begin(
        "--rate", "150", "--seconds", "2", "--load-only", "--observer", "--sync", "--json", "--data-dir", str(directory)
    )  # fmt: skip
    out, error = finish(process)
    assert process.returncode == 0, out[-2_000:] + error[-2_000:]
    assert error == "", "nothing but the report"
    return json.loads(out), directory


def test_every_transaction_has_one_end(measured: tuple[dict[str, Any], Path]) -> None:
    """Planned = accepted + refused + not taken, and all that were accepted are final, once; both loads ran."""
    report, _ = measured
    assert [one["validators_dead"] for one in report["loads"]] == [0, 1]
    for load in report["loads"]:
        assert load["planned"] == 300
        assert load["planned"] == load["submitted"] + load["not_taken"]
        assert load["submitted"] == load["accepted"] + load["refused"]
        assert load["accepted"] == load["final"] + load["failed"] + load["lost"]
        assert (load["final"], load["lost"], load["executed_twice"]) == (300, 0, 0)
    assert report["nodes_agree"] is True
    assert report["sound"] is True


def test_the_figures_hang_together(measured: tuple[dict[str, Any], Path]) -> None:
    """Throughput is count by time; percentiles rise; means are those of the nodes; each transfer crosses once."""
    report, _ = measured
    full, short = report["loads"]
    assert [(len(one["nodes"]), sorted(one["nodes"])[0]) for one in (full, short)] == [(5, "observer"), (4, "observer")]
    for load in (full, short):
        assert load["final_tx_per_s"] == pytest.approx(load["final"] / load["seconds"], rel=0.02)
        assert load["seconds"] >= load["submit_seconds"] - 1
        assert 0 < load["latency_p50_ms"] <= load["latency_p95_ms"] <= load["latency_p99_ms"] <= load["latency_max_ms"]
        assert 0 < load["blocks"] <= load["views"]
        validators = [one for one in load["nodes"].values() if one["role"] == "validator"]
        for name in ("gossip_sent", "gossip_received", "disk_written"):
            mean = sum(one[f"{name}_bytes"] for one in validators) / len(validators) / 300
            assert load[f"validator_{name}_bytes_per_transaction"] == pytest.approx(mean, abs=0.1)
        for one in load["nodes"].values():
            assert 0 < one["memory_now_mb"] <= one["memory_peak_mb"] < 500
            assert one["processor_s"] > 0
        assert 200 < load["signing"]["bytes_per_transaction"] < 300
        assert load["generator_processor_s"] > 0
        assert load["bench_processor_percent_of_machine"] <= load["machine_processor_percent"] + 5
    # Each validator sends its quarter of the transfers to the three others, and hears theirs.
    raw = full["signing"]["bytes_per_transaction"] * 3 / 4
    assert raw < full["validator_gossip_received_bytes_per_transaction"] < 6 * raw
    everybody = full["nodes"].values()
    sent, received = (sum(one[f"gossip_{way}_bytes"] for one in everybody) for way in ("sent", "received"))
    assert sent == pytest.approx(received, rel=0.05)


def test_a_newcomer_verified_the_whole_chain(measured: tuple[dict[str, Any], Path]) -> None:
    """All transactions of the set-up and of both loads, and it agrees with the others."""
    report, _ = measured
    assert report["sync"]["transactions"] == report["asked"]["set_up_transactions"] + 600
    assert report["sync"]["tx_per_core_s"] > 0
    assert report["disk"]["transactions"] == report["sync"]["transactions"]
    assert report["disk"]["kept_bytes"] == sum(report["disk"]["kept_bytes_by_file"].values())
    assert 400 < report["disk"]["kept_bytes_by_file"]["ledger.sqlite"] / report["disk"]["transactions"] < 5_000


def test_the_schema_is_fixed(measured: tuple[dict[str, Any], Path]) -> None:
    """Under one number no name goes and none changes its meaning: a new set of names is a new number."""
    report, _ = measured
    assert report["schema"] == 1
    assert sorted(report) == [
        "asked", "disk", "idle", "loads", "lone", "machine", "nodes_agree", "schema", "sound", "sync", "warnings",
    ]  # fmt: skip
    units = ("_s", "_ms", "_mb", "_bytes", "_percent", "_transaction", "_core", "_machine")
    numbers = {name for name, value in report["loads"][0].items() if isinstance(value, float)}
    assert {name for name in numbers if not name.endswith(units)} == {"seconds", "submit_seconds"}


def test_nothing_is_left_behind(measured: tuple[dict[str, Any], Path]) -> None:
    """No process and no directory."""
    _, directory = measured
    assert find_processes(directory) == []
    assert not directory.exists()


@pytest.mark.parametrize(
    ("number", "validators", "deaf"), [(signal.SIGINT, 4, False), (signal.SIGINT, 1, True), (signal.SIGTERM, 1, False)]
)
def test_a_bench_that_is_stopped_leaves_nothing(
    tmp_path: Path, number: signal.Signals, validators: int, deaf: bool
) -> None:
    """Ctrl-C in the midst of a load, again and again: exit code 130, every process ended, the directory gone."""
    directory = tmp_path / "data"
    process = begin(
        "--validators", str(validators), "--rate", "50", "--seconds", "60", "--load-only", "--data-dir", str(directory),
        deaf=deaf,
    )  # fmt: skip
    try:
        wait_for_load(process, directory)
        assert len(find_processes(directory)) > validators
        until = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < until:  # up to the very end
            process.send_signal(number)
            time.sleep(0.02)
        out, error = process.communicate(timeout=1)
    finally:
        end(process)
    assert (process.returncode, out, error) == (130, "", "Stopped; all nodes have ended.\n")
    assert find_processes(directory) == []
    assert not directory.exists()


def test_a_bench_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL in the midst of a load: nobody can clean up, and every node ends by itself all the same."""
    directory = tmp_path / "data"
    process = begin(
        "--validators", "1", "--rate", "50", "--seconds", "60", "--load-only", "--data-dir", str(directory)
    )  # fmt: skip
    try:
        wait_for_load(process, directory)
        assert len(find_processes(directory / "network")) >= 1
        process.kill()
        process.communicate()
        until = time.monotonic() + 60
        while find_processes(directory) and time.monotonic() < until:
            time.sleep(0.05)
        assert find_processes(directory) == []
    finally:
        for pid in find_processes(directory):
            os.kill(pid, signal.SIGKILL)


def test_a_node_that_ends_under_way_is_named(tmp_path: Path) -> None:
    """Killed by somebody else in the midst of a load: one sentence with its name, exit code 1, and nothing is left."""
    directory = tmp_path / "data"
    process = begin(
        "--validators", "2", "--rate", "50", "--seconds", "60", "--load-only", "--json", "--data-dir", str(directory)
    )  # fmt: skip
    try:
        wait_for_load(process, directory)
        (victim,) = find_processes(directory / "network" / "v2")
        os.kill(victim, signal.SIGKILL)
        out, error = process.communicate(timeout=60)
    finally:
        end(process)
    assert (process.returncode, error) == (1, "")
    told = json.loads(out)["error"]
    assert told["code"] == "bench_failed"
    assert told["sentence"].startswith("v2 ended with code -9: ")
    assert told["sentence"].endswith("Run it with --keep to read the nodes' logs.")
    assert find_processes(directory) == []
    assert not directory.exists()


def test_people_read_it_in_two_languages(measured: tuple[dict[str, Any], Path]) -> None:
    """Every line in Chinese and in English, with the same numbers."""
    report = msgspec.convert(measured[0], Report)
    english, chinese = make_rows(report, "en"), make_rows(report, "zh")
    assert len(english) == len(chinese) > 20
    assert [label for label, _ in english] != [label for label, _ in chinese]
    assert all(len(pair) == 2 and all(pair) for table in (LABELS, VALUES) for pair in table.values())
    assert dict(chinese)["终局、执行并落盘"].startswith(f"{report.loads[-1].final_tx_per_s} 笔/秒")
    assert dict(english)["final, executed and saved"].startswith(f"{report.loads[-1].final_tx_per_s} tx/s")


@pytest.mark.long
def test_payments_run_on_loans_that_were_really_made(tmp_path: Path) -> None:
    """64 loans applied for, attested, offered and accepted first; then every payment is final once."""
    directory = tmp_path / "data"
    process = begin(
        "--kind", "pay", "--validators", "2", "--rate", "400", "--seconds", "3", "--load-only", "--json",
        "--data-dir", str(directory),
    )  # fmt: skip
    out, error = finish(process)
    assert process.returncode == 0, out[-2_000:] + error[-2_000:]
    report = json.loads(out)
    assert report["asked"]["accounts"] == 64
    (load,) = report["loads"]
    assert (load["final"], load["failed"], load["lost"], load["executed_twice"]) == (1_200, 0, 0, 0)
    assert find_processes(directory) == []
