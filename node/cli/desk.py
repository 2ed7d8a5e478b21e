"""The desk at which a payload is signed: by one key, by several on this machine, or as a draft that goes round.

    @group.command()
    @signing                          (or @signing_together, where others sign as well)
    def verb(*, desk: Desk, ...): ... desk.sign("Title:", payload)

Everything that is signed is shown in full first, made from the very payload. Never a command here.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from node.cli.common import (
    KeyPlace,
    agree,
    fail,
    format_money,
    json_option,
    key_options,
    node_option,
    print_facts,
    print_json,
)
from node.cli.sign import yes_option
from node.cli.typed import DIRECTORY, FILE

if TYPE_CHECKING:
    from node.client.draft import Draft
    from node.client.forms import Names
    from node.client.network import Network, Standing
    from node.client.wallet import Intent
    from protocol.crypto import KeySigner
    from protocol.ids import AccountId, PublicKey
    from protocol.transactions.envelope import Payload

DRAFT_HOURS: Final = 72
DRAFT_HOURS_MAX: Final = 167
"""A little under the seven days that a transaction may lie ahead, so that clocks may differ."""


class Together(NamedTuple):
    """Who signs beside the sender, and where a draft goes."""

    key_files: tuple[Path, ...] = ()
    passphrase_files: tuple[Path, ...] = ()
    directories: tuple[Path, ...] = ()
    named: tuple[str, ...] = ()
    draft: Path | None = None
    hours: int = DRAFT_HOURS


class Party(NamedTuple):
    """Somebody whose key lies on this machine; it is opened when it signs."""

    key: "PublicKey"
    name: str
    open: "Callable[[], KeySigner]"


def _draft_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--valid-hours",
            "hours",
            type=click.IntRange(1, DRAFT_HOURS_MAX),
            default=DRAFT_HOURS,
            show_default=True,
            help="How long the draft can be signed and submitted.",
        ),
        click.option(
            "--draft", "-o", "draft", type=FILE, default=None, help="Write a draft for the others instead of sending."
        ),
        click.option(
            "--cosigner",
            "named",
            multiple=True,
            metavar="WHO",
            help="Signs elsewhere: a member's name, an account's id or a public key; needs --draft. May be repeated.",
        ),
        click.option(
            "--cosign-dir",
            "directories",
            type=DIRECTORY,
            multiple=True,
            help="Organisation that signs too, its keys on this machine. May be repeated.",
        ),
        click.option(
            "--cosign-passphrase-file",
            "passphrase_files",
            type=FILE,
            multiple=True,
            help="Passphrases of the files of --cosign-key, in their order.",
        ),
        click.option(
            "--cosign-key",
            "key_files",
            type=FILE,
            multiple=True,
            help="Key file of a person who signs too, on this machine. May be repeated.",
        ),
    ):
        function = option(function)
    return function


def _sender_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option(
        "--officer-dir",
        "directory",
        type=DIRECTORY,
        default=None,
        help="Sign as the organisation whose officer key lies in this directory.",
    )(function)
    return key_options(json_option(node_option(yes_option(function))), required=False)


def signing(function: Callable[..., None]) -> Callable[..., None]:
    """Options of a verb that one party signs, collected in the parameter `desk`."""

    @functools.wraps(function)
    def inner(
        *,
        key_path: Path | None,
        passphrase_file: Path | None,
        passphrase_fd: int | None,
        directory: Path | None,
        yes: bool,
        node_url: str,
        as_json: bool,
        **rest: Any,
    ) -> None:
        place = None if key_path is None else KeyPlace(key_path, passphrase_file, passphrase_fd)
        function(desk=Desk(place, directory, node_url, yes=yes, as_json=as_json), **rest)

    return _sender_options(inner)


def signing_together(function: Callable[..., None]) -> Callable[..., None]:
    """Options of a verb that others sign as well, here or elsewhere, collected in the parameter `desk`."""

    @functools.wraps(function)
    def inner(
        *,
        desk: Desk,
        key_files: tuple[Path, ...],
        passphrase_files: tuple[Path, ...],
        directories: tuple[Path, ...],
        named: tuple[str, ...],
        draft: Path | None,
        hours: int,
        **rest: Any,
    ) -> None:
        if passphrase_files and len(passphrase_files) != len(key_files):
            raise click.UsageError("Give one --cosign-passphrase-file for each --cosign-key.")
        if named and draft is None:
            raise click.UsageError("Who signs elsewhere needs a draft: add --draft FILE.")
        desk.together = Together(key_files, passphrase_files, directories, named, draft, hours)
        function(desk=desk, **rest)

    return _draft_options(signing(inner))


class Desk:
    """Whose keys, which node, and what is to be asked."""

    def __init__(
        self, place: KeyPlace | None, directory: Path | None, node_url: str, *, yes: bool, as_json: bool
    ) -> None:
        self.place, self.directory = place, directory
        self.node_url, self.yes, self.as_json = node_url, yes, as_json
        self.together = Together()
        self.question: str | None = None
        """What is asked instead of the plain question."""

    # ------------------------------------------------------------------ what is asked of the node

    @functools.cached_property
    def network(self) -> "Network":
        """The node's network, which must be the one the keys are for."""
        from node.cli import sign

        sign.check_sender(None if self.place is None else self.place.path, self.directory)
        network = sign.read_network(self.node_url, self.directory)
        if self.directory is not None:
            sign.open_officer(self.directory, network)  # whose keys are not there hears of it before anything else
        return network

    def read(self, path: str, **query: str) -> Any:
        """JSON of one read."""
        from node.cli.remote import get

        _ = self.network  # nothing is asked before it is known to be the right network
        return get(self.node_url, path, **query)

    def find(self, path: str, plain_id: str, what: str, hint: str) -> Any:
        """JSON of one object, or the end of the command: `what`_unknown."""
        from node.cli.remote import run
        from node.client.http import ApiError, NodeClient

        _ = self.network

        async def ask(client: NodeClient) -> Any:
            try:
                return await client.get(f"{path}/{plain_id}")
            except ApiError as error:
                if error.code != "not_found":
                    raise
                fail(f"{what.replace(' ', '_')}_unknown", f"No {what} {plain_id} exists. {hint}")

        return run(self.node_url, ask)

    def read_loan(self, loan_id: str) -> dict[str, Any]:
        """The summary of a loan."""
        from node.cli.remote import check_hex

        found = self.find("/v1/loans", check_hex(loan_id, "a loan"), "loan", "List the loans with liushui loan list.")
        summary: dict[str, Any] = found["loan"]
        return summary

    def read_pool(self, pool_id: str) -> dict[str, Any]:
        """A pool."""
        from node.cli.remote import check_hex

        plain = check_hex(pool_id, "a pool")
        found: dict[str, Any] = self.find("/v1/pools", plain, "pool", "List the pools with liushui pool show.")
        return found

    def resolve(self, text: str) -> "AccountId":
        """An account as typed: a member's name, or 64 hexadecimal digits."""
        from node.cli import sign

        return sign.resolve_account(self.network, text)

    def calculate_today(self, tz_offset_min: int = 0) -> int:
        """The contract day by this machine's clock."""
        from node.cli.remote import read_clock_ms

        return self.network.calculate_day(read_clock_ms(), tz_offset_min)

    def make_names(self, currency: str | None = None) -> "Names":
        """Names of members, and amounts as people write them; `currency` where a payload does not name it."""
        return make_names(self.network, currency)

    # ------------------------------------------------------------------ who signs

    @functools.cached_property
    def sender(self) -> Party:
        """Whoever --key or --officer-dir names."""
        return _open_party(self.network, self.place, self.directory)

    @functools.cached_property
    def account(self) -> "AccountId":
        """The sender's account, or the end of the command: account_unknown."""
        from node.cli.remote import run
        from node.client.network import find_account

        key = self.sender.key
        found = run(self.node_url, lambda client: find_account(client, key))
        if found is None:
            fail("account_unknown", "No account belongs to your key: open it with liushui account open.")
        return found

    def find_cosigners(self) -> tuple[list[Party], list["PublicKey"]]:
        """Those whose keys are here, and the keys of those who sign elsewhere."""
        here = [
            _open_party(self.network, KeyPlace(path, secret, None), None)
            for path, secret in zip(
                self.together.key_files, self.together.passphrase_files or (None,) * 99, strict=False
            )
        ]
        here += [open_organisation(self.network, directory) for directory in self.together.directories]
        return here, [self._find_key(text) for text in self.together.named]

    def _find_key(self, text: str) -> "PublicKey":
        """The key of a member, of an account, or the key itself where no account is known."""
        from node.cli.remote import check_hex, run
        from node.client.http import ApiError, NodeClient
        from protocol.ids import PublicKey

        member = next((one for one in self.network.members if one.name == text.strip()), None)
        if member is not None:
            return PublicKey(member.officer_key)
        plain = check_hex(text, "a co-signer; or name a member")

        async def ask(client: NodeClient) -> str:
            try:
                return str((await client.get(f"/v1/accounts/{plain}"))["key"])
            except ApiError as error:
                if error.code != "not_found":
                    raise
                return plain

        return PublicKey(bytes.fromhex(run(self.node_url, ask)))

    # ------------------------------------------------------------------ signing

    def sign(
        self,
        title: str,
        payload: "Payload",
        *,
        currency: str | None = None,
        beside: Iterable[tuple[str, object]] = (),
        facts: Iterable[tuple[str, object]] | None = None,
        also: Sequence[Party] = (),
        tell: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Show all of `payload` and what stands `beside` it, ask, sign, and send it or write its draft.

        `facts` are the payload in better words, if the caller has them; `also` sign besides those the options name;
        `tell` is printed with what was made.
        """
        from node.cli import sign
        from node.client.wallet import OBJECT_KINDS

        here, elsewhere = self._show(title, payload, currency, beside=beside, facts=facts, also=also)
        if self.together.draft is None:
            intent = self._send(payload, here)
            kind = OBJECT_KINDS.get(type(payload))
            found = {} if kind is None else {kind: intent.made.hex()}
            sign.print_made({**tell, **found, "transaction": intent.id.hex()}, self.as_json)
            return
        draft = self._make_draft(payload, here, elsewhere)
        write_draft(self.together.draft, draft)
        tell_draft(self.together.draft, draft, self.make_names(currency), as_json=self.as_json)

    def send(
        self, title: str, payload: "Payload", *, currency: str | None = None, beside: Iterable[tuple[str, object]] = ()
    ) -> "Intent":
        """As `sign` for what one party signs, but the caller says what became of it."""
        here, _ = self._show(title, payload, currency, beside=beside, facts=None, also=())
        return self._send(payload, here)

    def _show(
        self,
        title: str,
        payload: "Payload",
        currency: str | None,
        *,
        beside: Iterable[tuple[str, object]],
        facts: Iterable[tuple[str, object]] | None,
        also: Sequence[Party],
    ) -> "tuple[list[Party], list[PublicKey]]":
        from node.client.forms import describe

        here, elsewhere = self.find_cosigners()
        here += [one for one in also if one.key not in {each.key for each in here}]
        names = self.make_names(currency)
        signers: list[tuple[str, object]] = [("signed by", self.sender.name)]
        signers += [("and by", one.name) for one in here]
        signers += [("and by", f"{names.accounts.get(key, key.hex())} (still to sign)") for key in elsewhere]
        said = describe(payload, names) if facts is None else facts
        self.confirm(title, [*signers, *said, *beside])
        return here, elsewhere

    def confirm(self, title: str, facts: Iterable[tuple[str, object]]) -> None:
        """Show on stderr what will be signed, and ask unless --yes."""
        click.echo(title, err=True)
        print_facts(((f"  {name}", value) for name, value in facts), err=True)
        if not self.yes:
            plain = "Sign and send it?" if self.together.draft is None else "Sign it?"
            agree(self.question or plain)

    def _send(self, payload: "Payload", here: Sequence[Party]) -> "Intent":
        from node.cli import sign

        signer, cosigners = self.sender.open(), tuple(one.open() for one in here)
        (intent,) = sign.send(
            self.node_url, self.network, signer, lambda wallet: [wallet.build(payload, cosigners=cosigners)]
        )
        return intent

    def _make_draft(self, payload: "Payload", here: Sequence[Party], elsewhere: Sequence["PublicKey"]) -> "Draft":
        from node.cli.remote import read_clock_ms, run
        from node.client.draft import DraftError, make_draft
        from protocol.ids import TimeMs

        key = self.sender.key
        nonce = run(self.node_url, lambda client: client.get_nonce(key))
        try:
            draft = make_draft(
                payload,
                network=self.network.name,
                chain_id=self.network.calculate_chain_id(),
                sender=key,
                cosigners=(*(one.key for one in here), *elsewhere),
                nonce_next=nonce,
                valid_to_ms=TimeMs(read_clock_ms() + self.together.hours * 3_600_000),
            )
            for party in (self.sender, *here):
                draft = draft.sign(party.open())
        except DraftError as error:
            fail(error.code, error.sentence)
        return draft


def make_names(network: "Standing", currency: str | None = None) -> "Names":
    """Names of a network's members by account and key, and its money in words."""
    from node.client.forms import Names, tell_minor

    exponents: dict[str, int] = {one.code: one.exponent for one in network.currencies}
    accounts: dict[bytes, str] = {}
    for member in network.members:
        accounts |= {bytes(member.account): member.name, bytes(member.officer_key): member.name}

    def tell(amount: int, code: str | None) -> str:
        if code is None or code not in exponents:
            return tell_minor(amount, code)
        return format_money(amount, exponents[code], code)

    return Names(accounts=accounts, tell_money=tell, currency=currency)


def _open_party(network: "Network", place: KeyPlace | None, directory: Path | None) -> Party:
    """A person's key file or an organisation's directory; no passphrase is asked for yet."""
    from node.cli import sign
    from node.cli.remote import open_key
    from protocol.crypto import KeySigner

    if directory is not None:
        officer = sign.open_officer(directory, network)
        return Party(officer.signer.public_key, officer.name, lambda: officer.signer)
    assert place is not None, "one of the two is named"
    key = sign.read_public_key(place.path)

    def open_file() -> KeySigner:
        if place.passphrase_file is None and place.passphrase_fd is None:
            click.echo(f"Key file {place.path}", err=True)
        return KeySigner(open_key(*place))

    return Party(key, f"the key {key.hex()}", open_file)


def open_organisation(network: "Network", directory: Path) -> Party:
    """An organisation whose keys are on this machine."""
    return _open_party(network, None, directory)


def write_draft(path: Path, draft: "Draft") -> None:
    """Write a draft's file anew; one that exists is never overwritten."""
    from node.client.draft import encode_draft

    try:
        with path.open("xb") as file:
            file.write(encode_draft(draft))
    except FileExistsError:
        fail("file_exists", f"{path} exists: choose another name.")
    except OSError as error:
        fail("file_unwritable", f"{path} cannot be written: {error.strerror}.")


def tell_draft(path: Path, draft: "Draft", names: "Names", *, as_json: bool) -> None:
    """Where the draft is and who still has to sign it."""
    from node.client.forms import write_time

    missing = [names.accounts.get(key, key.hex()) for key in draft.missing]
    if as_json:
        print_json({"draft": str(path), "missing": missing, "valid_until": write_time(draft.body.valid_to_ms)})
        return
    print_facts(
        [
            ("draft", path),
            ("still to sign", ", ".join(missing) or "nobody: submit it with liushui tx submit"),
            ("valid until", write_time(draft.body.valid_to_ms)),
        ]
    )
