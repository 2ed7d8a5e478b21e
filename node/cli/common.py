"""What every command shares: exit codes, one way to fail, JSON or text, language, where a node and a key are found.

Imports only click and the standard library, because every command waits for it. Never a formula or a request here.
"""

import functools
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import click

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_UNVERIFIED: Final = 4

EXIT_TEXT: Final = """\b
Exit codes:
  0  done
  1  refused or failed; the message names the reason and the fix
  2  wrong use of a command or an option
  3  the node cannot be reached
  4  verification failed: the evidence does not hold
  5  verified in part (audit)
"""

BEARER_VARIABLE: Final = "LIUSHUI_TOKEN"
BEARER_PLACE: Final = "liushui.token_file"
NODE_ENVIRONMENT: Final = "LIUSHUI_NODE"
NODE_DEFAULT: Final = "http://127.0.0.1:7400"

F = TypeVar("F", bound=Callable[..., Any])


class FailureError(click.ClickException):
    """A failure a person can act on: a stable code and a sentence; the exit code is of its kind."""

    exit_code = EXIT_REFUSED

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        context = click.get_current_context(silent=True)
        self._as_json = context is not None and bool(context.params.get("as_json"))

    def show(self, file: Any = None) -> None:
        """One line on stderr; one JSON object on stdout when the command was asked for JSON."""
        if self._as_json:
            click.echo(json.dumps({"error": {"code": self.code, "sentence": self.message}}, ensure_ascii=False))
        else:
            click.echo(f"{_explain(self.code)}{self.message} [{self.code}]", err=True, file=file)


def _explain(code: str) -> str:
    """For who reads Chinese, what the code of an English sentence means."""
    if pick_language(os.environ) != "zh":
        return ""
    from node.cli.language import describe_code

    return describe_code(code)


class UnreachableError(FailureError):
    """No node answered."""

    exit_code = EXIT_UNREACHABLE


class UnverifiedError(FailureError):
    """Evidence that does not hold."""

    exit_code = EXIT_UNVERIFIED


def fail(code: str, sentence: str) -> NoReturn:
    """End the command as refused or failed."""
    raise FailureError(code, sentence)


def json_option(function: F) -> F:
    """`--json` as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(function)


def lang_option(function: F) -> F:
    """`--lang zh|en`, else the environment's language."""
    return click.option(
        "--lang",
        type=click.Choice(["zh", "en"]),
        default=None,
        callback=lambda _context, _parameter, value: value or pick_language(os.environ),
        help="Language of reasons and titles; by default that of the environment.",
    )(function)


def node_option(function: F) -> F:
    """`--node URL` of the API to talk to; with `--token-file`, which `node.cli.shown` finds in the context."""
    function = click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        default=None,
        envvar=BEARER_VARIABLE + "_FILE",
        expose_value=False,
        callback=lambda context, _parameter, path: context.meta.update({BEARER_PLACE: path}),
        help=f"File with a token of that node's API; or put the token into {BEARER_VARIABLE}.",
    )(function)
    return click.option(
        "--node",
        "node_url",
        envvar=NODE_ENVIRONMENT,
        default=NODE_DEFAULT,
        show_default=True,
        callback=check_url,
        help="Address of a node's API.",
    )(function)


def every_option(function: F) -> F:
    """`--every Nd|Nw|Nm` as (unit's name, count)."""
    return click.option(
        "--every",
        metavar="Nd|Nw|Nm",
        default="1m",
        show_default=True,
        callback=_check_every,
        help="Time between instalments: days, weeks or months.",
    )(function)


