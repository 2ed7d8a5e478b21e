"""docs/walkthrough.md as a reader follows it: word by word, at a terminal, its questions answered by typing."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "docs" / "walkthrough.md", ROOT / "docs" / "walkthrough.zh-CN.md")
ANSWERS = ((b"assphrase: ", b"correct horse battery\n"), (b"confirmation: ", b"correct horse battery\n"))
BUDGET_S = 120


def read_commands(document: Path) -> list[str]:
    """The lines of the document's fenced sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def find_base_port() -> int:
    """The first of eight neighbouring ports that are free on loopback."""
    for base in range(20_000 + os.getpid() % 500 * 20, 60_000, 8):
        holders = [socket.socket() for _ in range(8)]
        try:
            for i, holder in enumerate(holders):
                holder.bind(("127.0.0.1", base + i))
            return base
        except OSError:
            continue
        finally:
            for holder in holders:
                holder.close()
    raise AssertionError("no eight free ports in a row")


class Reader:
    """A person with terminals: types what the document says and remembers what was printed."""

    def __init__(self, folder: Path, base_port: int) -> None:
        self.folder, self.base_port = folder, base_port
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("LIUSHUI_")}
        self.environment |= {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.printed: dict[str, str] = {}
        self.deadline = time.monotonic() + BUDGET_S

    def follow(self, line: str) -> None:
        """Carry out one line of the document."""
        words = [self.printed.get(word, word) for word in shlex.split(self._move_ports(line))]
        assert not [word for word in words if re.fullmatch("[A-Z]{4,}", word)], f"nothing printed what {line!r} needs"
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
            self._wait_ready(value)
            return
        assert words[0] == "liushui", line
        command = [sys.executable, "-m", "node.cli.main", *words[1:]]
        if words[1] == "start":
            self._start(command)
            return
        self._remember(self._type(command))

    def _move_ports(self, line: str) -> str:
        return re.sub(r"\b74(\d\d)\b", lambda found: str(self.base_port + int(found[1])), line)

    def _start(self, command: list[str]) -> None:
        with (self.folder / f"node{len(self.nodes)}.log").open("wb") as log:
            self.nodes.append(
                subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
            )

    def _wait_ready(self, url: str) -> None:
        """As a person would: until the node says that it takes part."""
        while time.monotonic() < self.deadline:
            for i, node in enumerate(self.nodes):
                if node.poll() is not None:
                    pytest.fail(f"a node ended: {(self.folder / f'node{i}.log').read_text()[-500:]}")
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        pytest.fail("no node was ready in time")

    def _type(self, command: list[str]) -> str:
        """Standard output of a command whose questions are answered at a terminal of its own."""
        ours, theirs = os.openpty()
        running = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.set_blocking(ours, False)
        said = asked = b""
        try:
            while running.poll() is None:
                assert time.monotonic() < self.deadline, f"{command} did not end in time: {said!r}"
                try:
                    piece = os.read(ours, 4_096)
                except OSError:
                    piece = b""
                said, asked = said + piece, asked + piece
                for question, answer in (*ANSWERS, (b"[y/N]: ", b"y\n")):
                    if asked.endswith(question):
                        os.write(ours, answer)
                        asked = b""
                time.sleep(0.01)
            assert running.stdout is not None
            text = running.stdout.read().decode()
            assert running.returncode == 0, f"{command}: {said.decode()}{text}"
            return text
        finally:
            running.kill()
            running.wait()
            if running.stdout is not None:
                running.stdout.close()
            os.close(ours)

    def _remember(self, text: str) -> None:
        """The first id printed under each name; a later command's takes its place."""
        found = re.findall(r"^(\w+) +([0-9a-f]{64})$", text, re.MULTILINE)
        self.printed |= {name.upper(): value for name, value in reversed(found)}

    def stop(self) -> list[int]:
        """Ctrl-C in each node's terminal; their exit codes."""
        for node in self.nodes:
            node.send_signal(signal.SIGINT)
        try:
            return [node.wait(timeout=15) for node in self.nodes]
        finally:
            for node in self.nodes:
                node.kill()
                node.wait()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody in an empty directory; whatever happens, no process is left behind."""
    one = Reader(tmp_path, find_base_port())
    yield one
    one.stop()


def test_the_walkthrough_works_word_by_word(reader: Reader) -> None:
    """Every command of the document succeeds in its order, the receipt holds, and all nodes stop cleanly."""
    commands = read_commands(DOCUMENTS[0])
    for line in commands:
        reader.follow(line)
    assert (reader.folder / "repayment.receipt").stat().st_size > 0
    assert {"APPLICATION", "DATA", "OFFER", "LOAN", "TRANSACTION"} <= set(reader.printed)
    assert reader.stop() == [0, 0, 0, 0]


def test_both_languages_give_the_same_commands() -> None:
    """The Chinese document's commands are those of the English one, which are run."""
    english, chinese = (read_commands(document) for document in DOCUMENTS)
    assert english == chinese
    assert len(english) >= 20
