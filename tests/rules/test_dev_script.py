"""`./dev` on a machine that lacks something: one sentence that names the fix, and no half-made environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rules import tree

DEV = tree.ROOT / "dev"
TOOLS = ("dirname", "cksum", "cat", "ls", "id", "date", "rm", "mkdir", "cp")


def run(*arguments: str, shell: str = "sh", env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`./dev` under `shell` with exactly the environment `env`."""
    command = [shutil.which(shell) or shell, str(DEV), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with a shell and coreutils, but no Python and no uv."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    return {"PATH": str(tools), "LIUSHUI_VENV": str(tmp_path / "venv"), "HOME": str(tmp_path)}


def _fake_python(bare: dict[str, str], body: str) -> None:
    script = Path(bare["PATH"]) / "python3"
    script.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
    script.chmod(0o755)


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
def test_the_script_is_plain_posix(shell: str) -> None:
    """Every shell that is here reads it without complaint."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    command = [found, *(["sh"] if shell == "busybox" else []), "-n", str(DEV)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert os.access(DEV, os.X_OK)


def test_help_needs_nothing(bare: dict[str, str]) -> None:
    """`./dev` and `./dev help` print the commands without making an environment."""
    for arguments in ((), ("help",)):
        answer = run(*arguments, env=bare)
        assert answer.returncode == 0
        assert "usage: ./dev COMMAND" in answer.stdout
    assert not Path(bare["LIUSHUI_VENV"]).exists()


def test_an_unknown_command_is_refused(bare: dict[str, str]) -> None:
    """The usage and one sentence, exit code 1."""
    answer = run("frobnicate", env=bare)
    assert answer.returncode == 1
    assert answer.stderr.endswith("dev: there is no command 'frobnicate'\n")


def test_a_machine_without_python_is_told_what_to_install(bare: dict[str, str]) -> None:
    """One sentence, and nothing is left behind."""
    answer = run("demo", env=bare)
    assert answer.returncode == 1
    assert answer.stderr.startswith("dev: no Python >= 3.11 found: install ")
    assert answer.stderr.count("\n") == 1
    assert not Path(bare["LIUSHUI_VENV"]).exists()


def test_an_old_python_does_not_count(bare: dict[str, str]) -> None:
    """An interpreter that does not confirm its version is as good as none; a promise by name is not believed."""
    _fake_python(bare, "exit 0")
    assert "no Python >= 3.11 found" in run("demo", env=bare).stderr
    assert "LIUSHUI_PYTHON=python3 is not a working" in run("demo", env=bare | {"LIUSHUI_PYTHON": "python3"}).stderr


def test_debian_without_ensurepip_is_told_the_package(bare: dict[str, str]) -> None:
    """Python is there, pip and ensurepip are not: the one apt line, for somebody who is not root."""
    venv = Path(bare["LIUSHUI_VENV"])
    _fake_python(
        bare,
        f'''case "$*" in
*version_info\\ \\>=*) echo {bare["PATH"]}/python3 ;;
*version_info\\[:2\\]*) echo 3.11 ;;
*--without-pip*) mkdir -p "{venv}/bin"; echo > "{venv}/pyvenv.cfg"; cp "$0" "{venv}/bin/python" ;;
*) exit 1 ;;
esac''',
    )
    for name, body in {"apt-get": "exit 1", "id": "echo 1000"}.items():
        tool = Path(bare["PATH"]) / name
        tool.unlink(missing_ok=True)
        tool.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
        tool.chmod(0o755)
    answer = run("demo", env=bare)
    assert answer.returncode == 1
    assert "run 'sudo apt-get install -y python3.11-venv'" in answer.stderr.splitlines()[-1]


def test_a_directory_of_somebody_else_is_left_alone(bare: dict[str, str]) -> None:
    """LIUSHUI_VENV naming a directory with other things in it is an error, not a loss."""
    precious = Path(bare["LIUSHUI_VENV"]) / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years of work", "utf-8")
    answer = run("demo", env=bare)
    assert answer.returncode == 1
    assert "exists and is not a Python environment" in answer.stderr
    assert precious.read_text("utf-8") == "years of work"
