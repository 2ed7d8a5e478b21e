"""`liushui keys words|restore|export|import`: a person's key on paper, and in a copy for somewhere else.

The 24 words (BIP39's list and checksum) say the 32 bytes of the key itself and nothing else: no passphrase, no path.
Whoever reads them is the key's owner. Never write them to a log or a file of our own.
"""

from pathlib import Path
from typing import Any, Final

import click

from node.cli.common import fail, json_option, passphrase_options, print_facts, print_json, read_passphrase
from node.cli.typed import FILE

LANGUAGES: Final = {"en": "english", "zh": "chinese_simplified"}
WORDS: Final = 24
COLUMNS: Final = 4
lang_of_words = click.option(
    "--words-lang", "language", type=click.Choice(list(LANGUAGES)), default="en", show_default=True,
    help="Language of the words.",
)  # fmt: skip


def make_words(seed: bytes, language: str) -> list[str]:
    """The 24 words of a seed."""
    from mnemonic import Mnemonic

    return Mnemonic(LANGUAGES[language]).to_mnemonic(seed).split()


def read_words(text: str) -> bytes:
    """The seed that 24 words say, in either language; the end of the command for any others."""
    from mnemonic import Mnemonic

    words = text.lower().split()
    if len(words) != WORDS:
        fail("words_count", f"{len(words)} words were given: a key has {WORDS}.")
    lists = {language: Mnemonic(name) for language, name in LANGUAGES.items()}
    known = [one for one in lists.values() if all(word in one.wordlist for word in words)]
    if not known:
        best = max(lists.values(), key=lambda one: sum(word in one.wordlist for word in words))
        place = next(i for i, word in enumerate(words, 1) if word not in best.wordlist)
        fail("word_unknown", f"Word {place} is none of the list: read it again.")
    for one in known:
        if one.check(" ".join(words)):
            return bytes(one.to_entropy(" ".join(words)))
    return fail("words_wrong", "The words do not fit together: one is another, or two have changed places.")


def show_words(seed: bytes, language: str, facts: dict[str, Any], as_json: bool) -> None:
    """Print the words, numbered, for writing down."""
    words = make_words(seed, language)
    if as_json:
        print_json({**facts, "words": " ".join(words)})
        return
    print_facts(facts.items())
    click.echo(
        "Write these words down, in this order, and keep them where nobody else looks. They are the key.", err=True
    )
    for row in range(0, WORDS, COLUMNS):
        cells = [f"{row + i + 1:>2} {word}" for i, word in enumerate(words[row : row + COLUMNS])]
        click.echo("   ".join(f"{cell:<12}" for cell in cells).rstrip())


@click.command(name="words")
@click.argument("path", metavar="KEYFILE", type=FILE)
@lang_of_words
@passphrase_options
@json_option
def words_of(
    *, path: Path, language: str, passphrase_file: Path | None, passphrase_fd: int | None, as_json: bool
) -> None:
    """Show the 24 words of a key file, to be written down: they restore the key without file or passphrase.

    Example: liushui keys words li-na.key
    """
    from node.cli.remote import open_key

    show_words(open_key(path, passphrase_file, passphrase_fd), language, {"file": str(path)}, as_json)


@click.command()
@click.option("--out", "path", type=FILE, required=True, help="Key file to create.")
@click.option("--words-fd", type=click.IntRange(min=0), default=None, help="Read the words from this descriptor.")
@passphrase_options
@json_option
def restore(
    *, path: Path, words_fd: int | None, passphrase_file: Path | None, passphrase_fd: int | None, as_json: bool
) -> None:
    """Make a key file from its 24 words, which are asked for without echo; English or Chinese.

    Example: liushui keys restore --out li-na.key
    """
    if path.exists():
        fail("key_file_exists", f"{path} exists: choose another name; a key is never overwritten.")
    text = read_passphrase(file=None, descriptor=words_fd, prompt=f"The {WORDS} words")
    write_sealed(path, read_words(text), passphrase_file, passphrase_fd)
    show_key(path, as_json)


@click.command(name="export")
@click.argument("path", metavar="KEYFILE", type=FILE)
@click.option("--out", "copy", type=FILE, required=True, help="Copy to create, under a passphrase of its own.")
@click.option("--copy-passphrase-file", type=FILE, default=None, help="The copy's passphrase: first line of this file.")
@passphrase_options
@json_option
def export_key(
    *,
    path: Path,
    copy: Path,
    copy_passphrase_file: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Write a copy of a key under another passphrase, to be carried elsewhere and taken in by liushui keys import.

    Example: liushui keys export li-na.key --out travel.key
    """
    from node.cli.remote import open_key

    seed = open_key(path, passphrase_file, passphrase_fd)
    write_sealed(copy, seed, copy_passphrase_file, None, prompt="Passphrase of the copy")
    show_key(copy, as_json)


@click.command(name="import")
@click.argument("copy", metavar="COPY", type=FILE)
@click.option("--out", "path", type=FILE, required=True, help="Key file to create, under a passphrase of its own.")
@click.option("--copy-passphrase-file", type=FILE, default=None, help="The copy's passphrase: first line of this file.")
@passphrase_options
@json_option
def import_key(
    *,
    copy: Path,
    path: Path,
    copy_passphrase_file: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Take in a copy made by liushui keys export; the passphrase options are those of the new file.

    Example: liushui keys import travel.key --out li-na.key
    """
    from node.cli.remote import open_key

    seed = open_key(copy, copy_passphrase_file, None, prompt="Passphrase of the copy")
    write_sealed(path, seed, passphrase_file, passphrase_fd)
    show_key(path, as_json)


def write_sealed(
    path: Path, seed: bytes, file: Path | None, descriptor: int | None, *, prompt: str = "Passphrase"
) -> None:
    """Seal a seed into a new file under a passphrase, which is asked for twice when it is asked for."""
    from node.client.keyfile import KeyFileProblem, seal_seed, write_key_file

    if path.exists():
        fail("key_file_exists", f"{path} exists: choose another name; a key is never overwritten.")
    passphrase = read_passphrase(file=file, descriptor=descriptor, confirm=True, prompt=prompt)
    try:
        write_key_file(path, seal_seed(seed, passphrase))
    except KeyFileProblem as error:
        fail(error.code, error.sentence)


def show_key(path: Path, as_json: bool) -> None:
    """Whose key lies in a file."""
    facts = read_facts(path)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts.items())


def read_facts(path: Path) -> dict[str, str]:
    """What can be said of a key file without its passphrase."""
    from node.client.keyfile import KeyFileProblem, read_key_file
    from protocol.crypto import calculate_account_id
    from protocol.ids import PublicKey

    try:
        file = read_key_file(path)
    except KeyFileProblem as error:
        fail(error.code, error.sentence)
    account = calculate_account_id(PublicKey(bytes.fromhex(file.public_key)))
    return {"file": str(path), "public_key": file.public_key, "account": account.hex()}
