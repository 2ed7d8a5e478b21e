"""`liushui keys`: a person's own key file. The passphrase comes from a prompt, a file or a descriptor, never from argv.

Never print a seed. Words to write down are offered only by a release that carries a word list; this one does not.
"""

from pathlib import Path

import click

from node.cli.common import fail, json_option, passphrase_options, print_facts, print_json, read_passphrase


@click.group()
def keys() -> None:
    """Make and show your own key file."""


@keys.command()
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to create.")
@passphrase_options
@json_option
def new(*, path: Path, passphrase_file: Path | None, passphrase_fd: int | None, as_json: bool) -> None:
    """Make a new key, sealed by a passphrase. An existing file is never overwritten."""
    from node.client.keyfile import KeyFileProblem, make_seed, seal_seed, write_key_file

    if path.exists():
        fail("key_file_exists", f"{path} exists: choose another name; a key is never overwritten.")
    passphrase = read_passphrase(file=passphrase_file, descriptor=passphrase_fd, confirm=True)
    try:
        write_key_file(path, seal_seed(make_seed(), passphrase))
    except KeyFileProblem as error:
        fail(error.code, error.sentence)
    _show(path, as_json)


@keys.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def show(path: Path, as_json: bool) -> None:
    """Show the public key and account of a key file; needs no passphrase."""
    _show(path, as_json)


def _show(path: Path, as_json: bool) -> None:
    from node.client.keyfile import KeyFileProblem, read_key_file
    from protocol.crypto import calculate_account_id
    from protocol.ids import PublicKey

    try:
        file = read_key_file(path)
    except KeyFileProblem as error:
        fail(error.code, error.sentence)
    account = calculate_account_id(PublicKey(bytes.fromhex(file.public_key)))
    facts = {"file": str(path), "public_key": file.public_key, "account": account.hex()}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts.items())
