"""The pinned requirement files: complete, hashed, agreeing with one another, and naming no index."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.rules import tree

NAMES = ("runtime", "dev", "train")
_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; (.+?))? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def read_pins(path: Path) -> dict[str, str]:
    """{name: versions} of a requirement file, several of one name joined. Raises ValueError at any other line."""
    pins: dict[str, str] = {}
    hashes: dict[str, int] = {}
    last = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        pin = _PIN.match(line)
        if pin:
            name, last = pin.group(1), line
            pins[name] = f"{pins[name]} {pin.group(2)}" if name in pins else pin.group(2)
            hashes[last] = 0
        elif _HASH.match(line):
            hashes[last] += 1
        elif not re.match(r"^ +#", line):
            raise ValueError(f"{path.name}:{number}: neither a pin, a hash nor a remark: {line}")
    bare = [name for name, count in hashes.items() if not count]
    if bare:
        raise ValueError(f"{path.name}: without a hash: {bare}")
    return pins


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]).lower()


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_a_hashed_pin(name: str) -> None:
    """So `pip install --require-hashes --no-deps` installs one exact set of files, and no address is in it."""
    assert read_pins(tree.ROOT / "requirements" / f"{name}.txt")


@pytest.mark.parametrize("name", ["dev", "train"])
def test_a_larger_file_contains_the_runtime(name: str) -> None:
    """What is tested is what runs: the larger files pin every runtime dependency to the same version."""
    runtime = read_pins(tree.ROOT / "requirements" / "runtime.txt")
    assert runtime.items() <= read_pins(tree.ROOT / "requirements" / f"{name}.txt").items()


def test_the_files_cover_what_the_project_asks_for() -> None:
    """Each dependency named in pyproject.toml is pinned; when this fails, run `./dev lock`."""
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {
        "runtime": project["project"]["dependencies"],
        "dev": project["dependency-groups"]["dev"],
        "train": project["project"]["optional-dependencies"]["train"],
    }
    for name, requirements in wanted.items():
        pins = read_pins(tree.ROOT / "requirements" / f"{name}.txt")
        assert {_canonical(each) for each in requirements} <= pins.keys()


@pytest.mark.parametrize(
    "line",
    [
        "aiohttp>=3 \\\n    --hash=sha256:" + "0" * 64,
        "aiohttp==3.14.5",
        "aiohttp==3.14.5 \\\n    # via nothing",
        "--extra-index" + "-url https://example.org",
        "aiohttp==3.14.5 \\\n    --hash=md5:00",
    ],
)
def test_a_loose_line_is_refused(tmp_path: Path, line: str) -> None:
    """The reader above can fail: a range, a missing hash, an option or a weak hash is an error."""
    path = tmp_path / "bad.txt"
    path.write_text(line + "\n", "utf-8")
    with pytest.raises(ValueError, match=r"bad\.txt"):
        read_pins(path)
