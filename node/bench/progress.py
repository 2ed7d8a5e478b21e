"""One line that is written over while a bench runs, on a terminal only; warnings stay. Texts in two languages."""

import sys
import time
from typing import Final

EVERY_S: Final = 0.25

TEXTS: Final[dict[str, tuple[str, str]]] = {
    "founding": ("Founding {nodes} nodes ...", "正在建立 {nodes} 个节点……"),
    "accounts": ("Opening {count} accounts ...", "正在开立 {count} 个账户……"),
    "loans": ("Granting {count} loans, each with its statement ...", "正在发放 {count} 笔贷款（各附银行流水）……"),
    "idle": ("Idle for {seconds:.0f} s ...", "空载测量 {seconds:.0f} 秒……"),
    "lone": ("One transaction at a time: {done} of {count}", "逐笔测量：{done}/{count}"),
    "signing": ("Signing {count} transactions beforehand ...", "正在预先签名 {count} 笔交易……"),
    "load": (
        "Load, {dead} dead: {seconds:.0f} of {planned:.0f} s, {accepted} accepted, {final} final, {rate:.0f} tx/s",
        "负载（停机 {dead} 个）：{seconds:.0f}/{planned:.0f} 秒，已接受 {accepted}，已终局 {final}，{rate:.0f} 笔/秒",
    ),
    "sync": (
        "A new observer catches up: height {height} of {target}",
        "新观察节点同步中：高度 {height}/{target}",
    ),
    "ending": ("Stopping the nodes ...", "正在停止节点……"),
}


class Progress:
    """The line. `on` is false for `--json`, and where nobody watches."""

    def __init__(self, *, language: str, on: bool) -> None:
        self._column = 1 if language == "zh" else 0
        self._on = on
        self._shown_s = 0.0

    def show(self, text: str, **values: object) -> None:
        """Write the line anew."""
        if self._on:
            self._shown_s = time.monotonic()
            sys.stderr.write("\r\x1b[2K" + TEXTS[text][self._column].format(**values))
            sys.stderr.flush()

    def try_show(self, text: str, **values: object) -> None:
        """The same, unless it was written a moment ago."""
        if time.monotonic() - self._shown_s >= EVERY_S:
            self.show(text, **values)

    def clear(self) -> None:
        """Take the line away."""
        if self._on:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
