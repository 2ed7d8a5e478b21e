"""The tree keeps the house rules, and every rule can fail: each is first shown a text that breaks it."""

import ast
from pathlib import Path

import pytest

from tests.rules import tidy, tree
from tests.rules.tidy import Rule


def _findings(paths: list[Path], rule: Rule) -> list[str]:
    return [
        f"{path.relative_to(tree.ROOT)}:{line}: {what}"
        for path in paths
        for line, what in rule(ast.parse(path.read_text("utf-8")))
    ]


def test_the_core_holds_integers_only() -> None:
    """Protocol, consensus and the verified part of scoring: no float literal, no `/`, no `float`."""
    assert _findings(tree.verified_core(), tidy.find_inexact_numbers) == []


def test_the_core_never_uses_the_order_of_a_set() -> None:
    """Order is part of the protocol: no iteration over a set without `sorted`, no `hash()`."""
    assert _findings(tree.verified_core(), tidy.find_unordered) == []


def test_only_node_is_asynchronous() -> None:
    """No `async def` below `node`."""
    assert _findings(tree.python_files("protocol", "consensus", "scoring"), tidy.find_async) == []


def test_functions_are_short() -> None:
    """No function has more than 70 lines."""
    assert _findings(tree.python_files(*tree.PACKAGES, "tests"), tidy.find_long_functions) == []


def test_files_are_short() -> None:
    """No Python file has more than 500 lines."""
    files = tree.python_files(*tree.PACKAGES, "tests")
    lines = {str(path.relative_to(tree.ROOT)): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > tidy.FILE_LINES_MAX} == {}


def test_every_file_says_what_it_is_for() -> None:
    """The first statement of every Python file is a docstring."""
    assert _findings(tree.python_files(*tree.PACKAGES, "tests"), tidy.find_missing_docstring) == []


def test_package_files_hold_a_docstring_only() -> None:
    """`__init__.py` has no code, so importing a leaf never imports its siblings."""
    files = [path for path in tree.python_files(*tree.PACKAGES, "tests") if path.name == "__init__.py"]
    assert {path.parent.name for path in files} >= set(tree.PACKAGES)
    assert _findings(files, tidy.find_code_in_init) == []


def test_every_package_directory_is_a_package() -> None:
    """A directory with code but without `__init__.py` would be left out by tools that look for packages."""
    bare = {path.parent for path in tree.python_files(*tree.PACKAGES) if not (path.parent / "__init__.py").exists()}
    assert sorted(str(path.relative_to(tree.ROOT)) for path in bare) == []


def test_tracked_files_name_no_machine_and_no_index_and_are_finished() -> None:
    """No path of one machine, no package index, no mark of unfinished work in any tracked text."""
    files = tree.tracked_files()
    assert len(files) > 20
    texts = ((path, tree.read_text(path)) for path in files)
    assert [
        f"{path.relative_to(tree.ROOT)}:{line}: {what}"
        for path, text in texts
        if text is not None
        for line, what in tidy.find_in_text(text)
    ] == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (tidy.find_inexact_numbers, "x = 0.5"),
        (tidy.find_inexact_numbers, "x = 1e6"),
        (tidy.find_inexact_numbers, "x = 2j"),
        (tidy.find_inexact_numbers, "x = a / b"),
        (tidy.find_inexact_numbers, "x /= b"),
        (tidy.find_inexact_numbers, "def f(x: float) -> int: ..."),
        (tidy.find_inexact_numbers, "from math import sqrt"),
        (tidy.find_inexact_numbers, "import math\nx = math.log(2)"),
        (tidy.find_async, "class A:\n    async def f(self): ..."),
        (tidy.find_long_functions, "def f():\n" + "    x = 1\n" * 70),
        (tidy.find_long_functions, "@a\ndef f():\n" + "    x = 1\n" * 69),
        (tidy.find_missing_docstring, "x = 1"),
        (tidy.find_missing_docstring, ""),
        (tidy.find_missing_docstring, '""'),
        (tidy.find_code_in_init, '"""Doc."""\nfrom a import b'),
        (tidy.find_unordered, "for x in {1, 2}: f(x)"),
        (tidy.find_unordered, "for x in set(a) - b: f(x)"),
        (tidy.find_unordered, "def f(a: frozenset[int]):\n    return [x for x in a]"),
        (tidy.find_unordered, "def f(a: 'int'):\n    s = {x for x in a}\n    return list(s)"),
        (tidy.find_unordered, "class S:\n    seen: set[int]\ndef f(s):\n    for x in s.seen: g(x)"),
        (tidy.find_unordered, "def f(a: set[str]): return ','.join(a)"),
        (tidy.find_unordered, "def f(a: set[str]): return a.pop()"),
        (tidy.find_unordered, "def f(a: set[str]): return [*a]"),
        (tidy.find_unordered, "def f(a: set[str] | None): return {x: 1 for x in a or a}\n[x for x in frozenset(a)]"),
        (tidy.find_unordered, "def f(a): return hash(a)"),
    ],
)
def test_each_rule_finds_what_it_forbids(rule: Rule, source: str) -> None:
    """A planted offence is found."""
    assert rule(ast.parse(source))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (tidy.find_inexact_numbers, "from math import isqrt\nx = isqrt(a // b) ** 2 - 3 % 2"),
        (tidy.find_inexact_numbers, "'''1.5 float / 2'''"),
        (tidy.find_async, "def f(): ..."),
        (tidy.find_long_functions, "def f():\n" + "    x = 1\n" * 69),
        (tidy.find_missing_docstring, "'''What it is for.'''"),
        (tidy.find_code_in_init, '"""Doc."""'),
        (tidy.find_unordered, "for x in sorted({1, 2}): f(x)"),
        (tidy.find_unordered, "def f(a: set[int]): return sum(x for x in a) + len(a) + max(a) + (1 in a)"),
        (tidy.find_unordered, "for x in {1: 2}: f(x)"),
        (tidy.find_unordered, "def f(a: list[int]): return [x for x in a if x in {1, 2}]"),
        (tidy.find_unordered, "def f():\n    s = {1}\ndef g(s):\n    for x in s: h(x)"),
    ],
)
def test_each_rule_lets_the_rest_be(rule: Rule, source: str) -> None:
    """What is allowed is not found."""
    assert rule(ast.parse(source)) == []


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO: later",
        "x = 1  # FIX" + "ME",
        "# XX" + "X why",
        "path = '/ro" + "ot/data'",
        "see /ho" + "me/ann/notes",
        "cd /wo" + "rk/main",
        "--index" + "-url https://example.org",
        "https://example.org/pypi/sim" + "ple aiohttp",
    ],
)
def test_forbidden_text_is_found(line: str) -> None:
    """A planted offence in a text is found."""
    assert tidy.find_in_text(f"fine\n{line}\n") != []


@pytest.mark.parametrize(
    "line", ["a -XXX trailer", "../work/data", "https://example.org/home/x", "simple, at home/work"]
)
def test_ordinary_text_is_not_found(line: str) -> None:
    """Text that only looks similar is left alone."""
    assert tidy.find_in_text(line) == []
