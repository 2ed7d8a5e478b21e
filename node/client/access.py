"""The borrower checks an access log: chained, complete from the first record on, signed by a member's node.

A node that hides an opening it once showed, or edits one, breaks the chain. Keep the newest digest you have seen: a log
that no longer contains it was cut. Never trust a log that was not checked here.
"""

from collections.abc import Collection
from typing import Any

from node.vault.accesslog import AccessRecord, SignedAccess, check_access_log
from protocol.genesis import Genesis
from protocol.ids import AccountId, Digest, ObjectId, PublicKey, Signature, TimeMs
from protocol.transactions.data import Purpose


def check_access_view(
    view: dict[str, Any], genesis: Genesis, data: ObjectId, node_keys: Collection[PublicKey] = ()
) -> str | None:
    """Why an answer of GET /v1/vault/access-log/{id} proves nothing (access_*), or None. An empty log holds.

    `node_keys`: of members' nodes today, beside the founders'.
    """
    try:
        entries = [_read_entry(one, data) for one in view["entries"]]
    except (KeyError, TypeError, ValueError):
        return "access_malformed"
    if not entries:
        return None
    key = PublicKey(entries[0].record.node_key)
    if key not in node_keys and all(member.node_key != key for member in genesis.members):
        return "access_signer"
    return check_access_log(entries, data, key)


def _read_entry(one: dict[str, Any], data: ObjectId) -> SignedAccess:
    record = AccessRecord(
        data=data,
        serial=int(one["serial"]),
        previous=Digest(bytes.fromhex(one["previous"])),
        document=Digest(bytes.fromhex(one["document"])),
        reader=AccountId(bytes.fromhex(one["reader"])),
        purpose=Purpose[str(one["purpose"]).upper()],
        time_ms=TimeMs(int(one["time_ms"])),
        node_key=PublicKey(bytes.fromhex(one["key"])),
    )
    return SignedAccess(record=record, signature=Signature(bytes.fromhex(one["signature"])))
