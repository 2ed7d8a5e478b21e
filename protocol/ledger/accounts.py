"""Accounts: the members' at genesis, borrowers' by an issuer's co-signature; their credentials, and the nonces of keys.

One subject tag has one live account, so that a debt cap holds per person. How an account gets another key stands in
`keys`. Never a loan's rule here.
"""

from protocol.crypto import calculate_account_id, calculate_hash
from protocol.genesis import Member
from protocol.ids import AccountId, BoxKey, Day, PublicKey
from protocol.ledger.books import Books, Call
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Account, Exposure, Key, Role
from protocol.ledger.rows import Member as MemberRow
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, EXPOSURES, KEYS, MEMBERS, replace
from protocol.limits import NONCE_WINDOW
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen, CredentialOperation, CredentialSet

NO_NONCES = bytes(NONCE_WINDOW // 8)
FAR_DAY = Day(3_652_059)
"""31 December 9999: members' credentials do not expire, governance removes them."""
_WINDOW_MASK = (1 << NONCE_WINDOW) - 1


def apply_genesis_members(books: Books) -> None:
    """Open the members' accounts and register their officer and attester keys."""
    for member in books.genesis.members:
        open_member(
            books,
            MemberRow(
                name=member.name,
                attester_key=member.attester_key,
                admitted_ms=books.genesis.time_ms,
                node_key=member.node_key,
            ),
            officer_key=member.officer_key,
            enc_key=member.enc_key,
            roles=_calculate_roles(member),
        )


def open_member(books: Books, member: MemberRow, *, officer_key: PublicKey, enc_key: BoxKey, roles: Role) -> AccountId:
    """An organisation's account, its exposure record and its keys; none of them may be there yet."""
    account = calculate_account_id(officer_key)
    tag = calculate_hash("member-tag", account)
    books.state.put(
        ACCOUNTS,
        account,
        Account(
            kind=AccountKind.ORGANISATION,
            key=officer_key,
            enc_key=enc_key,
            subject_tag=tag,
            level=9,
            expires_on=FAR_DAY,
            roles=int(roles),
            frozen=False,
            opened_ms=member.admitted_ms,
        ),
    )
    books.state.put(MEMBERS, account, member)
    books.state.put(EXPOSURES, tag, Exposure(account=account))
    put_key(books, officer_key, account)
    if member.attester_key is not None:
        put_key(books, PublicKey(member.attester_key), account, attester=True)
    return account


def put_key(books: Books, key: PublicKey, account: AccountId, *, attester: bool = False) -> None:
    """Let a key speak for an account: one that was never seen here, or one that waited to, with the nonces it used."""
    row = books.state.get(KEYS, key) or Key(account=None, attester=attester, top=-1, used=NO_NONCES)
    books.state.put(KEYS, key, replace(row, account=account, attester=attester, waits_for=None))


def has_cosigned(books: Books, call: Call, account: AccountId) -> bool:
    """Whether an account's present key is among the co-signers of a call."""
    return books.state.need(ACCOUNTS, account).key in call.cosigners


def _calculate_roles(member: Member) -> Role:
    roles = Role(0)
    for role, held in (
        (Role.LENDER, member.lender),
        (Role.SETTLEMENT_AGENT, member.settlement_agent),
        (Role.ISSUER, member.issuer),
        (Role.OBSERVER, member.observer),
        (Role.ARBITER, member.arbiter),
        (Role.PROVIDER, member.provider),
        (Role.VALIDATOR, member.validator_key is not None),
    ):
        if held:
            roles |= role
    return roles


def check_nonce(key: Key, nonce: int) -> Rejection | None:
    """Whether a key may still use a nonce: within 256 below its highest, or up to 256 above it."""
    if nonce > key.top:
        return Rejection.NONCE_TOO_FAR if nonce > key.top + NONCE_WINDOW else None
    back = key.top - nonce
    if back >= NONCE_WINDOW or int.from_bytes(key.used, "big") >> back & 1:
        return Rejection.NONCE_USED
    return None


def apply_nonce(key: Key, nonce: int) -> Key:
    """The key with a nonce used that `check_nonce` let pass."""
    used = int.from_bytes(key.used, "big")
    if nonce > key.top:
        used, top = (used << (nonce - key.top) | 1) & _WINDOW_MASK, nonce
    else:
        used, top = used | 1 << (key.top - nonce), key.top
    return replace(key, top=top, used=used.to_bytes(NONCE_WINDOW // 8, "big"))


def find_issuer(books: Books, cosigners: tuple[PublicKey, ...]) -> AccountId | None:
    """The credential issuer among the co-signers, by its officer key."""
    for cosigner in cosigners:
        key = books.state.get(KEYS, cosigner)
        if key is None or key.attester or key.account is None:
            continue
        account = books.state.need(ACCOUNTS, key.account)
        if account.roles & Role.ISSUER and not account.frozen:
            return key.account
    return None


def check_account_open(
    books: Books, sender: PublicKey, cosigners: tuple[PublicKey, ...], payload: AccountOpen
) -> Rejection | None:
    """Why the account cannot be opened."""
    if payload.kind is AccountKind.ORGANISATION:
        return Rejection.ROLE_MISSING
    if payload.expires_on <= books.today:
        return Rejection.CREDENTIAL_EXPIRED
    if books.paused & Pause.ACCOUNTS:
        return Rejection.PAUSED
    known = books.state.get(KEYS, sender)
    if known is not None and known.retired_from is not None:
        return Rejection.KEY_TAKEN
    if known is not None and known.account is not None:
        if not _is_renewal(books, known, payload):
            return Rejection.KEY_TAKEN
        return None if find_issuer(books, cosigners) is not None else Rejection.ISSUER_UNKNOWN
    if books.state.get(EXPOSURES, payload.subject_tag) is not None:
        return Rejection.TAG_TAKEN
    return None if find_issuer(books, cosigners) is not None else Rejection.ISSUER_UNKNOWN


def _is_renewal(books: Books, known: Key, payload: AccountOpen) -> bool:
    """Whether the key's own account asks again as the same person, kind and sealing key: for a new credential."""
    assert known.account is not None, "asked of a key that speaks for an account"
    row = books.state.need(ACCOUNTS, known.account)
    wanted = (payload.kind, payload.enc_key, payload.subject_tag)
    return not known.attester and (row.kind, row.enc_key, row.subject_tag) == wanted


def apply_account_open(
    books: Books, sender: PublicKey, cosigners: tuple[PublicKey, ...], payload: AccountOpen
) -> tuple[Fact, ...]:
    """Open the account and its exposure record; of an account that stands, renew the credential and nothing else."""
    key = books.state.need(KEYS, sender)
    # A key that came later speaks for an account that is named after an earlier one.
    account = calculate_account_id(sender) if key.account is None else key.account
    issuer = find_issuer(books, cosigners)
    assert issuer is not None, "checked before"
    standing = books.state.get(ACCOUNTS, account)
    if standing is not None:
        renewed = replace(standing, level=payload.level, expires_on=payload.expires_on)
        books.state.put(ACCOUNTS, account, renewed)
        books.emit(
            "account_renewed",
            (account, issuer),
            {
                "account": account.hex(),
                "issuer": issuer.hex(),
                "level": payload.level,
                "expires_on": payload.expires_on,
            },
        )
        return (Made(id=account),)  # type: ignore[arg-type]
    books.state.put(
        ACCOUNTS,
        account,
        Account(
            kind=payload.kind,
            key=sender,
            enc_key=payload.enc_key,
            subject_tag=payload.subject_tag,
            level=payload.level,
            expires_on=payload.expires_on,
            roles=0,
            frozen=False,
            opened_ms=books.now_ms,
        ),
    )
    books.state.put(EXPOSURES, payload.subject_tag, Exposure(account=account))
    books.state.put(KEYS, sender, replace(key, account=account))
    books.emit(
        "account_opened",
        (account, issuer),
        {"account": account.hex(), "kind": payload.kind.name.lower(), "issuer": issuer.hex(), "level": payload.level},
    )
    return (Made(id=account),)  # type: ignore[arg-type]


def check_standing(books: Books, call: Call, *, frozen_may: bool, roles: int, credential: bool) -> Rejection | None:
    """Whether the account may do this at all: not frozen, holding one of the roles, its credential in force."""
    if call.row.frozen and not frozen_may:
        return Rejection.ACCOUNT_FROZEN
    if roles and not call.row.roles & roles:
        return Rejection.ROLE_MISSING
    if credential and call.row.expires_on <= books.today:
        return Rejection.CREDENTIAL_EXPIRED
    return None


def check_credential_set(books: Books, call: Call, payload: CredentialSet) -> Rejection | None:
    """Why an issuer cannot do this. Members are the validators' matter, and so is whom they froze by vote."""
    row = books.state.get(ACCOUNTS, payload.account)
    if row is None:
        return Rejection.TARGET_UNKNOWN
    possible = {
        CredentialOperation.REVOKE: row.expires_on > books.today,
        CredentialOperation.FREEZE: not row.frozen,
        CredentialOperation.UNFREEZE: row.frozen and not row.frozen_by_vote,
    }[payload.operation]
    return None if possible and row.kind is not AccountKind.ORGANISATION else Rejection.CREDENTIAL_STATE


def apply_credential_set(books: Books, call: Call, payload: CredentialSet) -> tuple[Fact, ...]:
    """End the credential today, freeze the account, or free it; what is owed can be paid in any case."""
    row = books.state.need(ACCOUNTS, payload.account)
    if payload.operation is CredentialOperation.REVOKE:
        row = replace(row, expires_on=books.today)
    else:
        row = replace(row, frozen=payload.operation is CredentialOperation.FREEZE)
    books.state.put(ACCOUNTS, payload.account, row)
    books.emit(
        CREDENTIAL_EVENTS[payload.operation],
        (payload.account, call.account),
        {"account": payload.account.hex(), "issuer": call.account.hex(), "reason_hash": payload.reason_hash.hex()},
    )
    return ()


CREDENTIAL_EVENTS = {
    CredentialOperation.REVOKE: "credential_revoked",
    CredentialOperation.FREEZE: "account_frozen",
    CredentialOperation.UNFREEZE: "account_freed",
}
RULES: Rules = {CredentialSet: Rule(check_credential_set, apply_credential_set, roles=Role.ISSUER)}
