"""Data anchors and consent: what a statement commits to, and who may use it for what, until when.

The data itself never comes near the ledger (scoring.md, three layers).
"""

from protocol.crypto import calculate_object_id
from protocol.ids import AccountId, ObjectId, TimeMs
from protocol.ledger.books import Books, Call
from protocol.ledger.erasure import check_usable
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Consent, Data
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, CONSENTS, DATA, replace
from protocol.rejections import Rejection
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataAnchor, Purpose, Scope

EAST_MOST_MIN = 840
"""Where a day begins first (UTC+14), minutes."""


def check_data_anchor(books: Books, call: Call, payload: DataAnchor) -> Rejection | None:
    """Why the data cannot be anchored."""
    if payload.currency not in books.currencies:
        return Rejection.CURRENCY_UNKNOWN
    if payload.last_day < payload.first_day or payload.last_day > books.calculate_day(EAST_MOST_MIN):
        # A statement of days to come would never grow stale.
        return Rejection.PERIOD_INVALID
    return None


def apply_data_anchor(books: Books, call: Call, payload: DataAnchor) -> tuple[Fact, ...]:
    """Keep the commitment."""
    data = calculate_object_id("data", call.key, call.nonce)
    books.state.put(DATA, data, Data(owner=call.account, anchor=payload, anchored_ms=books.now_ms))
    books.emit(
        "data_anchored",
        (data, call.account),
        {"data": data.hex(), "owner": call.account.hex(), "document": payload.document.hex()},
    )
    return (Made(id=data),)


def check_owned_data(books: Books, owner: AccountId, data: tuple[ObjectId, ...]) -> Rejection | None:
    """Whether all anchors exist and are the owner's."""
    rows = [books.state.get(DATA, one) for one in data]
    if any(row is None for row in rows):
        return Rejection.DATA_UNKNOWN
    if any(row is not None and row.owner != owner for row in rows):
        return Rejection.DATA_NOT_YOURS
    return None


def check_consent_grant(books: Books, call: Call, payload: ConsentGrant) -> Rejection | None:
    """Why consent cannot be given."""
    refused = check_owned_data(books, call.account, payload.data)
    if refused is not None:
        return refused
    if payload.until_ms <= books.now_ms:
        return Rejection.PERIOD_INVALID
    for grantee in payload.grantees:
        account = books.state.get(ACCOUNTS, grantee)
        if account is None or not account.roles:
            return Rejection.GRANTEE_UNKNOWN
    return check_usable(books, payload.data)


def apply_consent_grant(books: Books, call: Call, payload: ConsentGrant) -> tuple[Fact, ...]:
    """Keep the consent."""
    consent = calculate_object_id("consent", call.key, call.nonce)
    books.state.put(CONSENTS, consent, Consent(owner=call.account, grant=payload, granted_ms=books.now_ms))
    for one in payload.data:
        row = books.state.need(DATA, one)
        more = tuple(grantee for grantee in payload.grantees if grantee not in row.readers)
        if more:
            books.state.put(DATA, one, replace(row, readers=(*row.readers, *more)))
    books.emit(
        "consent_granted",
        (consent, call.account, *payload.grantees),
        {
            "consent": consent.hex(),
            "owner": call.account.hex(),
            "grantees": [one.hex() for one in payload.grantees],
            "purpose": payload.purpose.name.lower(),
            "scope": payload.scope.name.lower(),
        },
    )
    return (Made(id=consent),)


def check_consent_revoke(books: Books, call: Call, payload: ConsentRevoke) -> Rejection | None:
    """Why consent cannot be withdrawn."""
    consent = books.state.get(CONSENTS, payload.consent)
    if consent is None:
        return Rejection.CONSENT_UNKNOWN
    if consent.owner != call.account:
        return Rejection.CONSENT_NOT_YOURS
    return Rejection.CONSENT_ENDED if consent.revoked_ms is not None else None


def apply_consent_revoke(books: Books, call: Call, payload: ConsentRevoke) -> tuple[Fact, ...]:
    """Withdraw it: no later attestation may refer to it."""
    consent = books.state.need(CONSENTS, payload.consent)
    books.state.put(CONSENTS, payload.consent, replace(consent, revoked_ms=books.now_ms))
    books.emit(
        "consent_revoked",
        (payload.consent, call.account, *consent.grant.grantees),
        {"consent": payload.consent.hex(), "owner": call.account.hex()},
    )
    return ()


def is_consent_live(consent: Consent, now_ms: TimeMs) -> bool:
    """Whether data may still be read under it."""
    return consent.revoked_ms is None and now_ms <= consent.grant.until_ms


def check_consent_covers(
    books: Books, consent_id: ObjectId, owner: AccountId, data: tuple[ObjectId, ...]
) -> Rejection | None:
    """Whether a consent lets its grantees underwrite on this data now."""
    consent = books.state.get(CONSENTS, consent_id)
    if consent is None:
        return Rejection.CONSENT_UNKNOWN
    if consent.owner != owner:
        return Rejection.CONSENT_NOT_YOURS
    covers = consent.grant.purpose is Purpose.UNDERWRITE and all(one in consent.grant.data for one in data)
    return None if covers and is_consent_live(consent, books.now_ms) else Rejection.CONSENT_ENDED


def check_consent_scope(books: Books, consent_id: ObjectId, scope: Scope) -> Rejection | None:
    """Whether a consent opens this part of the data, and no other."""
    return None if books.state.need(CONSENTS, consent_id).grant.scope is scope else Rejection.CONSENT_SCOPE


RULES: Rules = {
    DataAnchor: Rule(check_data_anchor, apply_data_anchor, credential=True, pause=Pause.LENDING),
    ConsentGrant: Rule(check_consent_grant, apply_consent_grant, credential=True, pause=Pause.LENDING),
    ConsentRevoke: Rule(check_consent_revoke, apply_consent_revoke, frozen_may=True),
}
