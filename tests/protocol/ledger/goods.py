"""Scenes with things: registered, pledged, leased, or bought at a merchant's till. Shared by those families' tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from protocol.crypto import calculate_hash
from protocol.ids import BoxKey, Day, ObjectId
from protocol.ledger.assets import calculate_asset_id
from protocol.ledger.contracts import Contract, DefaultGround, Loan
from protocol.ledger.cover import count_loss
from protocol.ledger.execute import Ledger
from protocol.ledger.holdings import change_pool
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book, Posting, read_balance, read_cash
from protocol.ledger.loans import load_loan, save_loan
from protocol.ledger.records import LedgerEvent, Receipt
from protocol.ledger.rows import Asset, Pool
from protocol.ledger.state import ASSETS, CONTRACTS, LOANS, OFFERS, POOLS, PRODUCTS, replace
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import Amortisation
from protocol.money import Amount, Currency, Ppm
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.assets import AssetRegister
from protocol.transactions.lending import Accept, LeaseWish
from protocol.transactions.products import LeaseKind, Partner
from tests.protocol.ledger.world import BEST_BINS, CNY, DAY_START, LENDERS, World

THING = 700_000
"""What a registered thing is worth unless a test says so."""


class Goods(World):
    """A world with three funded lenders; `ann` and `bob` are persons, `shop` is a merchant. Laws hold at every look."""

    def __init__(self, **policy: Any) -> None:
        super().__init__(**policy)
        self.products = {lender: self.found_lender(lender) for lender in LENDERS}
        for who, kind in (("ann", AccountKind.PERSON), ("bob", AccountKind.PERSON), ("shop", AccountKind.MERCHANT)):
            self.open_as(who, kind)

    def open_as(self, who: str, kind: AccountKind) -> None:
        """Open an account of a kind."""
        payload = AccountOpen(
            kind=kind,
            enc_key=BoxKey(calculate_hash("box", who.encode())),
            subject_tag=calculate_hash("tag", who.encode()),
            level=2,
            expires_on=Day(DAY_START + 5_000),
        )
        self.must(who, payload, cosigners=("issuer",))

    # ------------------------------------------------------------------ what the books say

    def cash(self, who: str) -> int:
        """An account's cash."""
        return read_cash(self.ledger.books.state, self.account(who), CNY)

    def book(self, owner: bytes, book: Book) -> int:
        """A balance with its natural sign."""
        return read_balance(self.ledger.books.state, owner, book, CNY)

    def pool_id(self, lender: str) -> ObjectId:
        """Pool of a lender's first product."""
        return ObjectId(self.ledger.books.state.need(PRODUCTS, self.products[lender]).terms.pool)

    def pool(self, lender: str) -> Pool:
        """Its row."""
        return self.ledger.books.state.need(POOLS, self.pool_id(lender))

    def asset(self, asset_id: ObjectId) -> Asset:
        """A thing's row."""
        return self.ledger.books.state.need(ASSETS, asset_id)

    def loan(self, loan_id: ObjectId) -> Loan:
        """A loan's row."""
        return self.ledger.books.state.need(LOANS, loan_id)

    def contract(self, loan_id: ObjectId) -> Contract:
        """A contract's row."""
        return self.ledger.books.state.need(CONTRACTS, loan_id)

    def last(self, kind: str) -> LedgerEvent:
        """The last event of a kind."""
        found: LedgerEvent = [one for one in self.events if one.kind == kind][-1]
        return found

    # ------------------------------------------------------------------ things

    def register(self, who: str, serial: str = "A-1", *, value: int = THING, currency: Currency = CNY) -> ObjectId:
        """Register a car."""
        payload = registration(serial, value=value, currency=currency)
        self.must(who, payload, cosigners=("issuer",))
        return calculate_asset_id(payload.asset_class, payload.serial_hash)

    # ------------------------------------------------------------------ loans

    def publish(self, lender: str, *, cosigners: tuple[str, ...] = (), **terms: Any) -> ObjectId:
        """Another product of a lender, over its first pool."""
        self.must(lender, self.product(self.pool_id(lender), **terms), cosigners=cosigners)
        return self.made("product", lender)

    def publish_lease(
        self, lender: str = "harbour", *, partner: str | None = None, terms: dict[str, Any] | None = None, **kind: Any
    ) -> ObjectId:
        """Four fortnights, half the price as residual, a tenth as deposit, no fee; every option offered."""
        plain: dict[str, Any] = {
            "residual_ppm": Ppm(500_000),
            "deposit_ppm": Ppm(100_000),
            "may_return": True,
            "may_buy": True,
            "extend_instalments": 6,
        }
        shared = () if partner is None else (Partner(pool=self.pool_id(partner), share_ppm=Ppm(333_333)),)
        return self.publish(
            lender,
            cosigners=() if partner is None else (partner,),
            kind=LeaseKind(**{**plain, **kind}),
            amortisation=Amortisation.BALLOON,
            period_every=2,
            origination_fee_ppm=Ppm(0),
            partners=shared,
            **(terms or {}),
        )

    def ask(self, who: str, product: ObjectId, *, amount: int = 600_000, **fields: Any) -> ObjectId | None:
        """Apply for one product and be attested; returns the offer, None for a decline."""
        data, consent = self.anchor(who)
        sidecar = self.sidecar(who, BEST_BINS)
        payload = self.application(who, data, consent, amount=amount, sidecar=sidecar, **{"product": product, **fields})
        self.must(who, payload, sidecars=(sidecar,))
        decided = self.attest(self.made("application", who), who)
        return ObjectId(decided[0].offer) if decided[0].offer is not None else None

    def ask_lease(self, who: str, product: ObjectId, asset: ObjectId, **fields: Any) -> ObjectId | None:
        """Apply for a lease of a thing."""
        plain = {"wish": LeaseWish(asset=asset), "instalments": 4, "period_every": 2}
        return self.ask(who, product, **{**plain, **fields})

    def take(self, who: str, offer: ObjectId | None, *, cosigners: tuple[str, ...] = ()) -> Receipt:
        """Sign what the books say of an offer."""
        assert offer is not None, "declined"
        terms_hash = self.ledger.books.state.need(OFFERS, offer).terms_hash
        return self.do(who, Accept(offer=offer, terms_hash=terms_hash), cosigners=cosigners)

    def lease(self, who: str = "ann", *, supplier: str = "shop", serial: str = "A-1", **options: Any) -> ObjectId:
        """A running lease of a supplier's car; returns the loan. Its thing is `leased(loan)`."""
        asset = self.register(supplier, serial)
        self.mint(who, 60_000)
        offer = self.ask_lease(who, self.publish_lease(**options), asset)
        receipt = self.take(who, offer, cosigners=(supplier,))
        assert receipt.rejection is None, receipt.rejection
        return self.made("loan", who)

    def secured(self, who: str, *assets: ObjectId, lender: str = "harbour", **options: Any) -> ObjectId:
        """A loan of 600,000 over twelve weeks on a pledge; returns it."""
        receipt = self.take(who, self.ask(who, self.publish(lender, **options), collateral=assets))
        assert receipt.rejection is None, receipt.rejection
        return self.made("loan", who)

    def leased(self, loan: ObjectId) -> ObjectId:
        """The thing of a lease."""
        told: Any = self.contract(loan).disclosure.told
        return ObjectId(told.asset)

    def pay_row(self, who: str, loan: ObjectId, index: int) -> None:
        """Wait until a row is due and pay it with fresh money."""
        row = self.loan(loan).rows[index - 1]
        today = self.ledger.books.calculate_day(self.contract(loan).disclosure.tz_offset_min)
        self.pass_days(max(0, row.due_on - today))
        self.mint(who, self.loan(loan).rows[index - 1].unpaid)
        assert self.pay(who, loan, self.loan(loan).rows[index - 1].unpaid).rejection is None

    def default(self, loan_id: ObjectId, *, cover: int = 0, costs: int = 0) -> None:
        """Let a loan of one or more pools default, as `distress` does it: what was not earned is not owed.

        The lead's cover pays `cover` of it, and `costs` of recovery are stated.
        """
        books = self.ledger.books
        contract, loan = load_loan(books, loan_id)
        rows = tuple(
            row if row.due_on <= loan.accrual.as_of else replace(row, interest_due=row.interest_paid)
            for row in loan.rows
        )
        postings, holdings = [], []
        for one in loan.holdings:
            paid = cover if one is loan.holdings[0] else 0
            change_pool(books, ObjectId(one.pool), principal=-one.principal, cash=paid, haircut=-one.haircut)
            postings += [
                Posting(one.pool, Book.PRINCIPAL, -one.principal),
                Posting(one.pool, Book.LOSS, one.principal - paid),
                Posting(contract.disclosure.lender, Book.CASH, paid),
            ]
            lost, covered = Amount(one.principal - paid), Amount(paid)
            count_loss(books, ObjectId(one.pool), Day(loan.accrual.as_of), lost)
            holdings.append(replace(one, lost=lost, covered=covered, haircut=Amount(0)))
        books.post("defaulted", CNY, tuple(postings), (loan_id,), {})
        loan = replace(
            loan,
            rows=rows,
            state=LoanState.DEFAULTED,
            holdings=tuple(holdings),
            costs=Amount(costs),
            defaulted_on=loan.accrual.as_of,
            default_ground=DefaultGround(
                days_past_due=loan.days_past_due_max,
                arbiter=self.account("court"),
                evidence=calculate_hash("evidence"),
            ),
        )
        save_loan(books, loan_id, contract, loan)
        books.state.keep()
        assert find_violations(self.ledger) == {}


def registration(serial: str = "A-1", *, value: int = THING, currency: Currency = CNY) -> AssetRegister:
    """What registers a car."""
    return AssetRegister(
        asset_class="car",
        serial_hash=calculate_hash("serial", serial.encode()),
        meta_commit=calculate_hash("papers", serial.encode()),
        currency=currency,
        value=Amount(value),
    )


@contextmanager
def lawful(**policy: Any) -> Iterator[Goods]:
    """A world that is lawful in the end and comes back from its saved rows with the same root."""
    world = Goods(**policy)
    yield world
    world.block()
    ledger = world.ledger
    assert find_violations(ledger) == {}
    again = Ledger.from_rows(world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root
    assert again.next_due_ms() == ledger.next_due_ms()
