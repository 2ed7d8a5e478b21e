"""A bench's report for people: one line per figure, in two languages. Never a calculation here but of shown units."""

from collections.abc import Sequence
from typing import Final

import click
from rich.cells import cell_len

from node.bench.report import LoadFigures, Report

LABELS: Final[dict[str, tuple[str, str]]] = {
    "network": ("network", "网络"),
    "machine": ("machine", "机器"),
    "idle": ("idle, share of a core", "空载处理器占用（单核）"),
    "lone": ("lone transaction", "单笔交易延迟"),
    "load": ("load", "负载"),
    "throughput": ("final, executed and saved", "终局、执行并落盘"),
    "latency": ("latency from due", "自应提交时刻起的延迟"),
    "answers": ("accepted / refused / not taken", "接受/拒绝/未收"),
    "outcome": ("final / failed / lost / twice", "终局/执行失败/丢失/重复"),
    "busy": ("busy answers, backlog at the end", "繁忙应答，结束时积压"),
    "blocks": ("blocks and views per second", "每秒区块与视图"),
    "processor": ("processor per transaction", "每笔处理器用时"),
    "machine_share": ("processor of the machine", "整机处理器占用"),
    "generator": ("of it the load generator", "其中负载发生器"),
    "signing": ("signing beforehand, apart", "预先签名（另计）"),
    "memory": ("memory, now and peak", "内存（当前与峰值）"),
    "wire": ("wire, sent and received", "网络收发"),
    "written": ("written to disk", "磁盘写入"),
    "disk": ("kept on disk", "磁盘保留"),
    "sync": ("new observer, full verification", "新观察节点完整校验同步"),
    "agree": ("nodes agree", "各节点一致"),
    "yes": ("yes", "是"),
    "no": ("NO", "否"),
}

VALUES: Final[dict[str, tuple[str, str]]] = {
    "network": (
        "{validators} validators, {observers} observer, {kind}, {accounts} senders",
        "{validators} 个验证节点，{observers} 个观察节点，{kind}，{accounts} 个付款方",
    ),
    "machine": (
        "{cores} cores, Python {python}, {filesystem}; before: load average {load}, {us} us per signature check",
        "{cores} 核，Python {python}，{filesystem}；此前平均负载 {load}，每次验签 {us} 微秒",
    ),
    "idle": ("{percent} % (busiest node)", "{percent} %（最忙节点）"),
    "load": (
        "{planned} at {rate} tx/s in groups of {group}, {dead} validators dead",
        "{planned} 笔，{rate} 笔/秒，每组 {group} 笔，{dead} 个验证节点停机",
    ),
    "throughput": ("{rate} tx/s ({final} in {seconds} s)", "{rate} 笔/秒（{seconds} 秒内 {final} 笔）"),
    "processor": ("{us} us at each validator", "每个验证节点 {us} 微秒"),
    "machine_share": (
        "{machine} % busy, {bench} % by nodes and load generator",
        "占用 {machine} %，其中节点与负载发生器 {bench} %",
    ),
    "generator": ("{percent} % of a core, {seconds} s", "单核 {percent} %，{seconds} 秒"),
    "signing": (
        "{processor} s of processor, {bytes} bytes per transaction",
        "处理器 {processor} 秒，每笔 {bytes} 字节",
    ),
    "memory": ("{now} MB, {peak} MB (largest node)", "{now} MB，{peak} MB（最大节点）"),
    "wire": (
        "{sent} and {received} bytes per transaction at each validator",
        "每个验证节点每笔 {sent} 与 {received} 字节",
    ),
    "written": ("{bytes} bytes per transaction at each validator", "每个验证节点每笔 {bytes} 字节"),
    "disk": (
        "{bytes} bytes per transaction ({total} MB for {count})",
        "每笔 {bytes} 字节（{count} 笔共 {total} MB）",
    ),
    "sync": (
        "{rate} tx/s, {core} tx/s per core, {checks} checks per tx ({count} in {seconds} s, peak {peak} MB)",
        "{rate} 笔/秒，单核 {core} 笔/秒，每笔合 {checks} 次验签（{seconds} 秒内 {count} 笔，内存峰值 {peak} MB）",
    ),
}


