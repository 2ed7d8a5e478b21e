"""What every signing command shares: whose key, on which network, what is about to be signed, and what became of it.

Nothing is signed that was not shown, and nothing is sent to a network other than the one the key's directory knows.
Never a command here, and never a rule of the ledger: the node says what is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from node.cli.common import FailureError, agree, fail, print_facts, print_json, read_passphrase

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from node.client.keyfile import Passphrase
    from node.client.network import Network, Standing
    from node.client.wallet import Intent, Wallet
    from protocol.crypto import KeySigner
    from protocol.genesis import CurrencyUnit
    from protocol.ids import AccountId, PublicKey

F = TypeVar("F", bound=Callable[..., Any])

ROLES: Final = {"lender": "a lender", "settlement_agent": "a settlement agent", "issuer": "a credential issuer"}


class Sender(NamedTuple):
    """Who signs: a person's sealed key file, or an organisation's officer key."""

    signer: "KeySigner"
    name: str


def officer_option(flag: str, help_text: str) -> Callable[[F], F]:
    """A required directory that holds keys/officer.key, as the parameter `directory`."""
    return click.option(
        flag, "directory", type=click.Path(file_okay=False, path_type=Path), required=True, help=help_text
    )


def reader_option(help_text: str) -> Callable[[F], F]:
    """A directory that holds keys/officer.key, as the parameter `directory`; a token does as well (`find_reader`)."""
    return click.option(
        "--officer-dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help=f"{help_text} Not needed with a token that has the scope read-private.",
    )


def find_reader(directory: Path | None) -> "KeySigner | None":
    """Who signs a read: an organisation's officer, or nobody, because a token goes with it."""
    from node.cli.shown import has_token
    from protocol.crypto import KeySigner

    if directory is not None:
        return KeySigner(read_officer_seed(directory))
    if not has_token():
        raise click.UsageError("Give --officer-dir DIR, or --token-file FILE with a token of the node.")
    return None


def yes_option(function: F) -> F:
    """`--yes`."""
    return click.option("--yes", is_flag=True, help="Sign what is shown without being asked.")(function)


def who_options(function: F) -> F:
    """Whose account: an argument WHO, `--key FILE`, or `--officer-dir DIR`. No passphrase is needed to look."""
    function = click.option(
        "--officer-dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help="The organisation whose officer key lies in this directory.",
    )(function)
    function = click.option(
        "--key",
        "key_path",
        type=click.Path(dir_okay=False, path_type=Path),
        default=None,
        envvar="LIUSHUI_KEY",
        help="The person of this key file.",
    )(function)
    return click.argument("who", metavar="[WHO]", required=False)(function)


def read_network(node_url: str, directory: Path | None = None) -> "Network":
    """The node's network as it stands; it must be that whose genesis.json lies beside the keys, if there is one."""
    from node.cli.remote import read_genesis, run
    from node.client.network import read_network as ask

    network = run(node_url, ask)
    for path in () if directory is None else (directory / "genesis.json", directory.parent.parent / "genesis.json"):
        if path.is_file():
            if read_genesis(path).calculate_chain_id() != network.calculate_chain_id():
                fail(
                    "wrong_network",
                    f"The node at {node_url} belongs to another network than {path}: nothing was signed."
                    " Name a node of the right network with --node.",
                )
            break
    return network


def find_passphrase(directory: Path) -> "Passphrase":
    """What opens the keys of a directory, asked for once per command and only when one of them is sealed.

    --passphrase-file and --passphrase-fd are those of the sender; for anybody else's directory it is asked.
    """
    from node.client.keyfile import Passphrase

    context = click.get_current_context()
    held: dict[Path, Passphrase] = context.find_root().meta.setdefault("liushui.passphrases", {})
    given = context.params if context.params.get("directory") == directory else {}

    def ask() -> str:
        return read_passphrase(
            file=given.get("passphrase_file"),
            descriptor=given.get("passphrase_fd"),
            prompt=f"Passphrase of the keys in {directory}",
        )

    return held.setdefault(directory, Passphrase(ask))


def read_officer_seed(directory: Path) -> bytes:
    """The seed of an organisation's officer key."""
    from node.keystore import KEYS_DIRECTORY, KeyFileError, read_seed

    try:
        seed = read_seed(directory, "officer", find_passphrase(directory))
    except KeyFileError as error:
        fail(error.code, error.sentence)
    if seed is None:
        fail(
            "officer_key_missing",
            f"{directory / KEYS_DIRECTORY / 'officer.key'} does not exist: name the directory that liushui testnet or"
            " liushui init made for the organisation.",
        )
    return seed


