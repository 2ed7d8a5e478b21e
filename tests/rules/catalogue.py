"""The command line's Chinese: what must be in the catalogue, and the command that brings it up to date.

    ./dev sh python -m tests.rules.catalogue      drops what is said no more, adds what is new without a translation

The tests then name what still lacks one. Translations are written in the .po file; the .mo is made from it here.
"""

import ast
import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from node.cli.common import QUESTIONS
from node.cli.language import CODE, DOMAIN, LOCALE, make_key
from node.cli.main import COMMANDS, main
from scoring.ingest.statement import ErrorCode

ROOT: Final = Path(__file__).parents[2]
PO: Final = LOCALE / "zh" / "LC_MESSAGES" / f"{DOMAIN}.po"
MO: Final = PO.with_suffix(".mo")
RAISERS: Final = ("fail", "FailureError", "UnverifiedError", "UnreachableError")
LONG_AGO: Final = datetime(2026, 1, 1, tzinfo=UTC)  # files that are made twice are equal

UNSAID: Final = ('"POT-', '"PO-', '"Generated-By', '"Report-', '"Last-', '"Language-Team', '"Project-')

Key = tuple[str | None, str]
"""Context and English words, or context and code."""


def walk_commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, each with what is typed to call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from walk_commands(below, f"{path} {name}")


def find_texts() -> set[str]:
    """Everything that the help of any command says, and what people are asked."""
    texts = {entry.help for entry in COMMANDS.values()} | set(QUESTIONS)
    for _, command in walk_commands(main, "liushui"):
        texts |= {command.help or "", command.epilog or ""}
        texts |= {one.help or "" for one in command.params if isinstance(one, click.Option)}
    return {make_key(one) for one in texts} - {""}


def find_codes() -> set[str]:
    """Codes that the command line's own modules raise by name, and those of refused statement files."""
    codes = {str(code) for code in ErrorCode}
    for path in (ROOT / "node" / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RAISERS and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    codes.add(first.value)
    return codes


def find_click_words() -> set[str]:
    """What click looks up when it speaks for itself."""
    words: set[str] = set()
    for path in Path(click.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "ngettext"):
                words |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    return words


def read_catalogue() -> Catalog:
    """The .po file."""
    with PO.open("rb") as file:
        return read_po(file, locale="zh", domain=DOMAIN)


def get_key(message: object) -> Key:
    """Of a message of the catalogue; of one with a plural, its singular."""
    words = getattr(message, "id", "")
    return getattr(message, "context", None), words if isinstance(words, str) else words[0]


def write_catalogue(catalogue: Catalog) -> None:
    """Both files, alike from alike catalogues."""
    catalogue.header_comment = "# The command line in Chinese. See tests/rules/catalogue.py."
    catalogue.creation_date = catalogue.revision_date = LONG_AGO
    written = io.BytesIO()
    write_po(written, catalogue, width=0, sort_output=True, no_location=True)
    lines = written.getvalue().decode().split("\n")
    kept = [one for one in lines if not one.startswith(UNSAID)]
    PO.write_text("\n".join(kept), encoding="utf-8")
    with MO.open("wb") as file:
        write_mo(file, catalogue)


def update() -> None:
    """Drop what is said no more, add what is new, and make the .mo."""
    texts, codes, click_words = find_texts(), find_codes(), find_click_words()
    kept = Catalog(locale="zh", domain=DOMAIN, project="Liushui", version="1", fuzzy=False)
    sources = "".join(path.read_text("utf-8") for top in ("node", "scoring") for path in (ROOT / top).rglob("*.py"))
    for message in read_catalogue():
        context, words = get_key(message)
        is_code = context == CODE and (words in codes or f'"{words}"' in sources)
        if words and (is_code or (context is None and words in texts | click_words)):
            kept.add(message.id, message.string, context=context)
    for context, found in ((None, texts), (CODE, codes)):
        for words in sorted(found):
            if kept.get(words, context=context) is None:
                kept.add(words, "", context=context)
                sys.stdout.write(f"to translate: {words[:70]!r}\n")
    write_catalogue(kept)


if __name__ == "__main__":
    update()
