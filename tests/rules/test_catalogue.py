"""The command line's Chinese is whole, and its two files say the same."""

import gettext

import pytest

from node.cli.language import CODE, make_key
from tests.rules.catalogue import (
    MO,
    find_click_words,
    find_codes,
    find_texts,
    get_key,
    read_catalogue,
    walk_commands,
)

HOW = "run ./dev sh python -m tests.rules.catalogue, write the Chinese in the .po file, and run it again"


def test_every_help_text_and_every_code_is_said_in_chinese() -> None:
    """None is missing and none is empty."""
    said = {
        get_key(one) for one in read_catalogue() if one.id and all(one.string if one.pluralizable else [one.string])
    }
    wanted = {(None, one) for one in find_texts()} | {(CODE, one) for one in find_codes()}
    assert not wanted - said, f"{HOW}: {sorted(wanted - said, key=str)}"


def test_nothing_is_said_that_nobody_says_in_english() -> None:
    """Words that were dropped from the code are dropped from the catalogue."""
    texts = find_texts() | find_click_words()
    dead = [one for context, one in map(get_key, read_catalogue()) if one and context is None and one not in texts]
    assert not dead, HOW


def test_the_compiled_file_says_what_the_written_one_does() -> None:
    """Both were made together."""
    with MO.open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in read_catalogue():
        context, words = get_key(message)
        if words and not message.pluralizable:
            found = compiled.gettext(words) if context is None else compiled.pgettext(context, words)
            assert found == (message.string or words), HOW
        elif words:
            assert compiled.ngettext(*message.id, 2) == message.string[0], HOW


def test_examples_are_the_same_commands_in_both_languages() -> None:
    """What is typed is not translated."""
    for message in read_catalogue():
        context, words = get_key(message)
        if context is None and "Example: " in words:
            examples = [one.partition(": ")[2] for one in words.split("\n\n") if one.startswith("Example: ")]
            told = [one.partition("：")[2] for one in message.string.split("\n\n") if one.startswith("示例：")]
            assert told == examples, words[:60]


@pytest.mark.parametrize("text", ["  One.\n\n    Two.", "\b\nas is"])
def test_the_key_of_a_text_has_neither_indentation_nor_control_characters(text: str) -> None:
    """Translators see words."""
    assert "\b" not in make_key(text)
    assert "    " not in make_key(text)


def test_the_walk_reaches_the_leaves() -> None:
    """A law about all commands is about all of them."""
    from node.cli.main import main

    names = {path for path, _ in walk_commands(main, "liushui")}
    assert {"liushui gov propose seat rotate", "liushui statement check", "liushui start"} <= names
