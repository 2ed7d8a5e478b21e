"""A whole bench: found a throw-away network, measure, and leave nothing behind, whatever ends it.

    run_bench(plan, data_dir=None, keep=False, as_json=True, language="en") -> exit code

Every process was started here and is ended here, on Ctrl-C too; the directory goes with them unless it is to be kept.
"""

import asyncio
import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

import msgspec

from node.bench.accounts import ACCOUNTS, LOANS, People, SetUpError
from node.bench.joining import measure_sync
from node.bench.load import LoadError
from node.bench.loading import measure_load
from node.bench.meter import measure_files, measure_signature_check_us
from node.bench.plan import Kind, Plan, PlanError
from node.bench.progress import Progress
from node.bench.quiet import measure_idle, measure_lone
from node.bench.report import SCHEMA, Asked, Disk, LoadFigures, Machine, Report, Sync
from node.bench.site import MEMORY_FILESYSTEMS, NEWCOMER, Site, check_directory, check_disk, check_machine, found
from node.bench.stage import Stage
from node.bench.table import print_report
from node.client.http import ClientError, NodeClient
from node.demo.network import LocalNetwork, NetworkError

SET_UP_S: Final = 300.0
SLOWEST: Final = 4.0
"""A load may take so many times its seconds until everybody gives up."""
AGREE_S: Final = 30.0
INTERRUPTED: Final = 130
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class BenchError(Exception):
    """A bench that did not come to its end; `code` is stable and the sentence says why."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class _Stopper:
    """SIGINT, SIGTERM and SIGHUP ask once; whoever asks again interrupts neither the ending nor the exit."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._asked = False
        self._interrupted = False
        self._cancel: Callable[[], object] | None = None

    def __enter__(self) -> "_Stopper":
        for number in STOP_SIGNALS:
            # nohup means that the terminal may go. A shell's background job has SIGINT ignored and is still asked so.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._interrupted else handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            return
        self._asked = self._interrupted = True
        if self._cancel is None:
            raise KeyboardInterrupt
        self._cancel()

    def arm(self) -> None:
        """From now on the running task is cancelled."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "run by asyncio.run"
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)

    def disarm(self) -> None:
        """From now on all is ending anyway."""
        self._asked = True


def run_bench(plan: Plan, *, data_dir: Path | None, keep: bool, as_json: bool, language: str) -> int:
    """Measure and print. 0 when sound, 1 when a transaction was lost or done twice or nodes disagree, 130 on Ctrl-C.

    Raises BenchError when there is nothing to print.
    """
    progress = Progress(language=language, on=not as_json and sys.stderr.isatty())
    try:
        check_machine()
        with _Stopper() as stopper, _make_directory(data_dir, keep=keep) as directory:
            warnings = [told] if (told := check_disk(directory, plan)) is not None else []
            report = asyncio.run(_run(plan, directory / "network", progress, warnings, stopper))
    except PlanError as error:
        raise BenchError(error.code, error.sentence) from error
    except (SetUpError, LoadError, NetworkError) as error:
        look = "" if keep else " Run it with --keep to read the nodes' logs."
        raise BenchError("bench_failed", f"{str(error).rstrip('.')}.{look}") from error
    except ClientError as error:
        raise BenchError(error.code, error.sentence) from error
    except TimeoutError as error:
        raise BenchError("too_slow", "The network is far too slow for this load: ask for a lower --rate.") from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        progress.clear()
        sys.stderr.write("已停止，所有节点均已结束。\n" if language == "zh" else "Stopped; all nodes have ended.\n")
        return INTERRUPTED
    finally:
        progress.clear()
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        print_report(report, language=language)
    return 0 if report.sound else 1


@contextlib.contextmanager
def _make_directory(data_dir: Path | None, *, keep: bool) -> Iterator[Path]:
    """A directory of the bench's own, removed afterwards unless it is to be kept."""
    if data_dir is None:
        directory = Path(tempfile.mkdtemp(prefix="liushui-bench-"))
        made = True
    else:
        check_directory(data_dir)
        directory, made = data_dir.resolve(), not data_dir.exists()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlanError("directory_unwritable", f"{data_dir} cannot be made: {error.strerror}.") from error
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory if made else directory / "network", ignore_errors=True)


