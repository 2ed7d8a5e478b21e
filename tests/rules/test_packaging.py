"""What is shipped: the wheel holds the four packages and nothing else, and nobody else provides their names."""

import hashlib
import importlib
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.rules import tree

WHEEL_BYTES_MAX = 20 * 1024 * 1024
"""Code, one points model and a web page; a data set that slipped in would be larger."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as hatchling builds it from this tree, without a network."""
    pytest.importorskip("hatchling", reason="the build tool is not installed: run through ./dev test")
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    built = subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = target.glob("*.whl")
    return path


def _source_files() -> set[str]:
    """The files of the four packages, as names inside the wheel."""
    return {
        path.relative_to(tree.ROOT).as_posix()
        for top in tree.PACKAGES
        for path in (tree.ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def _split(wheel: Path) -> tuple[set[str], set[str]]:
    """(files of packages, files of metadata) of a wheel."""
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    return names - metadata, metadata


def test_the_wheel_is_exactly_the_four_packages(wheel: Path) -> None:
    """Every file of the packages, data files too, and no test, document or script."""
    files, metadata = _split(wheel)
    assert files == _source_files()
    assert {name.split("/")[0] for name in files} == set(tree.PACKAGES)
    assert {name.split("/")[-1] for name in metadata} == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"}
    assert wheel.stat().st_size < WHEEL_BYTES_MAX


def test_the_wheel_holds_data_it_needs_and_nothing_that_is_not_run(wheel: Path) -> None:
    """Models with their cards and golden scores, the command line's Chinese with its source; of other kinds of files
    only those that the API serves."""
    files, _ = _split(wheel)
    kinds = {Path(name).suffix for name in files}
    assert kinds <= {".py", ".json", ".md", ".html", ".css", ".js", ".svg", ".png", ".typed", ".mo", ".po"}, kinds
    assert {f"scoring/models/{name}.json" for name in ("golden", "golden-invoices", "cashflow-v1-cny")} <= files
    for name in files:
        parts = name.split("/")
        assert not {"tests", "docs", "docker", "requirements"} & set(parts[:-1]) or parts[:2] == ["node", "api"], name
        assert not parts[-1].startswith(("test_", "conftest", "bench_")), name


def test_what_is_in_the_wheel_runs_by_itself(wheel: Path, tmp_path: Path) -> None:
    """Away from this tree: the command makes a sample, the document is made, the engine gives its golden scores."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import node.cli.main, node.api.app, scoring.selftest\n"
        "assert node.cli.main.__file__.startswith(sys.argv[1])\n"
        "scoring.selftest.run_selftest(); node.api.app.make_openapi('0')\n"
        "node.cli.main.main(sys.argv[2:])"
    )
    words = ["statement", "sample", "--out", str(tmp_path / "sample.csv"), "--seed", "1"]
    call = [sys.executable, "-c", program, str(tmp_path / "site"), *words]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sample.csv").stat().st_size > 0


def test_the_wheel_installs_the_command(wheel: Path) -> None:
    """`liushui` is the one command, and it is the command line's own entry."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert archive.read(name).decode().split() == ["[console_scripts]", "liushui", "=", "node.cli.main:main"]


def test_the_wheel_carries_no_shared_data(wheel: Path) -> None:
    """The training data and the sample statements stay where they are: no file of theirs is in the wheel."""
    shared = tree.ROOT.parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip("../shared/data is absent: nothing to compare with")
    archive = zipfile.ZipFile(wheel)
    ours = {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    theirs = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in shared.rglob("*")
        if path.is_file() and 0 < path.stat().st_size < WHEEL_BYTES_MAX
    }
    assert theirs
    assert not ours & theirs


def test_no_tracked_file_is_shared_data() -> None:
    """The repository holds no copy of a file of ../shared/data either."""
    shared = tree.ROOT.parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip("../shared/data is absent: nothing to compare with")
    sizes = {path.stat().st_size: path for path in tree.tracked_files() if path.stat().st_size}
    same = [path for path in shared.rglob("*") if path.is_file() and path.stat().st_size in sizes]
    ours = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tree.tracked_files()}
    assert [path.name for path in same if hashlib.sha256(path.read_bytes()).hexdigest() in ours] == []


@pytest.mark.parametrize("name", tree.PACKAGES)
def test_each_top_level_name_is_ours(name: str) -> None:
    """`import node` and the like find this tree, and no installed distribution provides the same name."""
    module = importlib.import_module(name)
    assert [Path(path).resolve() for path in module.__path__] == [tree.ROOT / name]
    assert set(packages_distributions().get(name, ())) <= {"liushui"}
