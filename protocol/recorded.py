"""A receipt with the proof that it is the certified one: what takes the place of bins that are erased.

    receipt -> receipts of its block -> exec_root of its height -> later exec_roots -> the one a final header names

Who executes a block anew and finds an application's sidecars erased takes its result from such a receipt, and compares
the root it leads to with the one that a header of its own final chain names. Never believe one without that comparison.
"""

from typing import Annotated

import msgspec

from protocol.codec import encode
from protocol.ids import Digest, DigestField, Height
from protocol.ledger.records import ExecLink, Receipt, bind_receipts, calculate_exec_root, carry_exec_root
from protocol.limits import BLOCK_TRANSACTIONS_MAX, RECORDED_LINKS_MAX
from protocol.merkle import check_path


class RecordedReceipt(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The receipt of one transaction and what ties it to an executed state."""

    receipt: Receipt
    receipts_count: Annotated[int, msgspec.Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)]
    receipts_tree_root: DigestField
    path: Annotated[tuple[DigestField, ...], msgspec.Meta(max_length=16)]
    """Of the receipt in its block's tree, lowest sibling first."""
    state_root: DigestField
    """After the receipt's block."""
    previous_exec_root: DigestField
    """Of the height before."""
    links: Annotated[tuple[ExecLink, ...], msgspec.Meta(max_length=RECORDED_LINKS_MAX)]
    """Heights after the receipt's, up to the named one."""


def find_named(recorded: RecordedReceipt) -> tuple[Height, Digest] | None:
    """The executed height and root that the receipt leads to; None when it does not stand in its own block."""
    receipt, count = recorded.receipt, recorded.receipts_count
    tree_root = Digest(recorded.receipts_tree_root)
    if not check_path(tree_root, encode(receipt), receipt.index, count, recorded.path):
        return None
    receipts_root = bind_receipts(count, tree_root)
    root = calculate_exec_root(
        receipt.height, Digest(recorded.state_root), receipts_root, Digest(recorded.previous_exec_root)
    )
    return carry_exec_root(receipt.height, root, recorded.links)
