"""The image's recipe, as far as it can be checked without an engine: pinned, unprivileged, and commands that exist."""

import re
import subprocess
import sys

import pytest

from tests.rules import tree

DOCKERFILE = (tree.ROOT / "docker" / "Dockerfile").read_text("utf-8")
COMPOSE = (tree.ROOT / "docker" / "compose.yaml").read_text("utf-8")


def test_the_image_installs_pinned_hashes_only() -> None:
    """Every pip call requires hashes and resolves nothing, and no other installer runs."""
    calls = re.findall(r"-m pip .*?(?=&&|\n[A-Z#]|\Z)", DOCKERFILE, re.DOTALL)
    assert calls
    assert all("--require-hashes" in call and "--no-deps" in call for call in calls)
    assert not re.search(r"apt-get|curl|wget|uv pip", DOCKERFILE)


def test_the_environment_comes_onto_the_path_after_what_needs_pip() -> None:
    """It is made without pip: once its Python is the first on the PATH, `python -m pip` is no command any more."""
    path = DOCKERFILE.index("PATH=/venv/bin")
    assert path > DOCKERFILE.rindex("python -m pip")
    assert path > DOCKERFILE.rindex("RUN /app/dev"), "the script installs as well"


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last USER is not root, and what comes after it runs nothing as root."""
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")
    assert "\nRUN" not in DOCKERFILE[DOCKERFILE.rindex("\nUSER") :]


def test_copied_files_exist_and_pass_the_ignore_list() -> None:
    """Each COPY names something of this tree that `Dockerfile.dockerignore` lets through."""
    allowed = {
        line[1:]
        for line in (tree.ROOT / "docker" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if "!" in line
    }
    copied = [name for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]]
    assert set(copied) == allowed
    assert all((tree.ROOT / name).exists() for name in copied)
    assert set(tree.PACKAGES) <= set(copied)


def test_published_ports_stay_on_loopback() -> None:
    """The trial network is reachable from its own machine only."""
    ports = re.findall(r'^ +- "([^"]*:\d+:\d+)"$', COMPOSE, re.MULTILINE)
    assert len(ports) == 7
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_commands_and_flags_exist() -> None:
    """Each `liushui` command with its long options is one that the command line's own help names."""
    if not (tree.ROOT / "node" / "cli" / "start.py").exists():
        pytest.skip("the command that starts a node is not there yet")
    text = DOCKERFILE + COMPOSE[: COMPOSE.index("\n  prometheus:")]
    quoted = [re.findall(r'"([^"]+)"', each) for each in re.findall(r"(?:CMD|command:|test:) (\[[^\]]*\])", text)]
    spoken = [each.split() for each in re.findall(r"exec liushui (testnet[^\"\n]*)", text)] + [["version"]]
    wanted: dict[str, set[str]] = {}
    for words in [[word for word in each if word not in ("CMD", "liushui")] for each in quoted] + spoken:
        wanted.setdefault(words[0], set()).update(word for word in words if word.startswith("--"))
    assert wanted.keys() == {"start", "status", "testnet", "version"}
    for command, options in wanted.items():
        call = [sys.executable, "-m", "node.cli.main", command, "--help"]
        answer = subprocess.run(call, cwd=tree.ROOT, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, f"liushui {command}: {answer.stderr}"
        assert options <= set(re.findall(r"--[a-z-]+", answer.stdout)), command
