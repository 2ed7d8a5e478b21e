"""A node without a network for tests: the real ledger, store and vault; every submission becomes a block at once.

Only consensus is left out: the test holds all validator keys and signs the finalizations itself.
"""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
from nacl.public import PrivateKey

from node.api.ports import Busy, NodeStatus, Submission
from node.bans import BanRoom
from node.client.wallet import Intent, Wallet
from node.gossip.network import LinkStatus
from node.keystore import NodeKeys
from node.metrics.readings import Readings
from node.monitor.desk import AlertDesk
from node.operating import OperatorDesk
from node.setup import DEFAULT_POLICY
from node.store.chain import ChainStore, StoredTransaction
from node.vault.store import Vault
from protocol.batch import Batch, BatchItem, BatchRef, calculate_batch_digest, calculate_transaction_id
from protocol.block import FIRST_EPOCH, HEADER_VERSION, Block, Header, calculate_batches_root, calculate_genesis_digest
from protocol.certificate import Certificate, VoteKind, calculate_vote_bytes
from protocol.codec import decode, encode
from protocol.crypto import KeySigner, calculate_hash
from protocol.genesis import DAY_MS, GENESIS_VERSION, CurrencyUnit, Genesis, Member
from protocol.ids import (
    ZERO_DIGEST,
    BlockDigest,
    BoxKey,
    Day,
    Digest,
    Height,
    ModelId,
    ObjectId,
    PublicKey,
    TimeMs,
    TransactionId,
    ValidatorIndex,
    View,
)
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Receipt
from protocol.ledger.state import KEYS
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.merkle import NO_MOUNTAINS
from protocol.money import Amount, Currency, Ppm
from protocol.receipt import make_receipt_file
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.envelope import Transaction, check_stateless
from protocol.transactions.products import BandPrice, LoanProduct, Segment
from protocol.validators import make_validator_set
from scoring.models import load_default
from scoring.points import encode_model

TODAY = Day(date(2026, 11, 2).toordinal())
START_MS = TimeMs((TODAY - date(1970, 1, 1).toordinal()) * DAY_MS)
CNY = Currency("CNY")
MODEL = load_default("CNY")
LENDERS = ("harbour", "jade")


def make_seed(name: str) -> bytes:
    return calculate_hash("test-seed", name.encode())


def make_keys(name: str) -> NodeKeys:
    def signer(kind: str) -> KeySigner:
        return KeySigner(make_seed(f"{name}/{kind}"))

    return NodeKeys(
        node=signer("node"),
        enc=PrivateKey(make_seed(f"{name}/enc")),
        validators=(signer("validator"),),
        attester=signer("attester"),
        officer=signer("officer"),
    )


def make_member(
    name: str, *, lender: bool = False, agent: bool = False, issuer: bool = False, observer: bool = False
) -> Member:
    keys = make_keys(name)
    assert keys.officer is not None
    assert keys.attester is not None
    assert keys.validator is not None
    return Member(
        name=name,
        officer_key=keys.officer.public_key,
        node_key=keys.node.public_key,
        enc_key=keys.enc_key,
        attester_key=keys.attester.public_key if lender else None,
        validator_key=keys.validator.public_key if lender else None,
        lender=lender,
        settlement_agent=agent,
        issuer=issuer,
        observer=observer,
    )


def make_genesis() -> Genesis:
    return Genesis(
        version=GENESIS_VERSION,
        name="test",
        time_ms=START_MS,
        day_start=TODAY,
        day_ms=DAY_MS,
        currencies=(CurrencyUnit(code=CNY, exponent=2),),
        members=(
            *(make_member(name, lender=True) for name in LENDERS),
            make_member("regulator", observer=True),
            make_member("clearing", agent=True),
            make_member("identity", issuer=True),
        ),
        # Most tests need one lender's answer; the floor itself is the ledger's test.
        policy=msgspec.structs.replace(DEFAULT_POLICY, attestations_floor=1),
        models=(encode_model(MODEL).decode("ascii"),),
    )


