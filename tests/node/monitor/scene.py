"""A lender's node with one running loan, its monitor, and a borrower who refreshes her statement."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from nacl.public import PrivateKey

from node.client.borrower import Prepared
from node.client.network import Organisation
from node.client.refresh import Refresh, grant_again, make_refresh
from node.client.wallet import Wallet
from node.monitor.records import AlertRecord
from node.monitor.room import Monitor
from node.monitor.store import ALERTS_FILE, AlertStore
from protocol.codec import decode, encode
from protocol.genesis import DAY_MS
from protocol.ids import BoxKey, Day, Digest, Height, ObjectId, TimeMs
from protocol.ledger.state import APPLICATIONS, CONTRACTS, DATA, OFFERS
from protocol.vault import VaultEnvelope
from scoring.rows import Category, Row
from tests.node.api.harness import DevNode, make_keys, make_seed
from tests.node.api.lending import apply_for, attesting, make_wish, read_sample

ENC = PrivateKey(make_seed("li-na/enc"))


class Scene:
    """One loan of 20,000.00 by harbour, paid out on the network's first day, in twelve instalments."""

    def __init__(self, folder: Path, node: DevNode, store: AlertStore) -> None:
        self.folder, self.node, self.store = folder, node, store
        self.wallet: Wallet
        self.loan: ObjectId
        self.data: ObjectId
        self.prepared = read_sample()

    async def lend(self) -> None:
        """Statement, attestation, offer, acceptance."""
        node = self.node
        await node.open_market()
        self.wallet = await node.open_borrower("li-na")
        application = apply_for(node, self.wallet, self.prepared, make_wish(), "harbour")
        await node.vault.put(encode(application.sealed.envelope))
        await node.do(*application.intents)
        async with attesting(node, "harbour"):
            while not (offers := list(node.ledger.books.state.items(OFFERS))):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await node.wait_height_beyond(Height(node.ledger.height - 1), 30)  # saved, not only executed
        offer_id, offer = offers[0]
        accepted = self.wallet.accept(offer=ObjectId(offer_id), terms_hash=Digest(offer.terms_hash))
        await node.do(accepted)
        self.loan, self.data = accepted.made, application.data

    @property
    def harbour(self) -> Organisation:
        return next(one for one in self.node.genesis.members if one.name == "harbour")

    def make_monitor(self) -> Monitor:
        return Monitor(self.node, make_keys("harbour"), self.store, now_ms=self.node.now_ms)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Harbour's monitor runs."""
        task = asyncio.create_task(self.make_monitor().run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def pass_days(self, days: int) -> None:
        """Let days pass, with a block at the end of them."""
        self.node.clock_ms = TimeMs(self.node.clock_ms + days * DAY_MS)
        await self.node.make_block()

    async def reopen(self) -> None:
        """The store after a crash: what was not made durable is gone."""
        await self.store.close()
        self.store = await AlertStore.open(self.folder / ALERTS_FILE)

    async def wait_alerts(self, count: int) -> list[AlertRecord]:
        """As soon as so many were told."""
        async with asyncio.timeout(30):
            while self.store.newest < count:
                await self.store.wait_beyond(self.store.newest, 1)
        return [one.record for one in await self.store.read(0, 200)]

    def extend(self, moves: Sequence[tuple[int, int, Category]], until: Day, *, first: int = 0) -> Prepared:
        """The statement of the application from row `first` on, with later moves (day, amount, category)."""
        plain = self.prepared.plain
        rows = list(plain.rows[first:])
        balance = rows[-1].balance
        assert balance is not None
        party = bytes([9]) * 16
        for day, amount, category in moves:
            balance += amount
            rows.append(
                msgspec.structs.replace(
                    rows[-1], day=day, amount=amount, balance=balance, category=category, counterparty=party
                )
            )
        return self.make_prepared(rows, until)

    def make_prepared(self, rows: Sequence[Row], until: Day) -> Prepared:
        """A statement of these rows, up to a day."""
        rows = [msgspec.structs.replace(one, seq=seq) for seq, one in enumerate(rows)]
        assert rows[0].balance is not None
        plain = msgspec.structs.replace(
            self.prepared.plain,
            rows=tuple(rows),
            opening_balance=rows[0].balance - rows[0].amount,
            first_day=Day(rows[0].day),
            last_day=until,
            salt_key=Digest(bytes([7]) * 32),
        )
        return self.prepared._replace(plain=plain)

    def make_refresh(self, prepared: Prepared, *, days: int = 365) -> Refresh:
        return make_refresh(
            self.wallet,
            prepared,
            lender=self.harbour,
            committed=self.data,
            until_ms=TimeMs(self.node.now_ms() + days * DAY_MS),
            enc_key=BoxKey(bytes(ENC.public_key)),
        )

    async def refresh(self, prepared: Prepared, *, put: bool = True) -> Refresh:
        """Send a refreshed statement, and grant the first one again."""
        made = self.make_refresh(prepared)
        if put:
            await self.node.vault.put(encode(made.sealed.envelope))
        row = self.node.ledger.books.state.need(DATA, self.data)
        raw = await self.node.vault.get(Digest(row.anchor.document))
        assert raw is not None
        until_ms = TimeMs(self.node.now_ms() + 365 * DAY_MS)
        again = grant_again(self.wallet, decode(raw, VaultEnvelope), lender=self.harbour, until_ms=until_ms, key=ENC)
        assert again is not None
        await self.node.vault.put(encode(again.envelope))
        await self.node.do(*made.intents)
        return made

    @property
    def today(self) -> Day:
        contract = self.node.ledger.books.state.need(CONTRACTS, self.loan)
        return self.node.ledger.books.calculate_day(contract.disclosure.tz_offset_min)

    @property
    def application(self) -> ObjectId:
        (key, _), *_ = self.node.ledger.books.state.items(APPLICATIONS)
        return ObjectId(key)


@asynccontextmanager
async def open_scene(folder: Path) -> AsyncIterator[Scene]:
    """A scene with its loan paid out."""
    node = await DevNode.open(folder)
    scene = Scene(folder, node, await AlertStore.open(folder / ALERTS_FILE))
    try:
        await scene.lend()
        yield scene
    finally:
        await scene.store.close()
        await node.close()
