"""From the books and opened statements to what the early-warning rules judge.

Read between two blocks and never across an await; never a rule, a file or a clock here. Statement rules are judged on
the day after the statement ends: on a later day its silence would look like income that fell.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from node.monitor.records import OF_STATEMENT
from node.vault.appraise import calculate_bins
from protocol.ids import AccountId, Day, Height, ModelId, ObjectId, TimeMs
from protocol.ledger.books import Books
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.data import is_consent_live
from protocol.ledger.rows import Consent, Data
from protocol.ledger.state import APPLICATIONS, CONSENTS, CONTRACTS, DATA, DECISIONS, LOANS
from protocol.loans.lifecycle import LoanState
from protocol.transactions.data import Purpose, Scope
from protocol.transactions.lending import Apply
from protocol.vault import VaultPlain
from scoring.features import check_statement
from scoring.points import PointsModel
from scoring.warning import Due, Facts, Finding, Paid, find_warnings

WATCHED = (LoanState.ACTIVE, LoanState.DEFAULTED)
"""States in which somebody still expects a payment; a claim that was written off is past warning."""


class Anchored(NamedTuple):
    """A statement that the lender may read for monitoring."""

    id: ObjectId
    data: Data


class Feed(NamedTuple):
    """What one borrower lets this lender read after pay-out."""

    live: bool | None
    """Whether a consent holds; None when none was ever given."""
    data: tuple[Anchored, ...]
    """Of the consents that hold, the newest last."""


class LoanCase(NamedTuple):
    """What the books say of one loan today."""

    loan: ObjectId
    borrower: AccountId
    today: Day
    dues: tuple[Due, ...]
    feed: bool | None
    newest: Anchored | None
    """The newest refreshed statement."""
    committed: Anchored | None
    """The statement the loan was granted on, where the lender may open it once more."""
    request: Apply
    model: PointsModel | None
    band_then: int | None
    height: Height
    time_ms: TimeMs


def read_feed(books: Books, consents: Iterable[ObjectId], lender: AccountId) -> Feed:
    """What the consents of one borrower allow now."""
    live: bool | None = None
    data: dict[ObjectId, Data] = {}
    for one in consents:
        row = books.state.get(CONSENTS, one)
        if row is None or not is_monitoring(row, lender):
            continue
        holds = is_consent_live(row, books.now_ms)
        live = bool(live) or holds
        if holds:
            for each in row.grant.data:
                found = books.state.get(DATA, each)
                if found is not None:
                    data[ObjectId(each)] = found
    ordered = sorted(data.items(), key=lambda one: (one[1].anchor.last_day, one[1].anchored_ms, one[0]))
    return Feed(live, tuple(Anchored(key, row) for key, row in ordered))


def is_monitoring(row: Consent, lender: AccountId) -> bool:
    """Whether a consent lets this lender watch, which takes rows."""
    grant = row.grant
    return grant.purpose is Purpose.MONITOR and grant.scope is Scope.RAW and lender in grant.grantees


def read_case(books: Books, loan_id: ObjectId, feed: Feed) -> LoanCase | None:
    """One loan as it stands between two blocks; None when it is over."""
    loan, contract = books.state.get(LOANS, loan_id), books.state.get(CONTRACTS, loan_id)
    if loan is None or contract is None or loan.state not in WATCHED:
        return None
    told = contract.disclosure
    application = books.state.need(APPLICATIONS, told.application)
    decision = books.state.get(DECISIONS, told.application + told.product)
    first = frozenset(application.request.data)
    refreshed = [one for one in feed.data if one.id not in first]
    return LoanCase(
        loan=loan_id,
        borrower=AccountId(told.borrower),
        today=books.calculate_day(told.tz_offset_min),
        dues=_list_dues(contract, loan),
        feed=feed.live,
        newest=refreshed[-1] if refreshed else None,
        committed=next((one for one in feed.data if one.id in first), None),
        request=application.request,
        model=None if decision is None else books.models.get(ModelId(decision.model)),
        band_then=None if decision is None else decision.band,
        height=books.height,
        time_ms=books.now_ms,
    )


def _list_dues(contract: Contract, loan: Loan) -> tuple[Due, ...]:
    """What every row still lacks: the ledger has said already which payment went where."""
    least = contract.disclosure.materiality
    return tuple(Due(row.due_on, row.unpaid) for row in loan.rows if row.unpaid > least)


def judge_books(case: LoanCase) -> tuple[Finding, ...]:
    """Findings that need no statement's rows."""
    last_day = None if case.newest is None else case.newest.data.anchor.last_day
    return find_warnings(Facts(as_of=case.today, dues=case.dues, last_day=last_day, feed=case.feed))


def judge_statement(
    case: LoanCase, plain: VaultPlain, committed: VaultPlain | None, payments: tuple[Paid, ...]
) -> tuple[Finding, ...]:
    """Findings of a refreshed statement; what the books alone say is left to `judge_books`."""
    as_of = min(case.today, Day(plain.last_day + 1))
    found = find_warnings(
        Facts(
            as_of=as_of,
            dues=case.dues,
            payments=payments,
            rows=plain.rows,
            last_day=plain.last_day,
            committed=() if committed is None else committed.rows,
            committed_last_day=None if committed is None else committed.last_day,
            band_then=case.band_then,
            band_now=_score(case, plain, as_of),
        )
    )
    return tuple(one for one in found if one.rule in OF_STATEMENT)


def _score(case: LoanCase, plain: VaultPlain, as_of: int) -> int | None:
    """The band today by the model that decided, for the loan as it was asked for; None of what cannot be scored."""
    model = case.model
    if model is None or check_statement(plain.rows, as_of=as_of, last_day=plain.last_day) is not None:
        return None
    request = msgspec.structs.replace(case.request, as_of=as_of)
    return model.assess(calculate_bins(plain, request, model)).band
