"""What the monitor has told is there after the process was killed: every serial that was shown, once, in order."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from node.monitor.store import ALERTS_FILE, AlertStore

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from node.monitor.store import AlertStore
from node.monitor.records import Kept
from scoring.warning import Watch
from tests.node.monitor.test_webhooks import make_record

async def main():
    store = await AlertStore.open(Path(sys.argv[1]))
    for window in range(1_000_000):
        await store.keep(bytes([1]) * 32, Kept(Watch(), window.to_bytes(32, "big")), [make_record(window)])
        print(store.newest, flush=True)

asyncio.run(main())
"""


async def test_a_killed_process_has_lost_nothing_it_has_told(tmp_path: Path) -> None:
    """Killed between two writes or within one: the watch and its alert stand together, and none is missing."""
    path = tmp_path / ALERTS_FILE
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(path)), stdout=asyncio.subprocess.PIPE, env=environment, cwd=ROOT
    )
    assert child.stdout is not None
    told = 0
    async with asyncio.timeout(60):
        while told < 40:
            told = int(await child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    await child.wait()
    store = await AlertStore.open(path)
    kept = await store.read(0, 200)
    assert [one.serial for one in kept] == list(range(1, len(kept) + 1))
    assert len(kept) >= told
    assert (await store.load(bytes([1]) * 32)).judged == (len(kept) - 1).to_bytes(32, "big")
    assert store.newest == len(kept)
    await store.close()
