"""The demonstration: a network founded, lenders with pools and products, borrowers with statements, five loans' fates.

    run_demo(headless=True, as_json=True, kill=1, ...) -> exit code

Everything goes through the public API with signed transactions, as any user would. The acts stand in
`node.demo.acts`; what is checked at the end in `node.demo.checks`. Never a shortcut into a node here.
"""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from node.demo.acts import Stage, StoryError
from node.demo.cast import CURRENCY, LENDERS, OBSERVER, SHORT_DAY_MS
from node.demo.checks import check_everything
from node.demo.network import LocalNetwork, NetworkError
from node.demo.report import Report, print_report, to_json
from node.setup import make_testnet
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs

DATA_DIRECTORY: Final = Path(".demo")
STORY_TIMEOUT_S: Final = 75.0


def run_demo(*, headless: bool, as_json: bool, kill: int, time_warp: bool, keep: bool, data_dir: Path | None) -> int:
    """Play the whole story. Returns 0 when all nodes agree and every invariant holds, 1 otherwise, 130 on Ctrl-C."""
    directory = DATA_DIRECTORY if data_dir is None else data_dir
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    try:
        return asyncio.run(_run(directory, console, headless=headless, as_json=as_json, kill=kill, time_warp=time_warp))
    except (NetworkError, StoryError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; all nodes have ended.")
        return 130
    finally:
        if not keep and data_dir is None and headless:
            shutil.rmtree(directory, ignore_errors=True)


def _clear(directory: Path) -> None:
    """Empty our own directory of an earlier run; anything else there is never touched."""
    if not directory.exists():
        return
    if any(directory.iterdir()) and not (directory / "genesis.json").exists():
        raise StoryError(f"{directory} is not empty and holds no earlier demonstration: name another with --data-dir.")
    shutil.rmtree(directory)


async def _run(directory: Path, console: Console, *, headless: bool, as_json: bool, kill: int, time_warp: bool) -> int:
    began = time.monotonic()
    _clear(directory)
    testnet = make_testnet(
        directory,
        lenders=[one.name for one in LENDERS],
        observers=[OBSERVER],
        time_ms=TimeMs(time.time_ns() // 1_000_000),
        day_ms=SHORT_DAY_MS if time_warp else DAY_MS,
        currency=CURRENCY,
    )
    async with LocalNetwork(testnet) as network:
        console.print(f"Starting {len(LENDERS)} lenders and 1 observer, each a process of its own ...")
        await network.start(network.names)
        async with contextlib.AsyncExitStack() as stack:
            stage = await Stage.enter(stack, network, console, time_warp=time_warp)
            async with asyncio.timeout(STORY_TIMEOUT_S):
                await stage.play(kill=kill)
                report = await check_everything(stage, began)
        if as_json:
            sys.stdout.write(msgspec.json.encode(to_json(report)).decode() + "\n")
        else:
            print_report(report, console)
        if not headless:
            await _linger(network, console, report)
    return 0 if report.ok else 1


async def _linger(network: LocalNetwork, console: Console, report: Report) -> None:
    """Keep the network running for whoever wants to look around, until Ctrl-C."""
    console.print(f"\nLook around: {network.get_url(OBSERVER)}/v1/status   (Ctrl-C stops all nodes)")
    if not report.ok:
        return
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    await stop.wait()
    console.print("Stopping ...")