def open_officer(directory: Path, genesis: "Standing", role: str | None = None) -> Sender:
    """An organisation's officer key; the organisation must be a member, and hold `role` if one is named."""
    from protocol.crypto import KeySigner

    signer = KeySigner(read_officer_seed(directory))
    member = next((one for one in genesis.members if one.officer_key == signer.public_key), None)
    if member is None:
        fail("not_a_member", f"The officer key in {directory} belongs to no member of this network.")
    if role is not None and not getattr(member, role):
        able = [one.name for one in genesis.members if getattr(one, role)]
        fail(
            "role_missing",
            f"{member.name} is not {ROLES[role]}: name the directory of {' or '.join(able) or 'a member that is one'}.",
        )
    return Sender(signer, member.name)


def check_sender(key_path: Path | None, directory: Path | None) -> None:
    """Exactly one of --key and --officer-dir; a key file named by the environment gives way."""
    if key_path is None and directory is None:
        raise click.UsageError("Say who signs: --key FILE for a person, --officer-dir DIR for an organisation.")
    source = click.get_current_context().get_parameter_source("key_path")
    if directory is not None and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("Give --key or --officer-dir, not both.")


def read_public_key(key_path: Path) -> "PublicKey":
    """The public half in a person's key file; it needs no passphrase."""
    from node.client.keyfile import KeyFileProblem, read_key_file
    from protocol.ids import PublicKey

    try:
        return PublicKey(bytes.fromhex(read_key_file(key_path).public_key))
    except KeyFileProblem as error:
        fail(error.code, error.sentence)


def resolve_account(genesis: "Standing", text: str) -> "AccountId":
    """An account as typed: a member's name, or an account's 64 hexadecimal digits."""
    from node.cli.remote import check_hex
    from protocol.ids import AccountId

    for member in genesis.members:
        if member.name == text.strip():
            return member.account
    if len(text.strip()) != 64:
        fail(
            "account_malformed",
            f"{text!r} is neither a member ({', '.join(one.name for one in genesis.members)}) nor an account's 64"
            " hexadecimal digits, which liushui keys show prints.",
        )
    return AccountId(bytes.fromhex(check_hex(text, "an account")))


def find_currency(genesis: "Standing", code: str | None) -> "CurrencyUnit":
    """The currency named, or the network's first."""
    found = next((one for one in genesis.currencies if code in (None, one.code)), None)
    if found is None:
        known = ", ".join(one.code for one in genesis.currencies)
        fail("currency_unknown", f"{code} is not money of this network: use {known}.")
    return found


def confirm(title: str, facts: Iterable[tuple[str, object]], *, yes: bool) -> None:
    """Show on stderr what will be signed, and ask unless --yes."""
    click.echo(title, err=True)
    print_facts(((f"  {name}", value) for name, value in facts), err=True)
    if not yes:
        agree("Sign and send it?")


def send(
    node_url: str, genesis: "Standing", signer: "KeySigner", build: Callable[["Wallet"], Sequence["Intent"]]
) -> list["Intent"]:
    """Sign what `build` makes of a wallet with the network's next nonce, send it, wait until it is final.

    A refusal ends the command with the ledger's code; so does silence after sending, naming the transaction to ask for.
    """
    from node.cli.remote import read_clock_ms, run
    from node.client.borrower import open_wallet

    async def work(client: "NodeClient") -> list["Intent"]:
        wallet = await open_wallet(client, genesis, signer, now_ms=read_clock_ms)
        intents = list(build(wallet))
        await _settle(client, intents)
        return intents

    return run(node_url, work)


def submit(node_url: str, intents: Sequence["Intent"]) -> None:
    """Send what is signed already, and wait until it is final; it ends as `send` does."""
    from node.cli.remote import run

    run(node_url, lambda client: _settle(client, intents))


def find_hint(code: str) -> str | None:
    """What to do about a refusal, where there is something to do."""
    from node.cli.hints import HINTS

    return HINTS.get(code)


async def _settle(client: "NodeClient", intents: Sequence["Intent"]) -> None:
    from node.client.http import NodeUnreachable

    ask = f"ask for it with liushui receipt {intents[-1].id.hex()} before you sign again"
    try:
        results = await client.submit([one.item for one in intents], wait_final=True)
    except NodeUnreachable as error:
        raise NodeUnreachable(error.code, f"{error.sentence} It may have been taken all the same: {ask}.") from error
    for result in results:
        if result.rejection is not None:
            hint = find_hint(result.rejection.code)
            raise FailureError(
                result.rejection.code, f"{result.rejection.sentence}{'' if hint is None else f' {hint}'}"
            )
        if result.status == "busy":
            raise FailureError("busy", "The node was too busy to take all of it: send it again with liushui tx submit.")
        if result.status != "finalised":
            raise FailureError("not_final", f"The transaction is not final yet: {ask}.")


def print_made(found: dict[str, Any], as_json: bool) -> None:
    """What was made: ids one may need again."""
    if as_json:
        print_json(found)
    else:
        print_facts(found.items())
