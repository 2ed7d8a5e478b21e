"""`liushui keys adopt|attester|seal|unseal|passphrase`: a node's keys, where they are held. No key is lost here.

liushui keys seat-proof NAME --dir DIR --new      makes the next validator key beside the present one
... the validators seat it, its epoch begins ...
liushui keys adopt --dir DIR                      the next one takes the present one's place
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import fail, json_option, passphrase_options, print_facts, read_passphrase
from node.cli.sign import print_made
from node.cli.typed import DIRECTORY, FILE

if TYPE_CHECKING:
    from node.client.keyfile import Passphrase


@click.command()
@click.option("--dir", "directory", type=DIRECTORY, required=True, help="Data directory of the validator's node.")
def adopt(*, directory: Path) -> None:
    """Put the next validator key in the present one's place, once it has its seat. A running node need not stop.

    The old key is kept under another name, for whoever must show later whose it was. It never votes again from here.

    Example: liushui keys adopt --dir mynet/lender2
    """
    from node.keystore import KeyFileError, adopt_next_validator

    try:
        adopted = adopt_next_validator(directory)
    except KeyFileError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("directory_unwritable", f"{directory} cannot be written: {error.strerror}.")
    if adopted is None:
        fail("key_missing", f"{directory} holds no next validator key: make one with liushui keys seat-proof --new.")
    present, kept = adopted
    print_facts([("validator key", present.hex()), ("the old one lies in", kept)])


@click.command()
@click.option("--dir", "directory", type=DIRECTORY, required=True, help="Data directory of the node that is to attest.")
@passphrase_options
@json_option
def attester(*, directory: Path, passphrase_file: Path | None, passphrase_fd: int | None, as_json: bool) -> None:
    """Make an attester key for a node that has none, sealed like its other keys: an observer becomes an auditor by it.

    The members vote it in; after that, and a restart, the node attests what it is granted and receipts what it erases.

    Example: liushui keys attester --dir mynet/regulator
    """
    from node.keystore import KeyFileError, write_key
    from protocol.crypto import KeySigner

    held = _list_keys(directory)
    if "attester" in held:
        fail("key_held", f"{directory} holds an attester key already: another is made once that one is moved away.")
    is_sealed = any(held.values())
    passphrase = _make_passphrase(passphrase_file, passphrase_fd, "Passphrase", confirm=False) if is_sealed else None
    try:
        key = KeySigner(write_key(directory, "attester", passphrase=passphrase)).public_key
    except KeyFileError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("directory_unwritable", f"{directory} cannot be written: {error.strerror}.")
    print_made({"attester key": key.hex(), "next": "liushui gov propose member NAME --attester-key KEY"}, as_json)


def _make_passphrase(file: Path | None, descriptor: int | None, prompt: str, *, confirm: bool) -> "Passphrase":
    from node.client.keyfile import Passphrase

    return Passphrase(lambda: read_passphrase(file=file, descriptor=descriptor, confirm=confirm, prompt=prompt))


def _list_keys(directory: Path) -> dict[str, bool]:
    """Which keys lie there, each with whether it is sealed; none ends the command."""
    from node.keystore import KeyFileError, list_keys

    try:
        held = list_keys(directory)
    except KeyFileError as error:
        fail(error.code, error.sentence)
    if not held:
        fail("key_missing", f"{directory} holds no keys: create them with liushui init.")
    return held


def _reseal(directory: Path, old: "Passphrase | None", new: "Passphrase | None") -> tuple[str, ...]:
    from node.keystore import KeyFileError, reseal_keys

    try:
        return reseal_keys(directory, old, new)
    except KeyFileError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("directory_unwritable", f"{directory} cannot be written: {error.strerror}.")


_directory_option = click.option(
    "--dir", "directory", type=DIRECTORY, required=True, help="Data directory of a node, or an organisation's."
)


@click.command()
@_directory_option
@passphrase_options
@json_option
def seal(*, directory: Path, passphrase_file: Path | None, passphrase_fd: int | None, as_json: bool) -> None:
    """Seal all keys of a directory under one passphrase. What lay there in the clear may still be found on the disk.

    Keys that are sealed already must open with the same passphrase.

    Example: liushui keys seal --dir mynet/lender2
    """
    held = _list_keys(directory)
    if all(held.values()):
        fail(
            "keys_sealed", f"All keys in {directory} are sealed: change their passphrase with liushui keys passphrase."
        )
    passphrase = _make_passphrase(passphrase_file, passphrase_fd, "Passphrase", confirm=not any(held.values()))
    names = _reseal(directory, passphrase, passphrase)
    print_made({"sealed": ", ".join(names), "now set": "allow_unsealed_keys = false in config.toml"}, as_json)


@click.command()
@_directory_option
@click.option("--yes", is_flag=True, help="Do it without being asked.")
@passphrase_options
@json_option
def unseal(
    *, directory: Path, yes: bool, passphrase_file: Path | None, passphrase_fd: int | None, as_json: bool
) -> None:
    """Write all keys of a directory in the clear: for throw-away networks, and for machines that seal the whole disk.

    Example: liushui keys unseal --dir mynet/lender2
    """
    held = _list_keys(directory)
    if not any(held.values()):
        fail("keys_unsealed", f"No key in {directory} is sealed.")
    if not yes:
        click.confirm(f"Whoever can read {directory} can then vote and sign for you. Unseal?", abort=True, err=True)
    names = _reseal(directory, _make_passphrase(passphrase_file, passphrase_fd, "Passphrase", confirm=False), None)
    print_made({"unsealed": ", ".join(names), "now set": "allow_unsealed_keys = true in config.toml"}, as_json)


def _new_passphrase_options(function: Any) -> Any:
    function = click.option(
        "--new-passphrase-fd", "new_fd", type=click.IntRange(min=0), default=None, help="The new one, by descriptor."
    )(function)
    return click.option(
        "--new-passphrase-file", "new_file", type=FILE, default=None, help="The new one: first line of this file."
    )(function)


@click.command(name="passphrase")
@click.option("--dir", "directory", type=DIRECTORY, default=None, help="Data directory of a node.")
@click.option("--key", "key_path", type=FILE, default=None, help="A person's key file.")
@_new_passphrase_options
@passphrase_options
@json_option
def change_passphrase(
    *,
    directory: Path | None,
    key_path: Path | None,
    new_file: Path | None,
    new_fd: int | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Change the passphrase of a node's keys, or of a person's key file. Older copies still open with the old one.

    Example: liushui keys passphrase --dir mynet/lender2
    """
    if (directory is None) == (key_path is None):
        raise click.UsageError("Name --dir DIR of a node, or --key FILE of a person.")
    old = _make_passphrase(passphrase_file, passphrase_fd, "Present passphrase", confirm=False)
    new = _make_passphrase(new_file, new_fd, "New passphrase", confirm=True)
    if key_path is not None:
        _change_file(key_path, old, new)
        print_made({"changed": str(key_path)}, as_json)
        return
    assert directory is not None, "one of the two is named"
    if not all(_list_keys(directory).values()):
        fail("key_unsealed", f"Not all keys in {directory} are sealed: run liushui keys seal --dir {directory}.")
    print_made({"changed": ", ".join(_reseal(directory, old, new))}, as_json)


def _change_file(path: Path, old: "Passphrase", new: "Passphrase") -> None:
    from node.client.keyfile import KeyFileProblem, read_key_file, replace_key_file

    try:
        replace_key_file(path, new.seal(old.open(read_key_file(path))))
    except KeyFileProblem as error:
        fail(error.code, error.sentence)
