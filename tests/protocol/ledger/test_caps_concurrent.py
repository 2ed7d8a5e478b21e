"""Offers of several lenders taken at once, anywhere: all nodes let the same ones pass, and no cap is ever passed.

The nodes execute one order of blocks; some restart from their rows on the way. What is random is when and in which
order the acceptances come.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.ids import ObjectId
from protocol.ledger.execute import Ledger, Receipt
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import ACCOUNTS, CONTRACTS, LOANS, OFFERS
from protocol.money import PPM, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction
from protocol.transactions.lending import Accept, OfferPost
from protocol.transactions.servicing import LoanSettle, SettleOutcome
from tests.protocol.ledger.world import DAY_MS, LENDERS, World

NODES = 4
CAP = 1_500_000
PEOPLE = ("ann", "bob")


def sum_debt(ledger: Ledger, who: bytes) -> int:
    """What somebody owes, counted anew from every loan of the books: own principal, and half of what is guaranteed."""
    own = guaranteed = 0
    for key, loan in ledger.books.state.items(LOANS):
        disclosure = ledger.books.state.need(CONTRACTS, key).disclosure
        own += loan.principal_out * (disclosure.borrower == who)
        guaranteed += loan.principal_out * (who in disclosure.guarantors and loan.closed_ms is None)
    return own + -(-guaranteed * ledger.books.policy.guarantee_weight_ppm // PPM)


class Network:
    """One world that makes the transactions, and three more ledgers that execute the same blocks."""

    def __init__(self, world: World, restarts: list[bool]) -> None:
        self.world = world
        self.others = [self.copy(world.ledger) for _ in range(NODES - 1)]
        self.restarts = restarts

    def copy(self, ledger: Ledger) -> Ledger:
        """A node that starts from saved rows."""
        rows = list(ledger.rows())
        return Ledger.from_rows(self.world.genesis, rows, height=ledger.height, exec_root=ledger.exec_root)

    def run(self, calls: list[Transaction], ms: int) -> list[Receipt]:
        """All nodes execute a block and agree on what came of it."""
        receipts = self.world.block(*((one, ()) for one in calls), ms=ms)
        for index, ledger in enumerate(self.others):
            if self.restarts and self.restarts.pop():
                ledger = self.others[index] = self.copy(ledger)
            ledger.begin_block(self.world.header(ledger.height + 1))
            found = [ledger.execute(one, ()) for one in calls]
            ledger.end_block()
            assert (found, ledger.exec_root) == (receipts, self.world.ledger.exec_root)
        return [one for one in receipts if one is not None]


def check_caps(world: World, *others: Ledger) -> None:
    """(29) Nobody's debt, counted anew, is above the cap on any node, and every law holds."""
    for ledger in (world.ledger, *others):
        assert all(sum_debt(ledger, world.account(one)) <= CAP for one in PEOPLE)
    assert find_violations(world.ledger) == {}


def take(world: World, who: str, offer: ObjectId, *, agent: bool = False) -> Transaction:
    """A signed acceptance, wherever it was handed in."""
    row = world.ledger.books.state.need(OFFERS, offer)
    by = world.account("agent") if agent else None
    payload = Accept(offer=offer, terms_hash=row.terms_hash, agent=by)
    return world.transaction(who, payload, cosigners=("bob",) if row.disclosure.guarantors else ())


def ask(world: World, who: str, lender: str, amount: int, *, guarantors: tuple[str, ...] = ()) -> ObjectId:
    """An offer of one lender, on an application of its own."""
    data, consent = world.anchor(who)
    sidecar = world.sidecar(who)
    named = tuple(world.account(one) for one in guarantors)
    payload = world.application(who, data, consent, amount=amount, sidecar=sidecar, guarantors=named)
    world.must(who, payload, sidecars=(sidecar,))
    (decided,) = world.attest(world.made("application", who), who, lenders=(lender,), capacity30=9_000_000)
    assert decided.offer is not None
    return decided.offer