def _check_every(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    text = value.strip().lower()
    unit = {"d": "DAY", "w": "WEEK", "m": "MONTH"}.get(text[-1:])
    digits = text[:-1]
    if unit is None or not (digits.isascii() and digits.isdecimal()) or len(digits) > 3 or not 1 <= int(digits) <= 366:
        raise click.BadParameter(f"{value!r} is not a period like 30d, 2w or 1m.")
    return unit, int(digits)


class KeyPlace(NamedTuple):
    """Where a key file lies and its passphrase comes from; `node.cli.remote.open_key` opens it."""

    path: Path
    passphrase_file: Path | None
    passphrase_fd: int | None


def key_options(function: F, *, required: bool = True) -> F:
    """`--key FILE` with its passphrase from a prompt, a file or a descriptor, as three parameters."""
    return click.option(
        "--key",
        "key_path",
        type=click.Path(dir_okay=False, path_type=Path),
        required=required,
        default=None,
        envvar="LIUSHUI_KEY",
        help="Your key file, made by `liushui keys new`.",
    )(passphrase_options(function))


def key_place_options(function: Callable[..., None]) -> Callable[..., None]:
    """The same options as one parameter `key`, for commands that have many others."""

    @functools.wraps(function)
    def inner(*, key_path: Path, passphrase_file: Path | None, passphrase_fd: int | None, **rest: Any) -> None:
        function(key=KeyPlace(key_path, passphrase_file, passphrase_fd), **rest)

    return key_options(inner)


def passphrase_options(function: F) -> F:
    """`--passphrase-file` and `--passphrase-fd`; without them the passphrase is asked for. Never from an argument."""
    function = click.option(
        "--passphrase-fd", type=click.IntRange(min=0), default=None, help="Read the passphrase from this descriptor."
    )(function)
    return click.option(
        "--passphrase-file",
        type=click.Path(dir_okay=False, path_type=Path),
        default=None,
        help="Read the passphrase from the first line of this file.",
    )(function)


def check_url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """An address as typed, without a slash at its end."""
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r} is not an address like {NODE_DEFAULT}.")
    return value.rstrip("/")


def pick_language(environment: Mapping[str, str]) -> str:
    """`zh` when the environment's language is Chinese, else `en`."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return "zh" if environment[name].lower().startswith("zh") else "en"
    return "en"


QUESTIONS: Final = ("Sign and send it?", "Sign it?", "Send it?", "Passphrase", "Passphrase of the copy")
"""What people are asked; the catalogue of translations has these as well."""


def speak(question: str) -> str:
    """A question in the environment's language, where it is known there."""
    if pick_language(os.environ) != "zh":
        return question
    from node.cli.language import say

    return say(question)


def agree(question: str) -> None:
    """End the command unless the question is answered with yes."""
    click.confirm(speak(question), abort=True, err=True)


def read_passphrase(
    *,
    file: Path | None,
    descriptor: int | None,
    confirm: bool = False,
    prompt: str = "Passphrase",
    is_guarded: bool = False,
) -> str:
    """The passphrase from the place that was named, else asked for without echo.

    A file must be for its owner alone, unless somebody else guards it; a pipe or a device has no owner to speak of.
    """
    if file is not None and descriptor is not None:
        raise click.UsageError("Name --passphrase-file or --passphrase-fd, not both.")
    try:
        if file is not None:
            mode = file.stat().st_mode
            if stat.S_ISREG(mode) and mode & 0o077 and not is_guarded:
                fail("passphrase_exposed", f"{file} can be read by other users: run chmod 600 {file}.")
            return _first_line(file.read_bytes())
        if descriptor is not None:
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return _first_line(stream.readline(4_096))
    except OSError as error:
        fail("passphrase_unreadable", f"The passphrase cannot be read: {error.strerror}.")
    prompted: str = click.prompt(speak(prompt), hide_input=True, confirmation_prompt=confirm, err=True)
    return prompted


def _first_line(raw: bytes) -> str:
    try:
        return raw.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        fail("passphrase_unreadable", "The passphrase is not UTF-8 text.")


def print_json(value: object) -> None:
    """One JSON object, indented, Chinese left readable."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_facts(facts: Iterable[tuple[str, object]], *, err: bool = False) -> None:
    """Aligned `name  value` lines, on stderr when `err`; facts that are None are left out."""
    known = [(name, value) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{name:<{width}}  {value}", err=err)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """A plain table; the columns numbered in `right` are flush right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(title), *(len(row[i]) for row in cells)]) for i, title in enumerate(titles)]
    for line in [list(titles), *cells]:
        parts = [f"{c:>{w}}" if i in right else f"{c:<{w}}" for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        click.echo("  ".join(parts).rstrip())


def format_money(amount: int | None, exponent: int, currency: str = "") -> str:
    """Minor units as people write them: 1,234.50 CNY."""
    if amount is None:
        return "-"
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(exponent + 1, "0")
    whole, part = (digits[:-exponent], "." + digits[-exponent:]) if exponent else (digits, "")
    grouped = f"{int(whole):,}"
    return f"{sign}{grouped}{part}{' ' + currency if currency else ''}"


def format_ppm(ppm: int) -> str:
    """Parts per million as a percentage with two decimals, cut."""
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"
