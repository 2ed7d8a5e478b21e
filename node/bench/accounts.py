"""The people of a bench: accounts with money, and for payments loans that were really applied for and accepted.

Everything goes over the public API with signed transactions; statements are invented, scored and attested as any
other. Never a shortcut into a node here.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from nacl.public import PrivateKey
from nacl.utils import random

from node.bench.layout import count_turns
from node.bench.plan import ATTESTERS_MIN, Kind
from node.bench.signing import Sender
from node.bench.site import CURRENCY, Site
from node.client.borrower import (
    Borrower,
    BorrowError,
    Wish,
    list_lenders,
    load_models,
    make_application,
    prepare_statement,
)
from node.client.http import NodeClient
from node.client.wallet import Intent, Wallet
from node.demo.cast import LENDERS, make_product
from node.demo.statements import Format, Profile, make_statement
from node.keystore import read_seed
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import BoxKey, Day, Digest, ObjectId, TimeMs
from protocol.loans.terms import PeriodUnit
from protocol.money import Amount, Currency
from protocol.transactions.accounts import AccountKind
from protocol.transactions.lending import LoanPurpose
from protocol.transactions.products import Segment

ACCOUNTS: Final = 400  # each may have 256 transfers under way: the nonce window never limits the load
LOANS: Final = 64
TRIES_PER_LOAN: Final = 3
"""Statements are drawn; a borrower whom the scoring declines is left alone, and another one asks."""
AT_ONCE: Final = 4
PRINCIPAL: Final = Amount(2_000_000)
INSTALMENTS: Final = 26
CASH: Final = Amount(1_000_000_000_000)
TZ_OFFSET_MIN: Final = 480
GROUP: Final = 100


class SetUpError(Exception):
    """The network did not take what a bench needs; the sentence says what."""


def read_now_ms() -> TimeMs:
    """Wall-clock milliseconds."""
    return TimeMs(time.time_ns() // 1_000_000)


class Person:
    """One key with its account, and the loan it pays on."""

    def __init__(self, index: int, wallet: Wallet, seed: bytes) -> None:
        self.index = index
        self.wallet = wallet
        self.seed = seed
        self.enc = PrivateKey(random(32))
        self.loan: ObjectId | None = None
        self.paid = 0

    def make_sender(self) -> Sender:
        """What signing needs of it."""
        return Sender(seed=self.seed, nonce=self.wallet.nonce_next, index=self.index, loan=self.loan, paid=self.paid)


class People:
    """All of a bench."""

    def __init__(self, site: Site, kind: Kind) -> None:
        testnet = site.testnet
        self._site = site
        self._kind = kind
        self._genesis = testnet.genesis
        self.chain_id = testnet.genesis.calculate_chain_id()
        authorities = dict(testnet.authorities)
        self._issuer = _read_signer(authorities["identity"])
        self._clearing = self._make_wallet(_read_signer(authorities["clearing"]))
        self._today = Day(testnet.genesis.calculate_day(read_now_ms(), TZ_OFFSET_MIN))
        self.everybody: list[Person] = []
        self.senders: list[Person] = []
        """Those whose transactions are the load: with accounts, or with loans."""
        self.next_amount = 1
        """The next transfer's: each amount is used once."""
        self.submitted = 0
        """Transactions of the set-up that became final, attestations apart."""

    def _make_wallet(self, signer: KeySigner) -> Wallet:
        return Wallet(signer, self.chain_id, nonce_next=0, now_ms=read_now_ms)

    def _add(self, count: int) -> list[Person]:
        fresh: list[Person] = []
        for _ in range(count):
            seed = random(32)
            fresh.append(Person(len(self.everybody), self._make_wallet(KeySigner(seed)), seed))
            self.everybody.append(fresh[-1])
        return fresh

    # ------------------------------------------------------------------ accounts

    async def open(self, clients: Sequence[NodeClient]) -> None:
        """Open what the load needs. Raises SetUpError."""
        if self._kind is Kind.TRANSFER:
            self.senders = await self._open_accounts(clients[0], ACCOUNTS)
        else:
            await self._open_loans(clients)

    async def _open_accounts(self, client: NodeClient, count: int) -> list[Person]:
        fresh = self._add(count)
        for start in range(0, count, GROUP):
            some = fresh[start : start + GROUP]
            await self._must(client, [self._make_account(one) for one in some])
            await self._must(client, [self._make_cash(one.wallet) for one in some])
        return fresh

    def _make_account(self, person: Person) -> Intent:
        return person.wallet.open_account(
            issuer=self._issuer,
            kind=AccountKind.PERSON,
            enc_key=BoxKey(bytes(person.enc.public_key)),
            subject_tag=calculate_hash("bench-subject", person.wallet.public_key),
            level=2,
            expires_on=Day(self._today + 3_650),
        )

    def _make_cash(self, wallet: Wallet) -> Intent:
        reference = calculate_hash("bench-ref", wallet.public_key)
        return self._clearing.mint(to=wallet.account, currency=Currency(CURRENCY), amount=CASH, ext_ref=reference)

    async def _must(self, client: NodeClient, intents: Sequence[Intent]) -> None:
        for result in await client.submit([one.item for one in intents], wait_final=True):
            if result.status != "finalised":
                why = "not final in time" if result.rejection is None else f"refused: {result.rejection.code}"
                raise SetUpError(f"A transaction of the set-up was {why}.")
        self.submitted += len(intents)

    # ------------------------------------------------------------------ loans

    async def _open_loans(self, clients: Sequence[NodeClient]) -> None:
        product = await self._open_product(clients[0])
        turns = asyncio.Semaphore(AT_ONCE)
        people = await self._open_accounts(clients[0], LOANS * TRIES_PER_LOAN)

        async def borrow(person: Person) -> None:
            async with turns:
                if len(self.senders) < LOANS:
                    await self._borrow(person, clients[person.index % len(clients)], product)

        try:
            async with asyncio.TaskGroup() as group:
                for person in people:
                    group.create_task(borrow(person))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        if len(self.senders) < LOANS:
            raise SetUpError(f"Only {len(self.senders)} of {LOANS} loans were granted: start again.")
        self.senders = self.senders[:LOANS]

    async def _open_product(self, client: NodeClient) -> ObjectId:
        """One lender's pool with money, and its product."""
        lender = self._make_wallet(_read_signer(self._site.testnet.directory / self._site.validators[0]))
        await self._must(client, [self._make_cash(lender)])
        pool = lender.open_pool(currency=Currency(CURRENCY), borrower_max=PRINCIPAL)
        model = next(iter(load_models(self._genesis)))
        made = make_product(LENDERS[0], Segment.PERSONAL, pool.made, model, Day(self._today + 365))
        product = lender.publish_product(msgspec.structs.replace(made, auto_budget=CASH))
        await self._must(client, [pool, lender.deposit(pool=pool.made, amount=CASH), product])
        return product.made

    async def _borrow(self, person: Person, client: NodeClient, product: ObjectId) -> None:
        """Apply with a statement of one's own, and take the offer if there is one."""
        prepared = await asyncio.to_thread(self._prepare, person)
        application = make_application(
            person.wallet,
            prepared,
            Wish(
                segment=Segment.PERSONAL,
                currency=Currency(CURRENCY),
                amount=PRINCIPAL,
                instalments=INSTALMENTS,
                period_unit=PeriodUnit.WEEK,
                period_every=1,
                purpose=LoanPurpose.EDUCATION,
                as_of=self._today,
                product=product,
            ),
            enc_key=BoxKey(bytes(person.enc.public_key)),
            lenders=list_lenders(self._genesis)[:ATTESTERS_MIN],
            models=list(load_models(self._genesis).values()),
            now_ms=read_now_ms(),
        )
        device = Borrower(client, person.wallet, now_ms=read_now_ms)
        with suppress(BorrowError):
            await device.apply(application)
            self.submitted += len(application.intents)
            found: Any = await device.wait_decisions(application.application, count=1, timeout_s=30)
            if found["offers"]:
                offer = found["offers"][0]
                offer_id, terms = bytes.fromhex(offer["id"]), bytes.fromhex(offer["terms_hash"])
                person.loan = await device.accept(ObjectId(offer_id), Digest(terms))
                self.submitted += 1
                self.senders.append(person)

    def _prepare(self, person: Person) -> Any:
        """A year of a salaried life, as the bank's file of yesterday."""
        holder = f"Borrower {person.index}"
        data = make_statement(
            Profile.SALARIED_STEADY,
            format=Format.OFX,
            end=date.fromordinal(self._today) - timedelta(days=1),
            seed=person.index,
            currency=CURRENCY,
            holder=holder,
        )
        return prepare_statement(data, name="statement.ofx", secret=person.seed)

    # ------------------------------------------------------------------ the load

    def split(self, lanes: int) -> list[list[Person]]:
        """The senders of each lane."""
        return [self.senders[lane::lanes] for lane in range(lanes)]

    def on_signed(self, people: Sequence[Person], total: int) -> None:
        """A lane's people have signed `total` transactions, taking turns."""
        for index, person in enumerate(people):
            turns = count_turns(total, len(people), index)
            person.wallet.nonce_next += turns
            person.paid += turns

    def make_transfer(self) -> Intent:
        """One transfer of an amount that no other has, from somebody who has money."""
        amount = self.next_amount
        self.next_amount += 1
        sender, to = self.everybody[amount % len(self.everybody)], self.everybody[(amount + 1) % len(self.everybody)]
        return sender.wallet.transfer(to=to.wallet.account, currency=Currency(CURRENCY), amount=Amount(amount))


def _read_signer(directory: Path) -> KeySigner:
    seed = read_seed(directory, "officer")
    assert seed is not None, "the network was laid out a moment ago"
    return KeySigner(seed)