class _Rows:
    """Lines in one language."""

    def __init__(self, language: str) -> None:
        self._column = 1 if language == "zh" else 0
        self.lines: list[tuple[str, str]] = []

    def add(self, label: str, value: str = "", **values: object) -> None:
        """One line: a value as it is, or the label's text filled in."""
        text = VALUES[label][self._column].format(**values) if values else value
        self.lines.append((LABELS[label][self._column], text))

    def say(self, word: str) -> str:
        """One word."""
        return LABELS[word][self._column]


def make_rows(report: Report, language: str) -> Sequence[tuple[str, str]]:
    """(label, value) of each line."""
    rows = _Rows(language)
    asked, machine = report.asked, report.machine
    rows.add(
        "network",
        validators=asked.validators,
        observers=int(asked.observer),
        kind=asked.kind,
        accounts=asked.accounts,
    )
    rows.add(
        "machine",
        cores=machine.cores,
        python=machine.python,
        filesystem=machine.filesystem or "?",
        load=machine.load_average_before,
        us=machine.signature_check_us,
    )
    if report.idle is not None:
        rows.add("idle", percent=report.idle.processor_percent_of_core_max)
    if report.lone is not None:
        lone = report.lone
        rows.add("lone", f"p50 {lone.latency_p50_ms} ms, p95 {lone.latency_p95_ms} ms, max {lone.latency_max_ms} ms")
    for load in report.loads:
        _add_load(rows, report, load)
    if report.sync is not None:
        sync = report.sync
        rows.add(
            "sync",
            rate=sync.tx_per_s,
            core=sync.tx_per_core_s,
            checks=sync.signature_checks_per_transaction,
            count=sync.transactions,
            seconds=sync.seconds,
            peak=sync.memory_peak_mb,
        )
    rows.add(
        "disk",
        bytes=round(report.disk.kept_bytes_per_transaction),
        total=round(report.disk.kept_bytes / 1e6, 1),
        count=report.disk.transactions,
    )
    rows.add("agree", rows.say("yes" if report.nodes_agree else "no"))
    return rows.lines


def _add_load(rows: _Rows, report: Report, load: LoadFigures) -> None:
    rows.add(
        "load",
        planned=load.planned,
        rate=report.asked.rate_tx_per_s,
        group=load.group_transactions,
        dead=load.validators_dead,
    )
    rows.add("throughput", rate=load.final_tx_per_s, final=load.final, seconds=load.seconds)
    rows.add(
        "latency",
        f"p50 {load.latency_p50_ms} ms, p95 {load.latency_p95_ms} ms, p99 {load.latency_p99_ms} ms,"
        f" max {load.latency_max_ms} ms",
    )
    codes = "".join(f" {code}={count}" for code, count in {**load.refused_by_code, **load.failed_by_code}.items())
    rows.add("answers", f"{load.accepted} / {load.refused} / {load.not_taken}{codes}")
    rows.add("outcome", f"{load.final} / {load.failed} / {load.lost} / {load.executed_twice}")
    rows.add("busy", f"{load.busy_answers}, {load.backlog_at_end_of_submission}")
    rows.add("blocks", f"{load.blocks_per_s}, {load.views_per_s}")
    rows.add("processor", us=load.validator_processor_us_per_transaction)
    rows.add("machine_share", machine=load.machine_processor_percent, bench=load.bench_processor_percent_of_machine)
    rows.add("generator", percent=load.generator_processor_percent_of_core, seconds=load.generator_processor_s)
    rows.add("signing", processor=load.signing.processor_s, bytes=load.signing.bytes_per_transaction)
    rows.add(
        "memory",
        now=max(one.memory_now_mb for one in load.nodes.values()),
        peak=max(one.memory_peak_mb for one in load.nodes.values()),
    )
    rows.add(
        "wire",
        sent=round(load.validator_gossip_sent_bytes_per_transaction),
        received=round(load.validator_gossip_received_bytes_per_transaction),
    )
    rows.add("written", bytes=round(load.validator_disk_written_bytes_per_transaction))


def print_report(report: Report, *, language: str) -> None:
    """The table, and what casts doubt on it."""
    rows = make_rows(report, language)
    width = max(cell_len(label) for label, _ in rows)
    for label, value in rows:
        click.echo(label + " " * (width - cell_len(label) + 2) + value)
    for warning in report.warnings:
        click.echo(f"! {warning}")
