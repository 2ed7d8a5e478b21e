"""Laws of people and records: exposure, caps, tags, consent, decisions, liens, the queue of due events."""

from collections import Counter
from typing import Final

from protocol.ids import ObjectId
from protocol.ledger.books import EventKind, calculate_queue_key
from protocol.ledger.contracts import OfferState
from protocol.ledger.execute import Ledger
from protocol.ledger.laws.common import Laws, Violations, walk_loans
from protocol.ledger.laws.governance import list_policies
from protocol.ledger.rows import ApplicationState, ProposalState
from protocol.ledger.state import (
    ACCOUNTS,
    APPLICATIONS,
    CONSENTS,
    DATA,
    DECISIONS,
    ERASURES,
    EXITS,
    EXPOSURES,
    KEYS,
    LINES,
    MEMBERS,
    OFFERS,
    POOLS,
    PRODUCTS,
    PROPOSALS,
    QUEUE,
    RECOVERIES,
)
from protocol.loans.lifecycle import LoanState
from protocol.transactions.data import Scope


def check_exposure(ledger: Ledger) -> Violations:
    """(28) Exposure of a person is recomputed from loans and lines, loans of others that she guarantees among them."""
    state = ledger.books.state
    principal: Counter[bytes] = Counter()
    loans: dict[bytes, list[bytes]] = {}
    stands_in: dict[bytes, list[bytes]] = {}
    for loan_id, contract, loan in walk_loans(ledger):
        principal[contract.subject_tag] += loan.principal_out
        if loan.closed_ms is None:
            loans.setdefault(contract.subject_tag, []).append(loan_id)
            for guarantor in contract.disclosure.guarantors:
                stands_in.setdefault(state.need(ACCOUNTS, guarantor).subject_tag, []).append(loan_id)
    undrawn: Counter[bytes] = Counter()
    lines: dict[bytes, list[bytes]] = {}
    for key, line in state.items(LINES):
        undrawn[line.subject_tag] += line.undrawn
        if not line.closed:
            lines.setdefault(line.subject_tag, []).append(key)
    return [
        f"tag {tag.hex()}: {exposure.principal_open} recorded, {principal[tag]} owed, {undrawn[tag]} undrawn"
        for tag, exposure in state.items(EXPOSURES)
        if exposure.principal_open != principal[tag]
        or sorted(exposure.loans) != loans.get(tag, [])
        or sorted(exposure.guarantees) != stands_in.get(tag, [])
        or exposure.undrawn != undrawn[tag]
        or sorted(exposure.lines) != lines.get(tag, [])
    ]


def check_debt_cap(ledger: Ledger) -> Violations:
    """(29) Nobody owes, or may draw, more than any policy has allowed: it only falls between acceptances."""
    cap = max(one.debt_cap for one in list_policies(ledger))
    return [
        f"tag {tag.hex()}: owes {exposure.principal_open}, may draw {exposure.undrawn}, cap {cap}"
        for tag, exposure in ledger.books.state.items(EXPOSURES)
        if exposure.principal_open + exposure.undrawn > cap
    ]


def check_lenders_cap(ledger: Ledger) -> Violations:
    """(29) Nobody owes more lenders at once than any policy has allowed; who bought a loan is its lender."""
    lenders: dict[bytes, list[bytes]] = {}
    for _, contract, loan in walk_loans(ledger):
        if loan.closed_ms is None:
            owner = ledger.books.state.need(POOLS, loan.holdings[0].pool).owner
            lenders.setdefault(contract.subject_tag, []).append(owner)
    for _, line in ledger.books.state.items(LINES):
        if not line.closed:
            lender = ledger.books.state.need(OFFERS, line.offer).disclosure.lender
            lenders.setdefault(line.subject_tag, []).append(lender)
    limit = max(one.lenders_max for one in list_policies(ledger))
    return [f"tag {tag.hex()}: too many lenders" for tag, some in lenders.items() if len(set(some)) > limit]


