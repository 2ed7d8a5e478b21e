"""What executing a block leaves behind: receipts (proved under exec_root), events (for readers) and changed rows.

Receipts are canonical bytes that every node agrees on. Events are a convenience derived from the same execution and
are never hashed, so they may hold JSON. Never put a rule here.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from protocol.crypto import calculate_hash
from protocol.ids import (
    AccountIdField,
    CountField,
    Digest,
    DigestField,
    Height,
    HeightField,
    ModelIdField,
    ObjectIdField,
    PublicKey,
    TransactionIdField,
)
from protocol.ledger.rulesrow import RulesEntry
from protocol.limits import REASONS_MAX
from protocol.merkle import calculate_root
from protocol.money import Amount, AmountField, PpmField
from protocol.rejections import Rejection

ReasonField = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
ReasonsField = Annotated[tuple[ReasonField, ...], msgspec.Meta(max_length=REASONS_MAX)]


class Made(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """The transaction made one object: an account, pool, product, anchor, consent, application, redemption or loan."""

    id: ObjectIdField


class Assessed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """What one model said of an application's sidecar."""

    model: ModelIdField
    points: int
    pd_ppm: PpmField
    band: CountField
    """0 is the best."""
    reasons: ReasonsField


class Decided(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """One lender's product answered an application: with an offer, or with reasons."""

    product: ObjectIdField
    lender: AccountIdField
    model: ModelIdField
    points: int
    pd_ppm: PpmField
    band: CountField
    offer: ObjectIdField | None
    """None for a decline."""
    apr_ppm: CountField | None
    reasons: ReasonsField
    """Principal reasons of a decline (codes of scoring.reasons); empty for an offer."""
    rule: Rejection | None
    """The limit that stood against it where no reason of the score did."""


class Dissented(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """This attester's body differs from the sidecar's commitment, or has come to differ from what most say."""

    attester: AccountIdField


class Disbursed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """A loan was made and its money moved."""

    loan: ObjectIdField
    principal: AmountField
    proceeds: AmountField
    """What the borrower received: principal less the origination fee."""


class Repaid(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=6):
    """How a payment fell on a loan; the four parts, and costs of recovery, sum to what was taken."""

    loan: ObjectIdField
    principal: AmountField
    interest: AmountField
    fee: AmountField
    penalty: AmountField
    refunded: AmountField
    """Origination fee given back to a borrower who withdrew within the cooling-off days."""
    principal_left: AmountField
    closed: bool
    costs: AmountField = Amount(0)
    """Of a defaulted loan: what went to its lender for stated costs of recovery."""


class SharesIssued(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=7):
    """A deposit bought shares of a pool."""

    pool: ObjectIdField
    shares: CountField


Fact = Made | Assessed | Decided | Dissented | Disbursed | Repaid | SharesIssued


class Receipt(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What became of one executed transaction."""

    transaction_id: TransactionIdField
    height: HeightField
    index: CountField
    """Position among the receipts of its block, from 0."""
    rejection: Rejection | None
    """None for success."""
    outcome: tuple[Fact, ...]
    """Empty when rejected."""


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something a reader may want to hear of; `data` holds JSON values only (ids as hex)."""

    height: Height
    index: int
    """Position among the events of its block, from 0."""
    kind: str
    subjects: tuple[bytes, ...]
    """Ids of the objects and accounts it concerns."""
    data: dict[str, Any]


Change = tuple[int, bytes, bytes | None]
"""(table, key, canonical bytes), or None for a row that is gone."""


class Execution(NamedTuple):
    """What executing one block came to."""

    height: Height
    state_root: Digest
    receipts_root: Digest
    previous_exec_root: Digest
    exec_root: Digest
    receipts: tuple[Receipt, ...]
    changes: tuple[Change, ...]
    events: tuple[LedgerEvent, ...]
    next_validators: tuple[PublicKey, ...] = ()
    """Validator keys that the state after `height` plans for the epoch to come, ascending; none while it plans none."""
    suspects: tuple[PublicKey, ...] = ()
    """Keys among the present validators' that evidence has convicted, ascending."""
    rules: tuple[RulesEntry, ...] = ()
    """Which rules are in force after `height`, and which are to come."""


def calculate_exec_root(height: Height, state_root: Digest, receipts_root: Digest, previous: Digest) -> Digest:
    """H(height | state | receipts | root of the height before): a chain, so any receipt reaches a later named root."""
    return calculate_hash("exec", height.to_bytes(8, "big"), state_root, receipts_root, previous)


def calculate_receipts_root(encoded: Sequence[bytes]) -> Digest:
    """What an exec_root says of a block's receipts: their count and the Merkle root over them, in order."""
    return bind_receipts(len(encoded), calculate_root(encoded))


def bind_receipts(count: int, tree_root: Digest) -> Digest:
    """H(count | Merkle root): without the count, a path could be read in trees of several sizes."""
    return calculate_hash("receipts", count.to_bytes(4, "big"), tree_root)


class ExecLink(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What ties the exec_root of one height to that of the height before it."""

    state_root: DigestField
    receipts_root: DigestField


def carry_exec_root(height: Height, root: Digest, links: Sequence[ExecLink]) -> tuple[Height, Digest]:
    """Where the chain of exec_roots stands after `links`, which go on from `root` at `height`."""
    for link in links:
        height = Height(height + 1)
        root = calculate_exec_root(height, Digest(link.state_root), Digest(link.receipts_root), root)
    return height, root
