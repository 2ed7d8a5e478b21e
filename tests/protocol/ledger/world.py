"""A small network in memory: members, borrowers and a ledger driven block by block. No node, no signature checks.

Shared by the ledger's tests; transactions are really signed only where a test asks for their bytes.
"""

from typing import Any

import msgspec

from protocol.batch import Sidecar
from protocol.block import HEADER_VERSION, Header
from protocol.codec import encode
from protocol.crypto import KeySigner, calculate_account_id, calculate_hash, calculate_object_id
from protocol.genesis import GENESIS_VERSION, CurrencyUnit, Genesis, Member, Policy
from protocol.ids import (
    ZERO_DIGEST,
    AccountId,
    BlockDigest,
    BoxKey,
    Day,
    Digest,
    Epoch,
    Height,
    ModelId,
    ObjectId,
    PublicKey,
    TimeMs,
    ValidatorIndex,
    View,
)
from protocol.ledger.execute import Execution, Ledger, Receipt
from protocol.ledger.invariants import find_violations
from protocol.ledger.records import Decided
from protocol.ledger.state import OFFERS
from protocol.loans.terms import (
    Amortisation,
    DayCount,
    ExcessRule,
    PeriodUnit,
    RoundingProfile,
    WaterfallOrder,
)
from protocol.money import Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.data import ConsentGrant, DataAnchor, Purpose, Scope
from protocol.transactions.envelope import (
    TRANSACTION_VERSION,
    Payload,
    Transaction,
    TransactionBody,
    sign_transaction,
)
from protocol.transactions.lending import Accept, Apply, Attest, FeaturesCommitment, LoanPurpose, SidecarCommitment
from protocol.transactions.money import Mint
from protocol.transactions.pools import PoolDeposit, PoolOpen
from protocol.transactions.products import BandPrice, LoanProduct, Segment
from protocol.transactions.servicing import Pay
from scoring.models import load_default
from scoring.points import encode_model

CNY = Currency("CNY")
DAY_MS = 86_400_000
DAY_START = Day(740_000)
TIME_MS = TimeMs(1_795_000_000_000)
MODEL = load_default("CNY")
MODEL_ID = ModelId(MODEL.id)
BEST_BINS = tuple(max(range(len(item.points)), key=lambda i, p=item.points: p[i]) for item in MODEL.table)
WORST_BINS = tuple(len(item.cuts) + 1 for item in MODEL.table)
LENDERS = ("harbour", "jade", "plum")

POLICY = Policy(
    debt_cap=Amount(1_500_000),
    instalment_share_ppm=Ppm(600_000),
    lenders_max=2,
    accepts_per_day_max=3,
    apr_cap_ppm=Ppm(360_000),
    late_cap_ppm=Ppm(480_000),
    cost_cap_ppm=Ppm(1_000_000),
    cooling_off_days=3,
    materiality=Amount(100),
    statement_age_days_max=3,
    application_days=14,
    attestations_floor=1,
)


def make_signer(name: str) -> KeySigner:
    """A key that follows from a name."""
    return KeySigner(calculate_hash("test-key", name.encode()))


def make_genesis(**policy: Any) -> Genesis:
    """Three lenders that validate, a settlement agent, an issuer, an observer, an arbiter."""

    def member(name: str, **roles: Any) -> Member:
        return Member(
            name=name,
            officer_key=make_signer(name).public_key,
            node_key=make_signer(f"{name}/node").public_key,
            enc_key=BoxKey(calculate_hash("box", name.encode())),
            **roles,
        )

    lenders = [
        member(
            name,
            lender=True,
            attester_key=make_signer(f"{name}/attester").public_key,
            validator_key=make_signer(f"{name}/validator").public_key,
        )
        for name in LENDERS
    ]
    others = [
        member("agent", settlement_agent=True),
        member("issuer", issuer=True),
        member("eye", observer=True),
        member("court", arbiter=True),
    ]
    return Genesis(
        version=GENESIS_VERSION,
        name="test",
        time_ms=TIME_MS,
        day_start=DAY_START,
        day_ms=DAY_MS,
        currencies=(CurrencyUnit(code=CNY, exponent=2), CurrencyUnit(code=Currency("EUR"), exponent=2)),
        members=(*lenders, *others),
        policy=msgspec.structs.replace(POLICY, **policy),
        models=(encode_model(MODEL).decode("ascii"),),
    )