def check_one_account_per_tag(ledger: Ledger) -> Violations:
    """(30) One subject tag, one account, and back."""
    state = ledger.books.state
    tags = [account.subject_tag for _, account in state.items(ACCOUNTS)]
    found = [f"tag {tag.hex()}: {count} accounts" for tag, count in Counter(tags).items() if count > 1]
    found += [
        f"account {key.hex()}: its tag names another"
        for key, account in state.items(ACCOUNTS)
        if (exposure := state.get(EXPOSURES, account.subject_tag)) is None or exposure.account != key
    ]
    found += [
        f"key {key.hex()}: speaks for an account that is not there"
        for key, row in state.items(KEYS)
        if row.account is not None and state.get(ACCOUNTS, row.account) is None
    ]
    return found


def check_consent(ledger: Ledger) -> Violations:
    """(32) No attestation was made after its consent ended, by somebody not granted, or by a grant of features."""
    found = []
    for key, application in ledger.books.state.items(APPLICATIONS):
        consent = ledger.books.state.need(CONSENTS, application.request.consent)
        end = consent.grant.until_ms if consent.revoked_ms is None else min(consent.grant.until_ms, consent.revoked_ms)
        found += [
            f"application {key.hex()}: attested by {one.attester.hex()} without consent"
            for one in application.attestations
            if one.time_ms > end or one.attester not in consent.grant.grantees or consent.grant.scope is not Scope.RAW
        ]
    return found


def check_decisions(ledger: Ledger) -> Violations:
    """Decisions rest on enough equal attestations, the lender's own among them, and on a registered model (33)."""
    state, found = ledger.books.state, []
    for key, decision in state.items(DECISIONS):
        application = state.need(APPLICATIONS, key[:32])
        terms = state.need(PRODUCTS, key[32:]).terms
        bodies = {
            (one.commitment, one.capacity30)
            for one in application.attestations
            if one.attester in decision.attesters and one.model == decision.model
        }
        several = len(set(decision.attesters)) == len(decision.attesters)
        # An officer counts on the smallest of all that was attested of the application's bins.
        attested = (
            several and (decision.offer is None or bool(bodies))
            if decision.officer
            else len(bodies) == 1
            and several
            and len(decision.attesters) >= terms.attestations_min
            and decision.lender in decision.attesters
        )
        sound = (
            attested
            and decision.model in ledger.books.models
            and (decision.offer is None or not decision.reasons)
            and (decision.offer is not None or bool(decision.reasons) != (decision.rule is not None))
        )
        if not sound:
            found.append(f"decision {key.hex()}: does not rest on equal attestations, or gives no reason")
    return found


def check_applications(ledger: Ledger) -> Violations:
    """An offer stands only while its application is open; a taken one has exactly one accepted offer."""
    state = ledger.books.state
    accepted: Counter[bytes] = Counter()
    found = []
    for key, offer in state.items(OFFERS):
        application = state.need(APPLICATIONS, offer.disclosure.application)
        accepted[offer.disclosure.application] += offer.state is OfferState.ACCEPTED
        if offer.state is OfferState.POSTED and application.state is not ApplicationState.OPEN:
            found.append(f"offer {key.hex()}: stands for an application that is {application.state.name.lower()}")
    for key, application in state.items(APPLICATIONS):
        taken = application.state is ApplicationState.TAKEN
        listed = key in state.need(ACCOUNTS, application.borrower).applications
        if accepted[key] != taken or listed != (application.state is ApplicationState.OPEN):
            found.append(f"application {key.hex()}: {application.state.name.lower()}, {accepted[key]} offers accepted")
    return found


def check_days_past_due(ledger: Ledger) -> Violations:
    """(35) The worst lateness ever is not below the present one, up to the day a loan was last brought to."""
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        materiality = contract.disclosure.materiality
        late = [loan.accrual.as_of - row.due_on for row in loan.rows if row.unpaid > materiality]
        if loan.sales is not None and loan.sales.breached_on is not None and late:
            late.append(loan.accrual.as_of - loan.sales.breached_on)
        if max(late, default=0) > loan.days_past_due_max:
            found.append(f"loan {loan_id.hex()}: {max(late)} days late, at most {loan.days_past_due_max} recorded")
    return found


