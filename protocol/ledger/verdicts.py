"""Convictions for false attestations: what a vote does to an organisation that attested what no statement gives.

    shown off the ledger  ->  Propose(AttesterConvict)  ->  votes  ->  struck, suspended, penalised

All is deterministic, so whoever may read a statement can show that an attestation is false, by opening the rows to
those who vote; the ledger never sees a row. Nothing that a convicted organisation has attested counts any more, nothing
new is taken from it, and offers that stood on its word cannot be accepted. It ends with another attester key, which
only a vote gives; what was attested before stays struck. Loans that were made stay as they are. Never a vote here.
"""

from protocol.ids import AccountId, ModelId, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.holdings import change_pool
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.rows import Attestation
from protocol.ledger.state import APPLICATIONS, MEMBERS, POOLS, PRODUCTS, VERDICTS
from protocol.ledger.verdictrows import Verdict
from protocol.money import Amount
from protocol.transactions.governance import AttesterConvict


def is_convicted(books: Books, account: AccountId) -> bool:
    """Whether nothing that a member attests today counts."""
    row = books.state.get(VERDICTS, account)
    return row is not None and row.attester_key == books.state.need(MEMBERS, account).attester_key


def is_struck(books: Books, said: Attestation) -> bool:
    """Whether an attestation counts no more: its attester is convicted, or was after it."""
    row = books.state.get(VERDICTS, said.attester)
    return row is not None and (said.time_ms <= row.time_ms or is_convicted(books, AccountId(said.attester)))


def has_attested(books: Books, action: AttesterConvict) -> bool:
    """Whether there is such an attestation at all."""
    row = books.state.get(APPLICATIONS, action.application)
    said = () if row is None else row.attestations
    return any((one.attester, one.model) == (action.attester, action.model) for one in said)


def apply_conviction(books: Books, action: AttesterConvict) -> None:
    """Suspend, penalise, and tell."""
    attester, reporter = AccountId(action.attester), AccountId(action.reporter)
    penalty = _take_penalty(books, attester, reporter)
    row = Verdict(
        attester_key=books.state.need(MEMBERS, attester).attester_key,
        application=ObjectId(action.application),
        model=ModelId(action.model),
        evidence=action.evidence,
        reporter=reporter,
        time_ms=books.now_ms,
        penalty=penalty,
    )
    books.state.put(VERDICTS, attester, row)
    books.emit(
        "attester_convicted",
        (attester, reporter, action.application),
        {
            "attester": attester.hex(),
            "application": action.application.hex(),
            "model": action.model.hex(),
            "evidence": action.evidence.hex(),
            "reporter": reporter.hex(),
            "penalty": penalty,
        },
    )


def _take_penalty(books: Books, attester: AccountId, reporter: AccountId) -> Amount:
    """The policy's amount from the attester's cash, then from cover, as far as they go.

    Cover is that of the pools it lends from. One that falls below what its loans need lets no new loan be made until
    the lender has filled it again.
    """
    currency, left = books.currencies[0], int(books.policy.attestation_penalty)
    cash = min(left, read_cash(books.state, attester, currency))
    postings = [Posting(attester, Book.CASH, cash)] if cash else []
    left -= cash
    products = (books.state.need(PRODUCTS, one) for one in books.state.need(MEMBERS, attester).products)
    for pool_id in sorted({ObjectId(one.terms.pool) for one in products}):
        pool = books.state.need(POOLS, pool_id)
        part = min(left, pool.cover) if (pool.owner, pool.currency) == (attester, currency) else 0
        if part:
            change_pool(books, pool_id, cover=-part)
            postings.append(Posting(pool_id, Book.COVER, part))
            left -= part
    taken = Amount(books.policy.attestation_penalty - left)
    if taken:
        books.post(
            "attester_penalised",
            currency,
            (*postings, Posting(reporter, Book.CASH, -taken)),
            (attester, reporter),
            {"attester": attester.hex(), "reporter": reporter.hex(), "amount": taken},
        )
    return taken
