"""Guarantors: who stands in for a borrower co-signs, and the weight of it counts as debt of one's own (ledger 2.10)."""

from protocol.ledger.accounts import has_cosigned
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Disclosure
from protocol.ledger.exposure import calculate_debt, has_most_debts
from protocol.ledger.state import ACCOUNTS, EXPOSURES
from protocol.limits import GUARANTEES_PER_SUBJECT_MAX
from protocol.money import share_ceil
from protocol.rejections import Rejection


def check_guarantors(books: Books, call: Call, disclosure: Disclosure) -> Rejection | None:
    """Whether everybody named has signed with the key of today and is in good standing."""
    for guarantor in disclosure.guarantors:
        account = books.state.need(ACCOUNTS, guarantor)
        standing = not account.frozen and account.expires_on > books.today
        if not has_cosigned(books, call, guarantor) or not standing:
            return Rejection.GUARANTOR_MISSING
    return None


def check_counts(books: Books, call: Call, disclosure: Disclosure) -> Rejection | None:
    """Whether borrower and guarantors have few enough debts for another: each is looked at when one of them borrows."""
    tags = [books.state.need(ACCOUNTS, one).subject_tag for one in disclosure.guarantors]
    given = (len(books.state.need(EXPOSURES, tag).guarantees) for tag in tags)
    many = has_most_debts(books, call.row.subject_tag) or any(one >= GUARANTEES_PER_SUBJECT_MAX for one in given)
    return Rejection.DEBTS_TOO_MANY if many else None


def check_guarantor_caps(books: Books, disclosure: Disclosure) -> Rejection | None:
    """Whether each guarantor's own debt leaves room for the weight of this one."""
    weight = share_ceil(disclosure.schedule.principal, books.policy.guarantee_weight_ppm)
    for guarantor in disclosure.guarantors:
        exposure = books.state.need(EXPOSURES, books.state.need(ACCOUNTS, guarantor).subject_tag)
        if calculate_debt(books, exposure) + weight > books.policy.debt_cap:
            return Rejection.CAP_GUARANTEE
    return None