async def _run(plan: Plan, directory: Path, progress: Progress, warnings: list[str], stopper: _Stopper) -> Report:
    stopper.arm()
    limit_s = SET_UP_S + SLOWEST * plan.seconds * len(plan.dead) + (plan.transactions / 100 if plan.sync else 0)
    async with asyncio.timeout(limit_s):
        progress.show("founding", nodes=plan.nodes)
        site = found(directory, plan)
        if site.filesystem in MEMORY_FILESYSTEMS:
            warnings.append(f"{directory} lies in memory ({site.filesystem}), where fsync costs nothing: name a disk.")
        async with contextlib.AsyncExitStack() as stack:
            network = await stack.enter_async_context(LocalNetwork(site.testnet))
            stack.push_async_callback(network.kill_all)  # its data is thrown away: nobody waits for a clean stop
            stage = Stage(plan, site, network, People(site, plan.kind), progress)
            report = await _measure(stage, stack, warnings)
            stopper.disarm()
            return report


async def _measure(stage: Stage, stack: contextlib.AsyncExitStack, warnings: list[str]) -> Report:
    plan, network, progress = stage.plan, stage.network, stage.progress
    machine = _describe_machine(stage.site)
    await network.start([name for name in network.names if name != NEWCOMER])
    for name in network.names:
        if name != NEWCOMER:
            stage.clients[name] = await stack.enter_async_context(NodeClient(network.get_url(name)))
    count, text = (ACCOUNTS, "accounts") if plan.kind is Kind.TRANSFER else (LOANS, "loans")
    progress.show(text, count=count)
    await stage.people.open([stage.clients[name] for name in stage.validators])
    asked = _describe_plan(stage)
    await stage.kill_down_to(plan.dead[0])
    idle = None if plan.load_only else await measure_idle(stage)
    lone = None if plan.load_only else await measure_lone(stage)
    loads: list[LoadFigures] = [await measure_load(stage, dead) for dead in plan.dead]
    sync: Sync | None = None
    if plan.sync:
        sync = await measure_sync(stage)
        stage.clients[NEWCOMER] = await stack.enter_async_context(NodeClient(network.get_url(NEWCOMER)))
    agree = await _check_agreement(stage)
    disk = await _measure_disk(stage)
    return Report(
        schema=SCHEMA,
        machine=machine,
        asked=asked,
        idle=idle,
        lone=lone,
        loads=loads,
        sync=sync,
        disk=disk,
        nodes_agree=agree,
        sound=agree and not any(one.lost or one.executed_twice for one in loads),
        warnings=warnings,
    )


def _describe_machine(site: Site) -> Machine:
    return Machine(
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        platform=platform.platform(),
        filesystem=site.filesystem,
        load_average_before=round(os.getloadavg()[0], 2),
        signature_check_us=round(measure_signature_check_us(), 1),
    )


def _describe_plan(stage: Stage) -> Asked:
    plan = stage.plan
    return Asked(
        validators=plan.validators,
        observer=plan.observer,
        kind=plan.kind,
        rate_tx_per_s=plan.rate,
        transactions_per_load=plan.transactions,
        accounts=len(stage.people.senders),
        set_up_transactions=stage.people.submitted,
    )


async def _measure_disk(stage: Stage) -> Disk:
    """Stop one validator as an operator would, and weigh what it leaves."""
    stage.progress.show("ending")
    name = stage.validators[0]
    await stage.network.stop([name])
    files = measure_files(stage.network.get_place(name).directory)
    total = stage.people.submitted
    return Disk(
        transactions=total,
        kept_bytes=sum(files.values()),
        kept_bytes_per_transaction=round(sum(files.values()) / total, 1),
        kept_bytes_by_file=files,
    )


async def _check_agreement(stage: Stage) -> bool:
    """Whether all nodes come to stand at one height with one root."""
    try:
        async with asyncio.timeout(AGREE_S):
            while True:
                states = (await stage.read_statuses()).values()
                if len({(one["exec_height"], one["exec_root"]) for one in states}) == 1:
                    return True
                await asyncio.sleep(0.1)
    except TimeoutError:
        return False