class World:
    """A ledger and everybody's keys. `do` executes one transaction in a block of its own."""

    def __init__(self, **policy: Any) -> None:
        self.genesis = self.make_genesis(**policy)
        self.ledger = Ledger.from_genesis(self.genesis)
        self.now_ms = TIME_MS
        self.nonces: dict[str, int] = {}
        self.execution: Execution | None = None
        self.events: list[Any] = []

    def make_genesis(self, **policy: Any) -> Genesis:
        """The network it begins with."""
        return make_genesis(**policy)

    # ------------------------------------------------------------------ blocks and transactions

    def header(self, height: int | None = None, epoch: int | None = None) -> Header:
        """A header for the next block; only height, time and epoch matter to the ledger."""
        return Header(
            version=HEADER_VERSION,
            chain_id=self.ledger.chain_id,
            epoch=Epoch(self.ledger.epoch_row.epoch if epoch is None else epoch),
            height=Height(self.ledger.height + 1 if height is None else height),
            view=View(1),
            parent_digest=BlockDigest(ZERO_DIGEST),
            time_ms=TimeMs(self.now_ms),
            batches_root=ZERO_DIGEST,
            batch_count=0,
            tx_count=0,
            exec_height=Height(0),
            exec_root=ZERO_DIGEST,
            history_root=ZERO_DIGEST,
            next_validators_hash=ZERO_DIGEST,
            epoch_end=Height(0),
            params_hash=ZERO_DIGEST,
            proposer=ValidatorIndex(0),
        )

    def transaction(
        self,
        who: str,
        payload: Payload,
        *,
        nonce: int | None = None,
        valid_for_ms: int = 600_000,
        cosigners: tuple[str, ...] = (),
    ) -> Transaction:
        """A transaction as a node would hand it over after its checks (an id that follows from the body)."""
        if nonce is None:
            nonce = self.nonces.get(who, -1) + 1
            self.nonces[who] = nonce
        keys = tuple(sorted(make_signer(one).public_key for one in cosigners))
        body = TransactionBody(
            version=TRANSACTION_VERSION,
            chain_id=self.ledger.chain_id,
            sender=make_signer(who).public_key,
            nonce=nonce,
            valid_to_ms=TimeMs(self.now_ms + valid_for_ms),
            payload=payload,
            cosigners=keys,
        )
        raw = encode(body)
        return Transaction(id=calculate_hash("transaction", raw), raw=raw, body=body, cosigners=keys)

    def sign(self, transaction: Transaction, who: str, cosigners: tuple[str, ...] = ()) -> bytes:
        """The same intent with real signatures, as bytes."""
        return sign_transaction(transaction.body, make_signer(who), tuple(make_signer(one) for one in cosigners))

    def block(
        self, *transactions: tuple[Transaction, tuple[Sidecar, ...]], ms: int = 1_000, epoch: int | None = None
    ) -> list[Receipt | None]:
        """Execute a block, `ms` after the last one, of the same epoch or the one given."""
        self.now_ms += ms
        self.ledger.begin_block(self.header(epoch=epoch))
        receipts = [self.ledger.execute(one, sidecars) for one, sidecars in transactions]
        self.execution = self.ledger.end_block()
        self.events += self.execution.events
        return receipts

    def do(self, who: str, payload: Payload, **options: Any) -> Receipt:
        """Execute one transaction in a block of its own and return its receipt."""
        sidecars = options.pop("sidecars", ())
        receipt = self.block((self.transaction(who, payload, **options), sidecars))[0]
        assert receipt is not None, "skipped"
        return receipt

    def must(self, who: str, payload: Payload, **options: Any) -> Receipt:
        """The same, and it must succeed."""
        receipt = self.do(who, payload, **options)
        assert receipt.rejection is None, receipt.rejection
        return receipt

    def begin_epoch(self, *transactions: tuple[Transaction, tuple[Sidecar, ...]], ms: int = 1_000) -> None:
        """The first block of the next epoch."""
        self.block(*transactions, ms=ms, epoch=self.ledger.epoch_row.epoch + 1)

    def pass_days(self, days: int) -> None:
        """One empty block for each day."""
        for _ in range(days):
            self.block(ms=DAY_MS)

    # ------------------------------------------------------------------ names and ids

    def account(self, who: str) -> AccountId:
        """Account of a name."""
        return calculate_account_id(make_signer(who).public_key)

    def made(self, kind: str, who: str, nonce: int | None = None) -> ObjectId:
        """Id of what a name made with its last (or a given) nonce."""
        key: PublicKey = make_signer(who).public_key
        return calculate_object_id(kind, key, self.nonces[who] if nonce is None else nonce)

    @property
    def today(self) -> Day:
        """Contract day at offset 0."""
        return Day(self.genesis.calculate_day(TimeMs(self.now_ms), 0))

    # ------------------------------------------------------------------ scenes

    def open_account(self, who: str, *, tag: str | None = None) -> Receipt:
        """Open a person's account."""
        payload = AccountOpen(
            kind=AccountKind.PERSON,
            enc_key=BoxKey(calculate_hash("box", who.encode())),
            subject_tag=calculate_hash("tag", (tag or who).encode()),
            level=2,
            expires_on=Day(DAY_START + 5_000),
        )
        return self.do(who, payload, cosigners=("issuer",))

    def mint(self, to: str, amount: int, reference: str | None = None) -> Receipt:
        """Fiat arrives."""
        name = reference or f"{to}/{self.now_ms}"
        return self.must(
            "agent",
            Mint(
                to=self.account(to), currency=CNY, amount=Amount(amount), ext_ref=calculate_hash("ref", name.encode())
            ),
        )

    def product(self, pool: ObjectId, **terms: Any) -> LoanProduct:
        """A weekly level loan over 12 weeks, granted in every band but the worst."""
        plain: dict[str, Any] = {
            "name": "Weekly 12",
            "segment": Segment.PERSONAL,
            "pool": pool,
            "amount_min": Amount(10_000),
            "amount_max": Amount(2_000_000),
            "instalments_min": 1,
            "instalments_max": 52,
            "period_unit": PeriodUnit.WEEK,
            "period_every": 1,
            "amortisation": Amortisation.LEVEL,
            "day_count": DayCount.SEVEN_364,
            "profile": RoundingProfile.A,
            "origination_fee_ppm": Ppm(5_000),
            "grace_days": 0,
            "late_rate_ppm": Ppm(60_000),
            "late_fee": Amount(2_000),
            "waterfall": WaterfallOrder.IPF,
            "model": MODEL_ID,
            "bands": tuple(
                BandPrice(rate_ppm=Ppm(72_000 + 30_000 * i), amount_max=Amount(2_000_000)) for i in range(4)
            ),
            "attestations_min": 2,
            "auto_budget": Amount(100_000_000),
            "tz_offset_min": 480,
            "offer_days": 5,
            "expires_on": Day(DAY_START + 1_000),
        }
        return LoanProduct(**{**plain, **terms})

    def found_lender(self, who: str, cash: int = 10_000_000, borrower_max: int = 5_000_000, **terms: Any) -> ObjectId:
        """Cash, a pool and one product; returns the product."""
        self.mint(who, cash)
        self.must(who, PoolOpen(currency=CNY, borrower_max=Amount(borrower_max)))
        pool = self.made("pool", who)
        self.must(who, PoolDeposit(pool=pool, amount=Amount(cash)))
        self.must(who, self.product(pool, **terms))
        return self.made("product", who)

    def anchor(self, who: str, grantees: tuple[str, ...] = LENDERS) -> tuple[ObjectId, ObjectId]:
        """A statement and consent to read it; returns (data, consent)."""
        self.must(
            who,
            DataAnchor(
                rows_root=calculate_hash("rows", who.encode()),
                document=calculate_hash("document", who.encode()),
                currency=CNY,
                first_day=Day(self.today - 365),
                last_day=Day(self.today - 1),
                provenance=2,
            ),
        )
        data = self.made("data", who)
        return data, self.consent(who, data, grantees)

    def consent(self, who: str, data: ObjectId, grantees: tuple[str, ...], scope: Scope = Scope.RAW) -> ObjectId:
        """Consent to read a statement, or its features alone, for underwriting."""
        self.must(
            who,
            ConsentGrant(
                grantees=tuple(self.account(one) for one in grantees),
                data=(data,),
                purpose=Purpose.UNDERWRITE,
                until_ms=TimeMs(self.now_ms + 90 * DAY_MS),
                text_hash=calculate_hash("text"),
                scope=scope,
            ),
        )
        return self.made("consent", who)

    def features(self, who: str, consent: ObjectId | None = None) -> FeaturesCommitment:
        """What an application commits to for readers of features."""
        digests = [calculate_hash(name, who.encode()) for name in ("features", "features-document")]
        return FeaturesCommitment(root=digests[0], document=digests[1], consent=consent)

    def sidecar(self, who: str, bins: tuple[int, ...] = BEST_BINS) -> Sidecar:
        """Binned features with a salt."""
        return Sidecar(model=MODEL_ID, salt=calculate_hash("salt", who.encode()), bins=bins)

    def application(
        self,
        who: str,
        data: ObjectId,
        consent: ObjectId,
        *,
        amount: int = 800_000,
        sidecar: Sidecar | None = None,
        **fields: Any,
    ) -> Apply:
        """An application for every product of the personal segment."""
        given = sidecar or self.sidecar(who)
        plain: dict[str, Any] = {
            "segment": Segment.PERSONAL,
            "product": None,
            "currency": CNY,
            "amount": Amount(amount),
            "instalments": 12,
            "period_unit": PeriodUnit.WEEK,
            "period_every": 1,
            "purpose": LoanPurpose.LIVING,
            "data": (data,),
            "consent": consent,
            "as_of": self.today,
            "sidecars": (SidecarCommitment(model=given.model, commitment=given.calculate_commitment()),),
        }
        return Apply(**{**plain, **fields})

    def apply(self, who: str, *, amount: int = 800_000, bins: tuple[int, ...] = BEST_BINS) -> ObjectId:
        """Anchor, consent, apply; returns the application."""
        data, consent = self.anchor(who)
        sidecar = self.sidecar(who, bins)
        self.must(who, self.application(who, data, consent, amount=amount, sidecar=sidecar), sidecars=(sidecar,))
        return self.made("application", who)

    def attestation(
        self, lender: str, application: ObjectId, commitment: Digest, *, capacity30: int = 900_000
    ) -> Attest:
        """What an honest attester says."""
        return Attest(
            application=application,
            model=MODEL_ID,
            commitment=commitment,
            capacity30=Amount(capacity30),
            rows_mark=calculate_hash("mark", lender.encode()),
        )

    def attest(
        self,
        application: ObjectId,
        borrower: str,
        *,
        bins: tuple[int, ...] = BEST_BINS,
        lenders: tuple[str, ...] = LENDERS,
        capacity30: int = 900_000,
    ) -> list[Decided]:
        """Let lenders attest one after the other; returns what was decided."""
        commitment = self.sidecar(borrower, bins).calculate_commitment()
        decided: list[Decided] = []
        for lender in lenders:
            receipt = self.must(
                f"{lender}/attester", self.attestation(lender, application, commitment, capacity30=capacity30)
            )
            decided += [fact for fact in receipt.outcome if isinstance(fact, Decided)]
        return decided

    def offer(self, who: str, *, amount: int = 800_000, capacity30: int = 900_000) -> list[ObjectId]:
        """Apply and be attested; returns offers, in the order of decision."""
        application = self.apply(who, amount=amount)
        decided = self.attest(application, who, capacity30=capacity30)
        return [fact.offer for fact in decided if fact.offer is not None]

    def accept(self, who: str, offer: ObjectId) -> Receipt:
        """Sign what the books say of an offer."""
        row = self.ledger.books.state.need(OFFERS, offer)
        return self.do(who, Accept(offer=offer, terms_hash=row.terms_hash))

    def borrow(self, who: str, *, amount: int = 800_000, capacity30: int = 900_000) -> ObjectId:
        """From nothing to a loan; returns it."""
        offers = self.offer(who, amount=amount, capacity30=capacity30)
        receipt = self.accept(who, offers[0])
        assert receipt.rejection is None, receipt.rejection
        return self.made("loan", who)

    def pay(self, who: str, loan: ObjectId, amount: int, excess: ExcessRule = ExcessRule.LAST) -> Receipt:
        """Pay on a loan."""
        return self.do(who, Pay(loan=loan, amount=Amount(amount), excess=excess))


def refused(world: World, who: str, payload: Any, **options: Any) -> Rejection | None:
    """Execute, and see that a refusal leaves lawful books."""
    receipt = world.do(who, payload, **options)
    assert find_violations(world.ledger) == {}
    return receipt.rejection


def change(world: World, table: Any, key: bytes, **fields: Any) -> None:
    """Alter a row behind the ledger's back, as governance or time would."""
    state = world.ledger.books.state
    state.put(table, key, msgspec.structs.replace(state.need(table, key), **fields))
    state.keep()