class NoMesh:
    """Nobody is linked; what is banned is known."""

    def __init__(self) -> None:
        self.guests: list[tuple[PublicKey, int]] = []
        self.banned: dict[PublicKey, float] = {}

    def get_status(self, peer: PublicKey) -> LinkStatus:
        return LinkStatus("", connected=False, silent_ms=-1)

    def ban(self, peer: PublicKey, seconds: float) -> None:
        self.banned[peer] = seconds

    def unban(self, peer: PublicKey) -> None:
        self.banned.pop(peer, None)


class DevNode:
    """A NodePort of one process. `full` makes it busy; `mute` leaves submissions waiting for ever."""

    def __init__(self, genesis: Genesis, store: ChainStore, vault: Vault) -> None:
        self.genesis = genesis
        self.chain_id = genesis.calculate_chain_id()
        self.name, self.role = "harbour", "validator"
        self.ledger = Ledger.from_genesis(genesis)
        self.store, self.vault = store, vault
        self.full = self.mute = False
        self.alerts: AlertDesk | None = None
        self.mesh = NoMesh()
        self.operator: OperatorDesk
        self.busy_times, self.room = 0, 10**6
        self.sync_state = "participating"
        self.voting_stopped = ""
        self.clock_ms = START_MS
        self._genesis_rows = list(self.ledger.rows())
        self._headers: list[Header] = []
        self._certificates: list[Certificate] = []
        self._seen: set[TransactionId] = set()
        self._mountains = NO_MOUNTAINS
        self._changed = asyncio.Condition()
        self._making = asyncio.Lock()
        self._validators = make_validator_set(
            genesis.calculate_validator_keys(), calculate_genesis_digest(self.chain_id)
        )

    @classmethod
    async def open(cls, folder: Path) -> "DevNode":
        genesis = make_genesis()
        store = await ChainStore.open(folder / "ledger.sqlite", genesis)
        made = cls(genesis, store, await Vault.open(folder / "vault.sqlite"))
        names = {one.node_key: one.name for one in genesis.members if one.node_key is not None}
        made.operator = OperatorDesk(
            own=made.node_key,
            bans=BanRoom(folder, made.mesh, lambda: made.clock_ms),
            peers=[key for key in names if key != made.node_key],
            names=names,
            mesh=made.mesh,
            find_height=lambda _peer: Height(0),
            list_guests=lambda: made.mesh.guests,
        )
        return made

    async def close(self) -> None:
        async with self._making:
            await self.store.close()
        await self.vault.close()

    @property
    def node_key(self) -> PublicKey:
        return make_keys(self.name).node.public_key

    def now_ms(self) -> TimeMs:
        return self.clock_ms

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        self.busy_times -= 1
        if self.full or self.busy_times >= 0:
            raise Busy(1_500)
        answers, taken = [], []
        for item in items:
            if len(taken) >= self.room:
                answers.append(Submission(id=calculate_transaction_id(item.transaction), status="busy"))
                continue
            checked = check_stateless(item, self.chain_id)
            if isinstance(checked, Rejection):
                answers.append(Submission(id=None, status="rejected", rejection=checked))
                continue
            if checked.id in self._seen:
                answers.append(Submission(id=checked.id, status="known"))
                continue
            refused = self.ledger.check_door(checked, self.clock_ms)
            if refused is not None:
                answers.append(Submission(id=checked.id, status="rejected", rejection=refused))
                continue
            self._seen.add(checked.id)
            answers.append(Submission(id=checked.id, status="accepted"))
            taken.append((item, checked))
        if taken and not self.mute:
            await self.make_block(taken)
        return answers

    async def make_block(self, taken: Sequence[tuple[BatchItem, Transaction]] = ()) -> None:
        """One block after the other, and whole, even when who asked for it is cancelled."""

        async def make() -> None:
            async with self._making:
                await self._make_block(taken)

        await asyncio.shield(asyncio.ensure_future(make()))

    async def _make_block(self, taken: Sequence[tuple[BatchItem, Transaction]]) -> None:
        self.clock_ms = TimeMs(self.clock_ms + 10)
        refs, batches = [], []
        if taken:
            named = calculate_batch_digest([one.id for _, one in taken])
            raw = encode(Batch(items=tuple(item for item, _ in taken)))
            refs.append(BatchRef(digest=named, tx_count=len(taken), size=len(raw)))
            batches.append((named, raw))
        block = Block(header=self._make_header(refs), batches=tuple(refs))
        self.ledger.begin_block(block.header)
        executed = []
        for item, transaction in taken:
            receipt = self.ledger.execute(transaction, item.sidecars)
            if receipt is not None:
                executed.append((transaction, receipt, batches[0][0]))
        execution = self.ledger.end_block()
        digest = block.header.calculate_digest()
        self._mountains = self._mountains.append(encode(block.header))
        certificate = self._finalise(digest, block.header.view)
        await self.store.save_block(
            block=block,
            digest=digest,
            finalization=certificate,
            mountains=self._mountains,
            batches=batches,
            execution=execution,
            transactions=executed,
            genesis_rows=self._genesis_rows if block.header.height == 1 else (),
        )
        self._headers.append(block.header)
        self._certificates.append(certificate)
        async with self._changed:
            self._changed.notify_all()

    def _make_header(self, refs: list[BatchRef]) -> Header:
        height = Height(self.ledger.height + 1)
        parent = self._headers[-1].calculate_digest() if self._headers else calculate_genesis_digest(self.chain_id)
        return Header(
            version=HEADER_VERSION,
            chain_id=self.chain_id,
            epoch=FIRST_EPOCH,
            height=height,
            view=View(height),
            parent_digest=parent,
            time_ms=self.clock_ms,
            batches_root=calculate_batches_root(refs),
            batch_count=len(refs),
            tx_count=sum(ref.tx_count for ref in refs),
            exec_height=self.ledger.height,
            exec_root=self.ledger.exec_root,
            history_root=self._mountains.calculate_root(),
            next_validators_hash=self._validators.calculate_hash(),
            epoch_end=Height(0),
            params_hash=ZERO_DIGEST,
            proposer=ValidatorIndex(0),
        )

    def _finalise(self, digest: BlockDigest, view: View) -> Certificate:
        message = calculate_vote_bytes(VoteKind.FINALIZE, self.chain_id, FIRST_EPOCH, view, digest)
        signers = {keys.validator.public_key: keys.validator for keys in map(make_keys, LENDERS) if keys.validator}
        quorum = self._validators.quorum
        return Certificate(
            kind=VoteKind.FINALIZE,
            epoch=FIRST_EPOCH,
            view=view,
            digest=digest,
            signers=2**quorum - 1,
            signatures=tuple(signers[key].sign(message) for key in self._validators.keys[:quorum]),
        )

    async def wait_height_beyond(self, height: Height, timeout_s: float) -> Height:
        async with self._changed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(lambda: len(self._headers) > height)
            except TimeoutError:
                pass
        return Height(len(self._headers))

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> StoredTransaction | None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            stored = await self.store.find_transaction(transaction_id)
            left_s = deadline - asyncio.get_running_loop().time()
            if stored is not None or left_s <= 0:
                return stored
            await self.wait_height_beyond(Height(len(self._headers)), left_s)

    async def make_receipt_file(self, transaction_id: TransactionId) -> bytes | None:
        stored = await self.store.find_transaction(transaction_id)
        if stored is None or stored.height >= len(self._headers):
            return None
        rows = await self.store.read_exec_rows(Height(max(1, stored.height - 1)), stored.height)
        previous = rows[0].exec_root if len(rows) == 2 else Ledger.from_genesis(self.genesis).exec_root
        return make_receipt_file(
            transaction=stored.raw,
            receipts=await self.store.read_block_receipts(stored.height),
            index=stored.index,
            state_root=rows[-1].state_root,
            previous_exec_root=previous,
            links=(),
            headers=[self._headers[stored.height]],
            finalization=self._certificates[stored.height],
        )

    async def wait_settled(self) -> None:
        """Blocks are executed at once here."""

    async def fetch_document(self, digest: Digest) -> bytes | None:
        return await self.vault.get(digest)

    def status(self) -> NodeStatus:
        height = Height(len(self._headers))
        return NodeStatus(
            name=self.name,
            role=self.role,
            height=height,
            view=View(height),
            exec_height=height,
            exec_root=self.ledger.exec_root,
            final_digest=self._headers[-1].calculate_digest() if self._headers else BlockDigest(bytes(32)),
            peers=(),
            leader="jade",
            waiting_for="",
            sync_state=self.sync_state,  # type: ignore[arg-type]
            voting_stopped=self.voting_stopped,
            pool_transactions=0,
            version="0.0-test",
            gossip_bytes_sent=0,
            gossip_bytes_received=0,
        )

    async def read_metrics(self) -> Readings:
        return Readings()

    # ------------------------------------------------------------------ a lending network in a few steps

    def make_wallet(self, signer: KeySigner) -> Wallet:
        return Wallet(signer, self.chain_id, nonce_next=self.find_nonce(signer), now_ms=self.now_ms)

    def find_nonce(self, signer: KeySigner) -> int:
        row = self.ledger.books.state.get(KEYS, signer.public_key)
        return 0 if row is None else row.top + 1

    def make_officer(self, name: str) -> Wallet:
        officer = make_keys(name).officer
        assert officer is not None
        return self.make_wallet(officer)

    async def do(self, *intents: Intent) -> None:
        """Submit and see that each succeeded."""
        answers = await self.submit([one.item for one in intents])
        assert all(one.status == "accepted" for one in answers), answers
        for one in intents:
            stored = await self.store.find_transaction(one.id)
            assert stored is not None
            receipt = decode(stored.receipt, Receipt)
            assert receipt.rejection is None, receipt

    async def open_borrower(self, name: str, enc_key: BoxKey | None = None) -> Wallet:
        """A borrower's account with 1,000.00 of its own."""
        wallet, issuer = self.make_wallet(KeySigner(make_seed(name))), make_keys("identity").officer
        assert issuer is not None
        await self.do(
            wallet.open_account(
                issuer=issuer,
                kind=AccountKind.PERSON,
                enc_key=enc_key or BoxKey(bytes(PrivateKey(make_seed(f"{name}/enc")).public_key)),
                subject_tag=calculate_hash("tag", name.encode()),
                level=2,
                expires_on=Day(TODAY + 1_000),
            )
        )
        await self.do(
            self.make_officer("clearing").mint(
                to=wallet.account, currency=CNY, amount=Amount(100_000), ext_ref=calculate_hash("ref", name.encode())
            )
        )
        return wallet

    async def open_market(self, attestations: int = 1) -> dict[str, ObjectId]:
        """A funded pool and a personal product for each lender; returns the products by lender."""
        made = {}
        for rank, name in enumerate(LENDERS):
            officer = self.make_officer(name)
            await self.do(
                self.make_officer("clearing").mint(
                    to=officer.account,
                    currency=CNY,
                    amount=Amount(50_000_000),
                    ext_ref=calculate_hash("cash", name.encode()),
                )
            )
            pool = officer.open_pool(currency=CNY, borrower_max=Amount(20_000_000))
            await self.do(pool)
            product = officer.publish_product(make_product(name, pool.made, attestations, 80_000 + 20_000 * rank))
            await self.do(officer.deposit(pool=pool.made, amount=Amount(40_000_000)), product)
            made[name] = product.made
        return made


def make_product(name: str, pool: ObjectId, attestations: int, rate_ppm: int) -> LoanProduct:
    return LoanProduct(
        name=f"{name} personal",
        segment=Segment.PERSONAL,
        pool=pool,
        amount_min=Amount(10_000),
        amount_max=Amount(10_000_000),
        instalments_min=1,
        instalments_max=36,
        period_unit=PeriodUnit.MONTH,
        period_every=1,
        amortisation=Amortisation.LEVEL,
        day_count=DayCount.THIRTY_360,
        profile=RoundingProfile.A,
        origination_fee_ppm=Ppm(5_000),
        grace_days=0,
        late_rate_ppm=Ppm(60_000),
        late_fee=Amount(1_000),
        waterfall=WaterfallOrder.IPF,
        model=ModelId(MODEL.id),
        bands=tuple(
            BandPrice(rate_ppm=Ppm(rate_ppm + 10_000 * band), amount_max=Amount(10_000_000)) for band in range(5)
        ),
        attestations_min=attestations,
        auto_budget=Amount(100_000_000),
        tz_offset_min=480,
        offer_days=7,
        expires_on=Day(TODAY + 300),
    )
