"""Random lives: seeded people, lenders, agents and arbiters who do everything the ledger knows, lawfully or not.

    Lives(seed).step()      one transaction or some days, chosen by the seed alone

Used by the state machine, the long run and the replay in two processes. Most intents are plausible, so that every type
succeeds often (`tally` counts); some are aimed wrongly on purpose. Never a check of a law here.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from protocol.crypto import calculate_hash
from protocol.ids import Day, ObjectId
from protocol.ledger.records import Receipt
from protocol.ledger.rows import Role
from protocol.ledger.state import (
    ACCOUNTS,
    CONTRACTS,
    LOANS,
    POOLS,
)
from protocol.loans.lifecycle import OPEN, LoanState
from protocol.loans.terms import Amortisation, DayCount, ExcessRule, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import Amount, Ppm
from protocol.transactions.accounts import (
    AccountKind,
    AccountOpen,
)
from protocol.transactions.pools import (
    CoverDeposit,
    PoolDeposit,
    PoolOpen,
)
from protocol.transactions.products import (
    LeaseKind,
    LineKind,
    MerchantKind,
    Partner,
    RevenueKind,
    Segment,
    TermKind,
)
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import CNY, LENDERS, World, make_signer

FAR = 830_000
"""A day long after any life ends here."""
PEOPLE = ("ann", "bob", "cai", "dee")
FIRM = "firm"
SHOP = "shop"
POLICY = {
    "debt_cap": Amount(6_000_000),
    "lenders_max": 3,
    "accepts_per_day_max": 9,
    "cooling_off_days": 1,
    "writeoff_days": 30,
    "hold_days": 10,
    "cover_release_days": 60,
    "reversal_days": 5,
    "funded_days": 2,
    "recovery_delay_days": 2,
    "cost_cap_ppm": Ppm(800_000),
}


class Lives:
    """A world that goes on by itself; `step` after `step` is decided by the seed alone."""

    def __init__(self, seed: int, actions: "Actions", **policy: Any) -> None:
        self.random = Random(seed)
        self._actions = [one for one, _ in actions]
        self._weights = [weight for _, weight in actions]
        self.world = self.make_world(**{**POLICY, **policy})
        self.tally: Counter[tuple[str, str]] = Counter()
        self.signers = {name: name for name in (*PEOPLE, FIRM, SHOP)}
        """Whose key speaks for a name now."""
        self.recovering: dict[str, str] = {}
        """Keys that issuers asked for and nobody objected to: some day they speak for a name."""
        self.references = 0
        self.seat_keys = {bytes(make_signer(f"{name}/validator").public_key): f"{name}/validator" for name in LENDERS}
        """Whose validator key it is, of every key that was ever proposed."""
        self.products: list[ObjectId] = []
        self.pools: list[ObjectId] = []
        self._found()

    # ------------------------------------------------------------------ founding

    def make_world(self, **policy: Any) -> World:
        """The world in which it goes on."""
        return World(**policy)

    def _found(self) -> None:
        world, random = self.world, self.random
        for lender in LENDERS:
            world.mint(lender, 40_000_000)
            self.do(
                lender,
                PoolOpen(
                    currency=CNY,
                    borrower_max=Amount(5_000_000),
                    cover_rate_ppm=Ppm(50_000),
                    fee_ppm=Ppm(random.choice((0, 100_000))),
                ),
            )
            self.pools.append(world.made("pool", lender))
            self.do(lender, PoolDeposit(pool=self.pools[-1], amount=Amount(20_000_000)))
            self.do(lender, CoverDeposit(pool=self.pools[-1], amount=Amount(3_000_000)))
        for name, kind in [
            *((one, AccountKind.PERSON) for one in PEOPLE),
            (FIRM, AccountKind.BUSINESS),
            (SHOP, AccountKind.MERCHANT),
        ]:
            self._open(name, kind)
            world.mint(name, 300_000, f"{name}/first")
        for lender, pool in zip(LENDERS, self.pools, strict=True):
            for kind, terms in self._kinds(pool):
                payload = world.product(pool, kind=kind, attestations_min=1, **terms)
                owners = tuple(LENDERS[self.pools.index(ObjectId(one.pool))] for one in payload.partners)
                if self.do(lender, payload, cosigners=owners).rejection is None:
                    self.products.append(world.made("product", lender))

    def _open(self, name: str, kind: AccountKind) -> None:
        payload = AccountOpen(
            kind=kind,
            enc_key=calculate_hash("box", name.encode()),  # type: ignore[arg-type]
            subject_tag=calculate_hash("tag", name.encode()),
            level=2,
            expires_on=Day(FAR),
        )
        assert self.do(name, payload, cosigners=("issuer",)).rejection is None

    def _kinds(self, pool: ObjectId) -> list[tuple[Any, dict[str, Any]]]:
        """One product of each kind, some shared with partners, with terms that the seed varies."""
        random = self.random
        common: dict[str, Any] = {
            "waterfall": random.choice(list(WaterfallOrder)),
            "profile": random.choice(list(RoundingProfile)),
            "day_count": random.choice(list(DayCount)),
            "grace_days": random.choice((0, 3)),
            "prepayment_fee_ppm": Ppm(random.choice((0, 5_000))),
            "default_days": 60,
            "expires_on": Day(FAR),
        }
        others = sorted(one for one in self.pools if one != pool)
        shares = tuple(Partner(pool=one, share_ppm=Ppm(random.randint(50_000, 333_333))) for one in others)
        level = random.choice((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET))
        balloon = {"amortisation": Amortisation.BALLOON, "instalments_min": 2}
        single = {"instalments_min": 1, "instalments_max": 1, "period_unit": PeriodUnit.DAY, "period_every": 1}
        return [
            (TermKind(), {**common, "amortisation": level, "partners": random.choice(((), shares))}),
            (
                TermKind(residual_ppm=Ppm(300_000)),
                {**common, **balloon},
            ),
            (LineKind(days=90, draw_min=Amount(5_000)), {**common, "partners": random.choice(((), shares[:1]))}),
            (MerchantKind(discount_ppm=Ppm(20_000)), {**common, "segment": Segment.CONSUMER, "partners": shares[:1]}),
            (
                LeaseKind(
                    residual_ppm=Ppm(200_000),
                    deposit_ppm=Ppm(50_000),
                    may_return=True,
                    may_buy=True,
                    extend_instalments=6,
                ),
                {**common, **balloon},
            ),
            (
                RevenueKind(
                    share_ppm=Ppm(150_000),
                    volume_days=360,
                    floor_ppm=Ppm(500_000),
                    warning_ppm=Ppm(800_000),
                    term_days_max=400,
                ),
                {**common, **single, "amortisation": Amortisation.BULLET, "segment": Segment.SMALL_BUSINESS},
            ),
        ]

    # ------------------------------------------------------------------ doing

    def do(self, who: str, payload: Any, **options: Any) -> Receipt:
        """Execute one transaction in a block of its own and count what came of it."""
        receipt = self.world.do(self.signers.get(who, who), payload, **options)
        self.tally[type(payload).__name__, "ok" if receipt.rejection is None else receipt.rejection.code] += 1
        return receipt

    def step(self) -> Receipt | None:
        """One action of the table, by weight; None when it had nothing to act on, or when only days passed."""
        for name, fresh in list(self.recovering.items()):
            row = self.world.ledger.books.state.need(ACCOUNTS, self.world.account(name))
            if row.key == make_signer(fresh).public_key:
                self.signers[name] = self.recovering.pop(name)
        return self.random.choices(self._actions, self._weights)[0](self)

    def some(self, table: Any, wanted: Callable[[Any], bool] = lambda row: True) -> ObjectId | None:
        """A random row's key; now and then one that is not wanted."""
        state = self.world.ledger.books.state
        anything = self.random.random() < 0.08
        keys = [ObjectId(key) for key, row in state.items(table) if anything or wanted(row)]
        return self.random.choice(keys) if keys else None

    def owner(self, account: bytes) -> str:
        """The name behind an account."""
        names = (*PEOPLE, FIRM, SHOP, *LENDERS, "agent", "issuer", "eye", "court")
        return next((one for one in names if self.world.account(one) == account), "ann")

    def lender(self, loan: Any) -> str:
        return self.owner(self.world.ledger.books.state.need(POOLS, loan.holdings[0].pool).owner)

    def loan(self, *states: LoanState) -> tuple[ObjectId, Any, Any] | None:
        loan_id = self.some(LOANS, lambda row: row.state in (states or OPEN))
        if loan_id is None:
            return None
        state = self.world.ledger.books.state
        return loan_id, state.need(CONTRACTS, loan_id), state.need(LOANS, loan_id)

    def pay_off_rows(self, who: str, loan_id: ObjectId, amount: int) -> Receipt:
        """Pay so much of a loan, next rows first."""
        return self.do(who, Pay(loan=loan_id, amount=Amount(amount), excess=ExcessRule.NEXT))

    def reference(self) -> Any:
        self.references += self.random.random() < 0.97
        return calculate_hash("reference", self.references.to_bytes(8, "big"))

    def hash(self) -> Any:
        return calculate_hash("evidence", self.random.randbytes(4))

    def voter(self) -> str:
        """An organisation with a vote; now and then one that may have none."""
        names = [one for one in (*LENDERS, "agent", "issuer", "eye", "court") if self.may_vote(one)]
        return self.random.choice(names if names and self.random.random() < 0.92 else LENDERS)

    def may_vote(self, name: str) -> bool:
        return bool(self.world.ledger.books.state.need(ACCOUNTS, self.world.account(name)).roles & Role.VALIDATOR)

    def amount(self, most: int) -> Amount:
        return Amount(self.random.choice((1, most // 3, most, self.random.randint(0, max(1, most)), most + 1)))

    def person(self) -> str:
        return self.random.choice((*PEOPLE, FIRM))


Action = Callable[[Lives], Receipt | None]
Actions = list[tuple[Action, int]]
"""What can happen, and how often beside the others."""
