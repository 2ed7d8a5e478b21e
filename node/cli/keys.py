"""`liushui keys`: a person's own key file and its replacement on the ledger, and a validator key's proof for its seat.

The passphrase comes from a prompt, a file or a descriptor, never from argv. Never print a seed, unless its owner asked
for the words to write down (`node.cli.words`).
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from node.cli.common import (
    fail,
    json_option,
    passphrase_options,
)
from node.cli.desk import Desk, Party, signing
from node.cli.nodekeys import adopt, attester, change_passphrase, seal, unseal
from node.cli.seats import seat_proof
from node.cli.typed import DIRECTORY, FILE
from node.cli.words import (
    export_key,
    import_key,
    lang_of_words,
    read_facts,
    restore,
    show_key,
    show_words,
    words_of,
    write_sealed,
)

if TYPE_CHECKING:
    from protocol.ids import BoxKey


@click.group()
def keys() -> None:
    """Make and show your own key file, and change the key of your account."""


keys.add_command(seat_proof)
for _command in (adopt, attester, seal, unseal, change_passphrase, words_of, restore, export_key, import_key):
    keys.add_command(_command)


@keys.command()
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to create.")
@click.option("--words", is_flag=True, help="Show the 24 words that restore it, to be written down.")
@lang_of_words
@passphrase_options
@json_option
def new(
    *,
    path: Path,
    words: bool,
    language: str,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Make a new key, sealed by a passphrase. An existing file is never overwritten.

    Example: liushui keys new --out li-na.key --words
    """
    from node.client.keyfile import make_seed

    seed = make_seed()
    write_sealed(path, seed, passphrase_file, passphrase_fd)
    if words:
        show_words(seed, language, read_facts(path), as_json)
    else:
        show_key(path, as_json)


@keys.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def show(path: Path, as_json: bool) -> None:
    """Show the public key and account of a key file; needs no passphrase."""
    show_key(path, as_json)


def _new_key_options(function: Callable[..., None]) -> Callable[..., None]:
    """The new key, as one parameter `new`: a person's file, or an organisation's directory."""

    @functools.wraps(function)
    def inner(*, new_path: Path | None, new_directory: Path | None, new_secret: Path | None, **rest: Any) -> None:
        if (new_path is None) == (new_directory is None):
            raise click.UsageError("Name the new key: --to FILE of a person, --to-dir DIR of an organisation.")
        function(new=_open_new(new_path, new_directory, new_secret), **rest)

    for option in (
        click.option("--to-passphrase-file", "new_secret", type=FILE, default=None, help="Passphrase of the new key."),
        click.option(
            "--to-dir", "new_directory", type=DIRECTORY, default=None, help="Directory with the new officer key."
        ),
        click.option("--to", "new_path", type=FILE, default=None, help="Key file of the new key; it signs too."),
    ):
        inner = option(inner)
    return inner


class NewKey(NamedTuple):
    """A key that is to speak for an account, and the one that documents will be sealed to."""

    party: Party
    enc_key: "BoxKey"


def _open_new(path: Path | None, directory: Path | None, secret: Path | None) -> NewKey:
    from nacl.public import PrivateKey

    from node.cli.remote import open_key
    from node.cli.sign import find_passphrase, read_officer_seed
    from node.client.keyfile import derive_enc_key
    from node.keystore import read_seed
    from protocol.crypto import KeySigner
    from protocol.ids import BoxKey

    if directory is not None:
        seed, sealing = read_officer_seed(directory), read_seed(directory, "enc", find_passphrase(directory))
        if sealing is None:
            fail("key_missing", f"{directory} holds no enc key: create it with liushui init.")
        enc_key = BoxKey(bytes(PrivateKey(sealing).public_key))
    else:
        assert path is not None, "one of the two is named"
        if secret is None:
            click.echo(f"Key file {path}", err=True)
        seed = open_key(path, secret, None)
        enc_key = BoxKey(bytes(derive_enc_key(seed).public_key))
    signer = KeySigner(seed)
    return NewKey(Party(signer.public_key, f"the new key {signer.public_key.hex()}", lambda: signer), enc_key)


@keys.command()
@_new_key_options
@signing
def rotate(*, desk: Desk, new: NewKey) -> None:
    """Give your account another key at once; the account and all that hangs on it stay. Both keys sign.

    Example: liushui keys rotate --to new.key --key li-na.key
    """
    from protocol.transactions.accounts import KeyRotate

    payload = KeyRotate(new_key=new.party.key, enc_key=new.enc_key)
    beside = [("account", desk.account.hex()), ("the old key", "speaks for nobody any more")]
    desk.sign("Change your key:", payload, beside=beside, also=[new.party])


@keys.command()
@click.argument("account", metavar="ACCOUNT")
@_new_key_options
@signing
def recover(*, desk: Desk, account: str, new: NewKey) -> None:
    """Ask for another key for a person who lost hers. An issuer signs, and the new key; it waits for an objection.

    Example: liushui keys recover ACCOUNT --to new.key --officer-dir mynet/authorities/identity
    """
    from protocol.transactions.accounts import KeyRecover

    payload = KeyRecover(account=desk.resolve(account), new_key=new.party.key, enc_key=new.enc_key)
    beside = [("waits for", f"{desk.network.policy.recovery_delay_days} days, in which the present key can object")]
    desk.sign("Recover an account:", payload, beside=beside, also=[new.party])


@keys.command(name="object")
@signing
def object_to(*, desk: Desk) -> None:
    """Stop a recovery of your account that you did not ask for.

    Example: liushui keys object --key li-na.key
    """
    from protocol.transactions.accounts import KeyRecoverCancel

    desk.sign("Stop a recovery:", KeyRecoverCancel(), beside=[("account", desk.account.hex())])
