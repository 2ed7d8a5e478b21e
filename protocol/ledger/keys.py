"""Keys of an account: changed at once by whom it belongs to, or after a delay for a person who lost hers.

The account keeps its id and everything that hangs on it; only who speaks for it changes. A key that is replaced stays
on the books, so that no nonce of it counts twice, and speaks for nobody any more. Never a credential here.
"""

from protocol.crypto import calculate_account_id
from protocol.ids import AccountId, BoxKey, ObjectId, PublicKey, TimeMs
from protocol.ledger.accounts import NO_NONCES, put_key
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.records import Fact
from protocol.ledger.rows import Account, Key, Recovery, Role
from protocol.ledger.rules import Due, Rule, Rules
from protocol.ledger.seats import list_all_seats, read_epoch
from protocol.ledger.state import ACCOUNTS, CONVICTIONS, KEYS, MEMBERS, RECOVERIES, replace
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, KeyRecover, KeyRecoverCancel, KeyRotate


def is_key_known(books: Books, key: PublicKey) -> bool:
    """Whether a key has signed here, speaks for an account or a node, or waits to speak for an account."""
    state = books.state
    if state.get(KEYS, key) is not None or state.get(CONVICTIONS, key) is not None:
        return True
    return any(key == one.node_key for _, one in state.walk(MEMBERS)) or any(
        key == one.validator_key for one in list_all_seats(read_epoch(books))
    )


def switch_key(books: Books, account: AccountId, new_key: PublicKey, enc_key: BoxKey) -> None:
    """Let another key speak for an account from now on, and its present one for nobody."""
    row = books.state.need(ACCOUNTS, account)
    retire_key(books, PublicKey(row.key))
    put_key(books, new_key, account)
    books.state.put(ACCOUNTS, account, replace(row, key=new_key, enc_key=enc_key))


def retire_key(books: Books, key: PublicKey) -> None:
    """A key that spoke for an account speaks for nobody any more."""
    row = books.state.need(KEYS, key)
    books.state.put(KEYS, key, replace(row, account=None, retired_from=row.account))


def find_signer(books: Books, key: PublicKey) -> AccountId:
    """Whose a signature by a key is, whenever it was made: of the account it speaks, spoke or would speak for."""
    row = books.state.get(KEYS, key)
    account = None if row is None else row.account or row.retired_from
    return calculate_account_id(key) if account is None else AccountId(account)


def check_key_rotate(books: Books, call: Call, payload: KeyRotate) -> Rejection | None:
    """Why the key cannot be changed."""
    if is_key_known(books, payload.new_key):
        return Rejection.KEY_TAKEN
    return None if payload.new_key in call.cosigners else Rejection.COSIGNER_MISSING


def apply_key_rotate(books: Books, call: Call, payload: KeyRotate) -> tuple[Fact, ...]:
    """Change it at once. Whoever can sign has lost nothing, so a recovery that waits ends."""
    if books.state.get(RECOVERIES, call.account) is not None:
        _cancel_recovery(books, call.account)
    switch_key(books, call.account, payload.new_key, payload.enc_key)
    books.emit(
        "key_rotated",
        (call.account,),
        {"account": call.account.hex(), "old_key": call.key.hex(), "new_key": payload.new_key.hex()},
    )
    return ()


def check_key_recover(books: Books, call: Call, payload: KeyRecover) -> Rejection | None:
    """Why an issuer cannot ask for another key. A member's is the validators' matter."""
    if is_key_known(books, payload.new_key):
        return Rejection.KEY_TAKEN
    row = books.state.get(ACCOUNTS, payload.account)
    if row is None:
        return Rejection.TARGET_UNKNOWN
    if row.kind is AccountKind.ORGANISATION:
        return Rejection.CREDENTIAL_STATE
    if books.state.get(RECOVERIES, payload.account) is not None:
        return Rejection.RECOVERY_OPEN
    return None if payload.new_key in call.cosigners else Rejection.COSIGNER_MISSING


