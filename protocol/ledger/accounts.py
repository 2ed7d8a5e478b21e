"""Accounts and keys: the members' at genesis, borrowers' by an issuer's co-signature, and the nonces keys have used.

One subject tag has one live account, so that a debt cap holds per person. Never a loan's rule here.
"""

from protocol.crypto import calculate_account_id, calculate_hash
from protocol.genesis import Member
from protocol.ids import AccountId, Day, PublicKey
from protocol.ledger.books import Books, Call
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Account, Exposure, Key, Role
from protocol.ledger.rows import Member as MemberRow
from protocol.ledger.rules import Due, Rules
from protocol.ledger.state import ACCOUNTS, EXPOSURES, KEYS, MEMBERS, replace
from protocol.limits import NONCE_WINDOW
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen

NO_NONCES = bytes(NONCE_WINDOW // 8)
FAR_DAY = Day(3_652_059)
"""31 December 9999: members' credentials do not expire, governance removes them."""
_WINDOW_MASK = (1 << NONCE_WINDOW) - 1


def apply_genesis_members(books: Books) -> None:
    """Open the members' accounts and register their officer and attester keys."""
    for member in books.genesis.members:
        tag = calculate_hash("member-tag", member.account)
        books.state.put(
            ACCOUNTS,
            member.account,
            Account(
                kind=AccountKind.ORGANISATION,
                key=member.officer_key,
                enc_key=member.enc_key,
                subject_tag=tag,
                level=9,
                expires_on=FAR_DAY,
                roles=int(_calculate_roles(member)),
                frozen=False,
                opened_ms=books.genesis.time_ms,
            ),
        )
        books.state.put(
            MEMBERS,
            member.account,
            MemberRow(name=member.name, attester_key=member.attester_key, admitted_ms=books.genesis.time_ms),
        )
        books.state.put(EXPOSURES, tag, Exposure(account=member.account))
        books.state.put(KEYS, member.officer_key, Key(account=member.account, attester=False, top=-1, used=NO_NONCES))
        if member.attester_key is not None:
            books.state.put(
                KEYS, member.attester_key, Key(account=member.account, attester=True, top=-1, used=NO_NONCES)
            )


def _calculate_roles(member: Member) -> Role:
    roles = Role(0)
    for role, held in (
        (Role.LENDER, member.lender),
        (Role.SETTLEMENT_AGENT, member.settlement_agent),
        (Role.ISSUER, member.issuer),
        (Role.OBSERVER, member.observer),
        (Role.ARBITER, member.arbiter),
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
    return Key(account=key.account, attester=key.attester, top=top, used=used.to_bytes(NONCE_WINDOW // 8, "big"))


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
    known = books.state.get(KEYS, sender)
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
    account = calculate_account_id(sender)
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
    key = books.state.need(KEYS, sender)
    books.state.put(KEYS, sender, replace(key, account=account))
    books.emit(
        "account_opened",
        (account, issuer),
        {"account": account.hex(), "kind": payload.kind.name.lower(), "issuer": issuer.hex(), "level": payload.level},
    )
    return (Made(id=account),)  # type: ignore[arg-type]


def check_standing(books: Books, call: Call, *, frozen_may: bool, roles: Role, credential: bool) -> Rejection | None:
    """Whether the account may do this at all: not frozen, holding one of the roles, its credential in force."""
    if call.row.frozen and not frozen_may:
        return Rejection.ACCOUNT_FROZEN
    if roles and not call.row.roles & roles:
        return Rejection.ROLE_MISSING
    if credential and call.row.expires_on <= books.today:
        return Rejection.CREDENTIAL_EXPIRED
    return None


RULES: Rules = {}
DUE: Due = {}
