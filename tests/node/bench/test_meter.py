"""What processes use, against processes whose use is known; and what is told while a bench runs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.bench.meter import list_session, measure_files, measure_signature_check_us, read_machine_s, read_usage
from node.bench.progress import TEXTS, Progress

BURN = """
import subprocess, sys, time
held = bytearray(40_000_000)
helper = subprocess.Popen([sys.executable, "-c", "held = bytearray(30_000_000); input()"], stdin=subprocess.PIPE)
until = time.process_time() + 0.3
while time.process_time() < until:
    pass
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass"])
print("done", flush=True)
input()
helper.communicate(b"x")
"""


def test_a_node_is_its_process_and_all_that_it_started() -> None:
    """Processor of the living and the ended, memory of all, and nothing of anybody else's."""
    process = subprocess.Popen(
        [sys.executable, "-c", BURN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        time.sleep(0.3)  # the helper comes up
        members = list_session(process.pid)
        assert members[0] == process.pid
        assert len(members) == 2
        used = read_usage(process.pid)
        assert 0.55 < used.processor_s < 1.5
        assert 80 < used.memory_now_mb <= used.memory_peak_mb < 200
    finally:
        process.communicate(b"x\n")
    with pytest.raises(OSError, match=str(process.pid)):
        read_usage(process.pid)


def test_what_a_node_keeps_is_its_files_but_for_keys_and_log(tmp_path: Path) -> None:
    """Those of directories below, too."""
    for name, size in {
        "ledger.sqlite": 5,
        "payload.log": 3,
        "snapshots/8192/rows": 7,
        "keys/node.key": 65,
        "node.log": 900,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert measure_files(tmp_path) == {"ledger.sqlite": 5, "payload.log": 3, "snapshots/8192/rows": 7}


def test_the_machine_is_busy_at_most_all_of_the_time() -> None:
    """Both counters rise, over all cores."""
    busy_before, all_before = read_machine_s()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    busy, whole = read_machine_s()
    assert 0.1 < busy - busy_before <= whole - all_before + 0.05


def test_the_speed_of_a_core_is_told_in_signature_checks() -> None:
    """Processor time, so waiting for a core does not count; between what is possible and what would be absurd."""
    assert 20 < measure_signature_check_us() < 1_000


def test_progress_is_one_line_in_either_language_and_nothing_when_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each text can be filled in in both; without a terminal not a byte is written."""
    numbers = ("nodes", "count", "done", "dead", "accepted", "final", "height", "target", "seconds", "planned", "rate")
    values = dict.fromkeys(numbers, 7)
    for language in ("en", "zh"):
        shown = Progress(language=language, on=True)
        for text in TEXTS:
            shown.show(text, **values)
            line = capsys.readouterr().err
            assert line.startswith("\r\x1b[2K")
            assert "{" not in line
            assert "\n" not in line
        shown.try_show("ending")
        shown.clear()
        assert capsys.readouterr().err == "\r\x1b[2K", "a line that was just written is left"
    hidden = Progress(language="en", on=False)
    hidden.show("ending")
    hidden.clear()
    assert capsys.readouterr().err == ""
