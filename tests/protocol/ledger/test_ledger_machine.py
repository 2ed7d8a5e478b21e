"""Random people doing random things, lawful or not, over random days: every law of the books holds."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.records import Decided, Receipt
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, LOANS, OFFERS, POOLS, REDEMPTIONS
from protocol.loans.terms import Amortisation, DayCount, ExcessRule, RoundingProfile, WaterfallOrder
from protocol.money import Amount, Ppm
from protocol.transactions.lending import Accept, ApplyWithdraw
from protocol.transactions.money import RedeemOutcome, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import PoolDeposit
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import BEST_BINS, CNY, DAY_MS, LENDERS, WORST_BINS, World

PEOPLE = ("ann", "bob", "cai")
SMALL = st.integers(0, 2_000_000)


class Books(RuleBasedStateMachine):
    """Three lenders with different products, three people, one agent."""

    @initialize(
        orders=st.lists(st.sampled_from(WaterfallOrder), min_size=3, max_size=3),
        counts=st.lists(st.sampled_from(DayCount), min_size=3, max_size=3),
        form=st.tuples(
            st.sampled_from(RoundingProfile),
            st.sampled_from((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET)),
        ),
        grace=st.integers(0, 5),
        cap=st.sampled_from((30_000, 1_000_000)),
    )
    def found(self, orders: Any, form: Any, counts: Any, grace: int, cap: int) -> None:
        self.world = World(cost_cap_ppm=Ppm(cap))
        for lender, order, count in zip(LENDERS, orders, counts, strict=True):
            self.world.found_lender(
                lender,
                cash=2_000_000,
                waterfall=order,
                profile=form[0],
                day_count=count,
                amortisation=form[1],
                grace_days=grace,
                auto_budget=Amount(3_000_000),
            )
        for one in PEOPLE:
            assert self.world.open_account(one).rejection is None

    def some(self, table: Any, seed: int) -> ObjectId:
        keys = [ObjectId(key) for key, _ in self.world.ledger.books.state.items(table)]
        return keys[seed % len(keys)] if keys else ObjectId(bytes(32))

    def try_do(self, who: str, payload: Any) -> Receipt | None:
        world = self.world
        return world.block((world.transaction(who, payload), ()))[0]

    @rule(days=st.integers(1, 40), ms=st.integers(0, DAY_MS - 1))
    def time_passes(self, days: int, ms: int) -> None:
        self.world.block(ms=days * DAY_MS + ms)

    @rule(who=st.sampled_from((*PEOPLE, *LENDERS)), amount=st.integers(1, 1_000_000))
    def mint(self, who: str, amount: int) -> None:
        self.world.mint(who, amount)

    @rule(who=st.sampled_from(PEOPLE), amount=SMALL, excess=st.sampled_from(ExcessRule), seed=st.integers(0, 99))
    def pay(self, who: str, amount: int, excess: ExcessRule, seed: int) -> None:
        self.try_do(who, Pay(loan=self.some(LOANS, seed), amount=Amount(amount), excess=excess))

    @rule(
        days=st.integers(0, 9),
        amount=st.one_of(st.integers(1, 500), st.integers(1, 100_000), st.just(3_000_000)),
        excess=st.sampled_from(ExcessRule),
        seed=st.integers(0, 99),
    )
    def pay_with_fresh_money(self, days: int, amount: int, excess: ExcessRule, seed: int) -> None:
        if days:
            self.world.block(ms=days * DAY_MS)
        self.world.mint("ann", amount)
        self.try_do("ann", Pay(loan=self.some(LOANS, seed), amount=Amount(amount), excess=excess))

    @rule(
        who=st.sampled_from(PEOPLE),
        amount=st.integers(10_000, 900_000),
        bins=st.sampled_from((BEST_BINS, WORST_BINS)),
        capacity=st.sampled_from((0, 50_000, 900_000, 5_000_000)),
        waits=st.integers(0, 3),
    )
    def borrow(self, who: str, amount: int, bins: tuple[int, ...], capacity: int, waits: int) -> None:
        world = self.world
        account = world.ledger.books.state.need(ACCOUNTS, world.account(who))
        if len(account.applications) >= 3:
            return
        application = world.apply(who, amount=amount, bins=bins)
        decided = world.attest(application, who, bins=bins, capacity30=capacity)
        offers = [one.offer for one in decided if isinstance(one, Decided) and one.offer is not None]
        if waits:
            world.block(ms=waits * DAY_MS)
        if offers:
            world.accept(who, offers[0])

    @rule(who=st.sampled_from(PEOPLE), seed=st.integers(0, 99))
    def accept_any(self, who: str, seed: int) -> None:
        offer = self.some(OFFERS, seed)
        row = self.world.ledger.books.state.get(OFFERS, offer)
        self.try_do(who, Accept(offer=offer, terms_hash=row.terms_hash if row else calculate_hash("none")))

    @rule(who=st.sampled_from(PEOPLE), seed=st.integers(0, 99))
    def withdraw(self, who: str, seed: int) -> None:
        self.try_do(who, ApplyWithdraw(application=self.some(APPLICATIONS, seed)))

    @rule(who=st.sampled_from((*PEOPLE, *LENDERS)), to=st.sampled_from((*PEOPLE, *LENDERS)), amount=SMALL)
    def transfer(self, who: str, to: str, amount: int) -> None:
        payload = Transfer(to=self.world.account(to), currency=CNY, amount=Amount(amount), memo_commit=bytes(32))  # type: ignore[arg-type]
        self.try_do(who, payload)

    @rule(who=st.sampled_from((*PEOPLE, *LENDERS)), amount=SMALL)
    def ask_redemption(self, who: str, amount: int) -> None:
        agent = self.world.account("agent")
        payload = RedeemRequest(agent=agent, currency=CNY, amount=Amount(amount), payout_commit=calculate_hash("iban"))
        self.try_do(who, payload)

    @rule(seed=st.integers(0, 99), outcome=st.sampled_from(RedeemOutcome), reference=st.integers(0, 5))
    def settle_redemption(self, seed: int, outcome: RedeemOutcome, reference: int) -> None:
        payload = RedeemSettle(
            redemption=self.some(REDEMPTIONS, seed),
            outcome=outcome,
            ext_ref=calculate_hash("payout", bytes((reference,))),
        )
        self.try_do("agent", payload)

    @rule(who=st.sampled_from((*PEOPLE, *LENDERS)), amount=SMALL, seed=st.integers(0, 2))
    def deposit(self, who: str, amount: int, seed: int) -> None:
        self.try_do(who, PoolDeposit(pool=self.some(POOLS, seed), amount=Amount(amount)))

    @invariant()
    def all_laws_hold(self) -> None:
        assert find_violations(self.world.ledger) == {}

    def teardown(self) -> None:
        """Saved rows give the same books with the same root."""
        ledger = self.world.ledger
        again = Ledger.from_rows(
            self.world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root
        )
        assert again.state_root == ledger.state_root
        assert again.next_due_ms() == ledger.next_due_ms()


Books.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestBooks = Books.TestCase
