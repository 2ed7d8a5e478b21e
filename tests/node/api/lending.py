"""One borrower's way to a loan through the API, for tests: statement, attesters, application, offer, loan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

from nacl.public import PrivateKey

from node.attester import Attester
from node.client.borrower import (
    Application,
    Borrower,
    Prepared,
    Wish,
    list_lenders,
    load_models,
    make_application,
    prepare_statement,
)
from node.client.http import NodeClient
from node.client.wallet import Wallet
from node.demo.statements import Format, Profile, make_statement
from protocol.ids import BoxKey, Day
from protocol.loans.terms import PeriodUnit
from protocol.money import Amount
from protocol.transactions.lending import LoanPurpose
from protocol.transactions.products import Segment
from tests.node.api.harness import CNY, LENDERS, TODAY, DevNode, make_keys, make_seed


def read_sample(profile: Profile = Profile.SALARIED_STEADY, format: Format = Format.OFX) -> Prepared:  # noqa: A002
    """A made statement that ends two days before the network's today."""
    data = make_statement(profile, format=format, end=date(2026, 10, 31), seed=5, holder="Li Na")
    return prepare_statement(data, name="statement", secret=make_seed("li-na"))


def make_wish(amount: int = 2_000_000, instalments: int = 12) -> Wish:
    return Wish(
        segment=Segment.PERSONAL,
        currency=CNY,
        amount=Amount(amount),
        instalments=instalments,
        period_unit=PeriodUnit.MONTH,
        period_every=1,
        purpose=LoanPurpose.EDUCATION,
        as_of=TODAY,
    )


def apply_for(node: DevNode, wallet: Wallet, prepared: Prepared, wish: Wish, *names: str) -> Application:
    """A sealed statement and a signed group, for these lenders or all."""
    return make_application(
        wallet,
        prepared,
        wish,
        enc_key=BoxKey(bytes(PrivateKey(make_seed("li-na/enc")).public_key)),
        lenders=[one for one in list_lenders(node.genesis) if not names or one.name in names],
        models=list(load_models(node.genesis).values()),
        now_ms=node.now_ms(),
    )


@asynccontextmanager
async def attesting(node: DevNode, *names: str) -> AsyncIterator[list[Attester]]:
    """The attesters of these lenders run beside the node."""
    attesters = [Attester(node, make_keys(name), now_ms=node.now_ms) for name in names or LENDERS]
    tasks = [asyncio.create_task(one.run()) for one in attesters]
    await asyncio.sleep(0)
    try:
        yield attesters
    finally:
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done), done


def make_device(node: DevNode, client: NodeClient, wallet: Wallet) -> Borrower:
    return Borrower(client, wallet, now_ms=node.now_ms)


def to_day(text: str) -> Day:
    return Day(date.fromisoformat(text).toordinal())