def apply_key_recover(books: Books, call: Call, payload: KeyRecover) -> tuple[Fact, ...]:
    """Let it wait for the policy's days, in which the present key can object."""
    effective_ms = TimeMs(books.now_ms + books.policy.recovery_delay_days * books.genesis.day_ms)
    books.state.put(
        RECOVERIES,
        payload.account,
        Recovery(issuer=call.account, new_key=payload.new_key, enc_key=payload.enc_key, effective_ms=effective_ms),
    )
    waiting = Key(account=None, attester=False, top=-1, used=NO_NONCES, waits_for=payload.account)
    books.state.put(KEYS, payload.new_key, waiting)
    books.schedule(effective_ms, EventKind.RECOVERY, ObjectId(payload.account))
    books.emit(
        "recovery_opened",
        (payload.account, call.account),
        {
            "account": payload.account.hex(),
            "issuer": call.account.hex(),
            "new_key": payload.new_key.hex(),
            "effective_ms": effective_ms,
        },
    )
    return ()


def check_key_recover_cancel(books: Books, call: Call, payload: KeyRecoverCancel) -> Rejection | None:
    """Whether anything waits that could be stopped."""
    return None if books.state.get(RECOVERIES, call.account) is not None else Rejection.RECOVERY_UNKNOWN


def apply_key_recover_cancel(books: Books, call: Call, payload: KeyRecoverCancel) -> tuple[Fact, ...]:
    """Stop it."""
    _cancel_recovery(books, call.account)
    return ()


def _end_recovery(books: Books, account: AccountId) -> Recovery:
    recovery = books.state.need(RECOVERIES, account)
    books.state.delete(RECOVERIES, account)
    books.cancel(recovery.effective_ms, EventKind.RECOVERY, ObjectId(account))
    return recovery


def _forget_waiting(books: Books, key: PublicKey) -> None:
    """A key speaks for nobody yet; one that has signed meanwhile stays, so that no nonce of it is used twice."""
    row = books.state.need(KEYS, key)
    if row.account is None and row.top < 0:
        books.state.delete(KEYS, key)
    else:
        books.state.put(KEYS, key, replace(row, waits_for=None))


def _cancel_recovery(books: Books, account: AccountId) -> None:
    _forget_waiting(books, PublicKey(_end_recovery(books, account).new_key))
    books.emit("recovery_cancelled", (account,), {"account": account.hex()})


def on_recovery_due(books: Books, subject: ObjectId) -> None:
    """Nobody objected: the new key speaks, if it is still free and the issuer still is one."""
    account = AccountId(subject)
    recovery = _end_recovery(books, account)
    key = PublicKey(recovery.new_key)
    issuer = books.state.need(ACCOUNTS, recovery.issuer)
    reason = _find_recovery_fault(books, recovery, issuer)
    subjects = (account, recovery.issuer)
    data = {"account": account.hex(), "issuer": recovery.issuer.hex(), "new_key": recovery.new_key.hex()}
    if reason is not None:
        _forget_waiting(books, key)
        books.emit("recovery_lapsed", subjects, {**data, "reason": reason})
        return
    switch_key(books, account, key, BoxKey(recovery.enc_key))
    books.emit("key_recovered", subjects, data)


def _find_recovery_fault(books: Books, recovery: Recovery, issuer: Account) -> str | None:
    if books.state.need(KEYS, recovery.new_key).account is not None:
        return "key_taken"
    return None if issuer.roles & Role.ISSUER and not issuer.frozen else "issuer_unknown"


RULES: Rules = {
    KeyRotate: Rule(check_key_rotate, apply_key_rotate),
    KeyRecover: Rule(check_key_recover, apply_key_recover, roles=Role.ISSUER),
    KeyRecoverCancel: Rule(check_key_recover_cancel, apply_key_recover_cancel),
}
DUE: Due = {EventKind.RECOVERY: on_recovery_due}
