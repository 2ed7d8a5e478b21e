"""Pages for operators name commands, options, settings and codes that exist: a page that lies is worse than none."""

import re
from typing import Final

import click
import msgspec
import pytest

from node.cli.main import main
from node.config import NodeConfig
from node.metrics.catalog import CONSENSUS, NETWORK
from node.stops import SENTENCES
from tests.rules import tree

PAGES: Final = ("light.md", "operations.md", "runbooks.md", "threat-model.md", "upgrade.md")
OF_EVERY_COMMAND: Final = {"--help"}


def list_calls(text: str) -> list[str]:
    """Calls of `liushui` in blocks of code and in spans, without what a shell adds."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)) + "\n"
    blocks += "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    calls = [line.strip() for line in blocks.splitlines()] + re.findall(r"`([^`]+)`", rest)
    return [
        re.split(r" +#|[|><]", one.removeprefix("./dev "))[0].strip()
        for one in calls
        if re.match(r"(\./dev )?liushui( |$)", one)
    ]


def find_fault(call: str) -> str | None:
    """What a call asks for that is not there."""
    command: click.Command = main
    words = call.split()[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        inner = command.get_command(click.Context(command), name)
        if inner is None:
            return f"no command {name}"
        command = inner
    known = OF_EVERY_COMMAND | {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_exists(name: str) -> None:
    """With its options, as the command line's own tree has them."""
    calls = list_calls((tree.ROOT / "docs" / name).read_text("utf-8"))
    assert calls or name == "threat-model.md"
    assert {call: fault for call in calls if (fault := find_fault(call))} == {}


def test_a_call_of_nothing_would_be_found() -> None:
    """The check above can fail, in a block, in a span and in an indented line."""
    text = (
        "```sh\nliushui nothing --here   # really\n```\nand `liushui status --nope` or\n\n    ./dev liushui gov fly\n"
    )
    calls = list_calls(text)
    assert sorted(calls) == ["liushui gov fly", "liushui nothing --here", "liushui status --nope"]
    assert [find_fault(one) for one in sorted(calls)] == ["no command fly", "no command nothing", "no option --nope"]


def test_settings_of_the_table_exist_with_those_defaults() -> None:
    """Each setting that operations.md lists is one, and its default is the one that is told."""
    text = (tree.ROOT / "docs" / "operations.md").read_text("utf-8")
    table = text[text.index("| Setting |") : text.index("## Tokens")]
    fields = {one.name: one for one in msgspec.structs.fields(NodeConfig)}
    rows = re.findall(r"^\| (`.+?`) \| ([^|]+) \|", table, re.MULTILINE)
    assert len(rows) >= 7
    for names, told in rows:
        settings = re.findall(r"`(\w+)`", names)
        for setting, value in zip(settings, told.strip().split(", "), strict=True):
            assert str(fields[setting].default).lower() == value, setting


def test_every_reason_not_to_vote_is_in_the_runbook() -> None:
    """An operator who looks a code up finds it."""
    text = (tree.ROOT / "docs" / "runbooks.md").read_text("utf-8")
    section = text[text.index("## LiushuiVotingStopped") : text.index("## LiushuiEquivocation")]
    assert [code for code in SENTENCES if f"`{code}`" not in section] == []


def test_reasons_of_views_and_states_are_explained() -> None:
    """Every value of the two labels that an operator meets first."""
    runbooks = (tree.ROOT / "docs" / "runbooks.md").read_text("utf-8")
    section = runbooks[runbooks.index("## LiushuiViewsLost") : runbooks.index("## LiushuiOwnTurnsLost")]
    operations = (tree.ROOT / "docs" / "operations.md").read_text("utf-8")
    reasons = next(one for one in CONSENSUS if one.name == "views_left").labels[0].values
    assert [one for one in reasons if f"`{one}`" not in section] == ["notarized", "caught_up"], "these two are well"
    states = next(one for one in NETWORK if one.name == "sync_state").labels[0].values
    assert [one for one in states if f"| `{one}` |" not in operations] == []