def check_queue(ledger: Ledger) -> Violations:
    """Whatever must happen by time alone is scheduled, once, and nothing else is."""
    state = ledger.books.state
    wanted = [
        calculate_queue_key(one.expires_ms, EventKind.APPLICATION_EXPIRY, ObjectId(key))
        for key, one in state.items(APPLICATIONS)
        if one.state is ApplicationState.OPEN
    ]
    wanted += [
        calculate_queue_key(one.deciding_ms, EventKind.DECIDE, ObjectId(key))
        for key, one in state.items(APPLICATIONS)
        if one.deciding_ms is not None
    ]
    wanted += [
        calculate_queue_key(one.expires_ms, EventKind.OFFER_EXPIRY, ObjectId(key))
        for key, one in state.items(OFFERS)
        if one.state is OfferState.POSTED
    ]
    wanted += [
        calculate_queue_key(line.closes_ms, EventKind.LINE, ObjectId(key))
        for key, line in state.items(LINES)
        if not line.closed
    ]
    wanted += [
        calculate_queue_key(loan.due_ms, EventKind.LOAN, loan_id)
        for loan_id, _, loan in walk_loans(ledger)
        if loan.due_ms is not None
    ]
    wanted += [
        calculate_queue_key(contract.agent_until_ms, EventKind.FUNDING, loan_id)
        for loan_id, contract, loan in walk_loans(ledger)
        if loan.state is LoanState.FUNDED and contract.agent_until_ms is not None
    ]
    wanted += [
        calculate_queue_key(one.due_ms, EventKind.EXIT, ObjectId(key))
        for key, one in state.items(EXITS)
        if one.due_ms is not None
    ]
    wanted += [
        calculate_queue_key(one.effective_ms, EventKind.PROPOSAL, ObjectId(key))
        for key, one in state.items(PROPOSALS)
        if one.state in (ProposalState.OPEN, ProposalState.PASSED)
    ]
    wanted += [
        calculate_queue_key(one.effective_ms, EventKind.RECOVERY, ObjectId(key)) for key, one in state.items(RECOVERIES)
    ]
    wanted += [
        calculate_queue_key(one.wake_ms, EventKind.ERASURE, ObjectId(key))
        for key, one in state.items(ERASURES)
        if one.wake_ms is not None
    ]
    held = [key for key, _ in state.items(QUEUE)]
    return [] if sorted(wanted) == held else [f"{len(held)} events scheduled, {len(wanted)} wanted"]


def check_erasures(ledger: Ledger) -> Violations:
    """Data whose erasure was ordered serves nothing new; the order is due, and receipts are given, only once nothing
    open rests on it, by members, each at most once; whoever was granted the data owes one.
    """
    state, found = ledger.books.state, []
    opened: dict[bytes, int] = {}
    in_use: set[bytes] = set()
    for _, application in state.items(APPLICATIONS):
        for data in application.request.data:
            opened[data] = max(opened.get(data, 0), application.opened_ms)
            if application.state is ApplicationState.OPEN:
                in_use.add(data)
    used = [contract.disclosure for _, contract, loan in walk_loans(ledger) if loan.closed_ms is None]
    used += [state.need(OFFERS, line.offer).disclosure for _, line in state.items(LINES) if not line.closed]
    for disclosure in used:
        in_use.update(state.need(APPLICATIONS, disclosure.application).request.data)
    for key, erasure in state.items(ERASURES):
        given = [one.account for one in erasure.receipts]
        due = erasure.due_ms is not None and key not in in_use
        sound = (
            opened.get(key, 0) <= erasure.ordered_ms
            and (due or (erasure.due_ms is None and not given))
            and len(set(given)) == len(given)
            and all(state.get(MEMBERS, one) is not None for one in given)
            and (erasure.due_ms is None or all(one in erasure.holders for one in state.need(DATA, key).readers))
        )
        if not sound:
            found.append(f"erasure of {key.hex()}: used after the order, or due while something rests on it")
    return found


LAWS: Final[Laws] = {
    "exposure": check_exposure,
    "debt_cap": check_debt_cap,
    "lenders_cap": check_lenders_cap,
    "one_account_per_tag": check_one_account_per_tag,
    "consent": check_consent,
    "decisions": check_decisions,
    "applications": check_applications,
    "days_past_due": check_days_past_due,
    "queue": check_queue,
    "erasures": check_erasures,
}
