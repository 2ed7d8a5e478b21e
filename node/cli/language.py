"""The command line in Chinese: help, click's own words, and a sentence that says what an error's code means.

English stands in the code. `locale/zh/LC_MESSAGES/messages.po` holds the Chinese, by the English words and by the code
(context "code"); `python -m tests.rules.catalogue` brings it up to date. Imported only where the environment's language
is Chinese. Never a word of either language here.
"""

import copy
import gettext
import inspect
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import click

DOMAIN: Final = "messages"  # click's words are looked up in this one
LOCALE: Final = Path(__file__).parent / "locale"
CODE: Final = "code"

_TOKENS: Final = re.compile(r"[\x21-\x7e]+|\s+|[（“‘［《][\x21-\x7e]*|.")
_CLOSING: Final = frozenset("，。；：、）”’］》！？%")

C = TypeVar("C", bound=click.Command)


@cache
def _read_catalogue() -> gettext.NullTranslations:
    gettext.bindtextdomain(DOMAIN, str(LOCALE))
    return gettext.translation(DOMAIN, str(LOCALE), ["zh"])


def make_key(text: str) -> str:
    """The English words as the catalogue has them: without indentation, and click's mark `\b` as it is typed."""
    return inspect.cleandoc(text).replace("\b", "\\b")


def say(text: str) -> str:
    """The Chinese of an English text; the text itself where there is none."""
    key = make_key(text)
    found = _read_catalogue().gettext(key) if key else key
    return text if found == key else found.replace("\\b", "\b")


def describe_code(code: str) -> str:
    """What an error's code means, in one sentence; empty for a code that the command line does not raise itself."""
    found = _read_catalogue().pgettext(CODE, code)
    return "" if found == code else found


def translate(command: C) -> C:
    """A copy of a command, its parameters and subcommands that explains itself in Chinese."""
    told = copy.copy(command)
    told.context_class = ChineseContext
    vars(told)["_help_option"] = None  # click keeps the one it made before, in English
    if told.help:
        told.help = say(told.help)
        told.short_help = re.split("[。：；]", told.help.partition("\n\n")[0], maxsplit=1)[0].replace("\n", "")
    if told.epilog:
        told.epilog = say(told.epilog)
    told.params = [_translate_parameter(one) for one in told.params]
    if isinstance(told, click.Group):
        told.commands = {name: translate(one) for name, one in told.commands.items()}
    return told


def _translate_parameter(parameter: click.Parameter) -> click.Parameter:
    if isinstance(parameter, click.Option) and parameter.help:
        parameter = copy.copy(parameter)
        parameter.help = say(parameter.help or "")
    return parameter


# ------------------------------------------------------------------ lines of characters that are two columns wide


def measure(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; paragraphs stay apart, and those that begin with `\\b` are left as they are."""
    lines: list[str] = []
    for paragraph in text.strip("\n").split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        lines += ["", *(rest.split("\n") if first == "\b" else _fill(paragraph, width))]
    return lines[1:]


def _fill(paragraph: str, width: int) -> list[str]:
    lines, line = [], ""
    for token in _TOKENS.findall(paragraph):
        if token.isspace():
            line += " " if line else ""
        elif line and measure(line + token) > width:
            kept = len(line) - (token in _CLOSING and measure(line[-1]) == 2)  # no line begins with a closing mark
            lines.append(line[:kept].rstrip())
            line = line[kept:] + token
        else:
            line += token
    return [*lines, line.rstrip()]


class ChineseFormatter(click.HelpFormatter):
    """click's formatter, counting columns instead of characters."""

    def write_text(self, text: str) -> None:
        """Paragraphs at the present indentation."""
        indent = " " * self.current_indent
        for line in wrap(text, max(self.width - self.current_indent, 11)):
            self.write((indent + line).rstrip() + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Terms and what they mean, in two columns."""
        every: Sequence[tuple[str, str]] = list(rows)
        widest = min(max(measure(term) for term, _ in every), col_max)
        meaning_at = self.current_indent + widest + col_spacing
        for term, meaning in every:
            head = " " * self.current_indent + term
            first, *rest = wrap(meaning, max(self.width - meaning_at, 10))
            if measure(term) > widest:
                self.write(head + "\n")
                head = ""
            self.write((head + " " * (meaning_at - measure(head)) + first).rstrip() + "\n")
            for line in rest:
                self.write((" " * meaning_at + line).rstrip() + "\n")


class ChineseContext(click.Context):
    """Where a translated command runs."""

    formatter_class = ChineseFormatter