def make_world() -> World:
    """Three lenders that decide alone; Ann and Bob."""
    world = World(lenders_max=3, accepts_per_day_max=9)
    for lender in LENDERS:
        world.found_lender(lender, attestations_min=1)
    for person in PEOPLE:
        world.open_account(person)
    return world


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    amounts=st.lists(st.integers(300_000, 1_000_000), min_size=3, max_size=3),
    order=st.permutations(range(3)),
    places=st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=3, max_size=3),
    guaranteed=st.booleans(),
    restarts=st.lists(st.booleans(), max_size=9),
)
def test_three_lenders_offers_taken_at_once_never_pass_the_cap(
    amounts: list[int], order: list[int], places: list[tuple[int, bool]], guaranteed: bool, restarts: list[bool]
) -> None:
    """In any order and any blocks the first that fit pass, the rest are refused for the debt cap on every node."""
    world = make_world()
    guarantors = ("bob",) if guaranteed else ()
    offers = [ask(world, "ann", *one, guarantors=guarantors) for one in zip(LENDERS, amounts, strict=True)]
    network = Network(world, restarts)
    # Each comes in one of three blocks, to be paid out on the ledger or by an agent.
    calls = [take(world, "ann", offer, agent=agent) for offer, (_, agent) in zip(offers, places, strict=True)]
    open_, passed = 0, []
    for block in range(3):
        mine = [one for one in order if places[one][0] == block]
        receipts = network.run([calls[one] for one in mine], 700)
        for one, receipt in zip(mine, receipts, strict=True):
            fits = open_ + amounts[one] <= CAP
            assert receipt.rejection is (None if fits else Rejection.CAP_DEBT)
            open_ += amounts[one] * fits
            passed += [one] * fits
        check_caps(world, *network.others)
    assert passed
    assert sum_debt(world.ledger, world.account("ann")) == open_
    if guaranteed:
        assert sum_debt(world.ledger, world.account("bob")) == -(-open_ // 2)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("ask", "ask", "accept", "accept", "officer", "pay", "settle", "wait")),
            st.sampled_from(PEOPLE),
            st.sampled_from(LENDERS),
            st.integers(20_000, 1_200_000),
            st.integers(0, 99),
        ),
        min_size=8,
        max_size=24,
    )
)
def test_exposure_is_within_the_cap_at_every_acceptance(steps: list[tuple[str, str, str, int, int]]) -> None:
    """(29) Loans come, are paid, wait for agents, fail; at each acceptance the debt counted anew is within the cap."""
    world = make_world()
    for action, who, lender, amount, seed in steps:
        act(world, action, who, lender, amount=amount, seed=seed)
        check_caps(world)


def act(world: World, action: str, who: str, lender: str, *, amount: int, seed: int) -> None:
    """One step of a random life, lawful or not."""
    state = world.ledger.books.state
    loans = [ObjectId(key) for key, _ in state.items(LOANS)]
    offers = [ObjectId(key) for key, one in state.items(OFFERS) if one.disclosure.borrower == world.account(who)]
    applications = state.need(ACCOUNTS, world.account(who)).applications
    match action:
        case "ask" if len(applications) < 3:
            ask(world, who, lender, amount, guarantors=("bob",) if who == "ann" and seed % 2 else ())
        case "officer" if applications:
            product = next(key for key, one in state.items(OFFERS))
            post = OfferPost(
                application=applications[0],
                product=state.need(OFFERS, product).disclosure.product,
                principal=Amount(amount),
                instalments=12,
                rate_ppm=Ppm(70_000),
            )
            world.do(lender, post)
        case "accept" if offers:
            world.block((take(world, who, offers[seed % len(offers)], agent=seed % 3 == 0), ()))
        case "pay" if loans:
            world.mint(who, amount)
            world.pay(who, loans[seed % len(loans)], amount)
        case "settle" if loans:
            outcome = SettleOutcome.FAILED if seed % 2 else SettleOutcome.DISBURSED
            reference = state.need(LOANS, loans[0]).holdings[0].pool[:16] + seed.to_bytes(16, "big")
            payload = LoanSettle(loan=loans[seed % len(loans)], outcome=outcome, ext_ref=reference)  # type: ignore[arg-type]
            world.do("agent", payload)
        case "wait":
            world.block(ms=(seed % 5) * DAY_MS)
        case _:
            pass
