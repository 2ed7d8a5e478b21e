"""The receipt file: one transaction's outcome, provable offline with the genesis file alone.

    signed transaction -> receipt -> receipts of its block -> exec_root of its height -> later exec_roots
      -> the one a header names -> a finalised descendant -> signatures of a quorum of its epoch's validators
      <- the boundary headers that lead from the genesis' validators to those

It proves the outcome, not only inclusion. Every field is bound by a hash or a signature, so no byte can be changed
unnoticed. Never add a field that nothing binds.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, NamedTuple

import msgspec

from protocol.block import Header, is_chain
from protocol.certificate import Certificate
from protocol.codec import CodecError, decode, encode
from protocol.epochs import EpochProof, find_last_set, is_finalised, name_signers
from protocol.genesis import Genesis
from protocol.ids import Digest, DigestField, Epoch
from protocol.ledger.records import ExecLink, Receipt, bind_receipts, calculate_exec_root, carry_exec_root
from protocol.limits import BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX, VIEW_WINDOW_PAST
from protocol.merkle import calculate_path, calculate_root, check_path
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, check_signatures, decode_transaction

RECEIPT_FILE_VERSION = 2
RECEIPT_FILE_BYTES_MAX = 4_194_304
LINKS_MAX = 4_096
"""Heights between a receipt and the next header that names an executed height; honest ones stay under 16."""
EPOCHS_MAX = 1_024
"""Changes of validators before a receipt: at 32 validators about 3 MiB of proofs, a second of verification."""


class ReceiptFile(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The whole proof, canonical msgpack."""

    version: int
    transaction: Annotated[bytes, msgspec.Meta(max_length=TRANSACTION_BYTES_MAX)]
    """Canonical bytes of the signed transaction."""
    receipt: Receipt
    receipts_count: Annotated[int, msgspec.Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)]
    receipts_tree_root: DigestField
    path: Annotated[tuple[DigestField, ...], msgspec.Meta(max_length=16)]
    """Of the receipt in its block's tree, lowest sibling first."""
    state_root: DigestField
    """After the receipt's block."""
    previous_exec_root: DigestField
    """Of the height before."""
    links: Annotated[tuple[ExecLink, ...], msgspec.Meta(max_length=LINKS_MAX)]
    """Heights after the receipt's, up to the one the first header names."""
    headers: Annotated[tuple[Header, ...], msgspec.Meta(min_length=1, max_length=1 + 4 * VIEW_WINDOW_PAST)]
    """The header that names the exec_root, and its descendants down to the finalised one."""
    finalization: Certificate
    """Of the last header."""
    epochs: Annotated[tuple[EpochProof, ...], msgspec.Meta(max_length=EPOCHS_MAX)]
    """How each epoch before the finalization's ended, the first one first."""


class ReceiptFault(Enum):
    """Why a receipt file proves nothing: a stable code and a sentence."""

    MALFORMED = ("receipt_malformed", "The file is not a receipt in its canonical form.")
    VERSION = ("receipt_version", "The receipt is of a version this release does not read.")
    CHAIN = ("receipt_wrong_network", "The receipt belongs to another network than this genesis.")
    TRANSACTION = ("receipt_transaction", "The transaction inside is not the one the receipt names, or is not signed.")
    PATH = ("receipt_path", "The receipt does not stand among the receipts of its block.")
    EXECUTION = ("receipt_execution", "The receipt's block does not lead to the executed state a header names.")
    HEADERS = ("receipt_headers", "The headers inside do not follow one another.")
    EPOCHS = ("receipt_epochs", "The changes of validators inside do not lead from the genesis to these headers.")
    FINALIZATION = ("receipt_finalization", "No quorum of the network's validators finalised these headers.")

    @property
    def code(self) -> str:
        """Stable code."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """For people."""
        return self.value[1]


class VerifiedReceipt(NamedTuple):
    """What a receipt file proves."""

    transaction: Transaction
    receipt: Receipt
    header: Header
    """Finalised; names the executed state that holds the outcome."""
    epoch: Epoch
    """In which it was finalised; 0 while the genesis' own validators validate."""
    signers: tuple[str, ...]
    """The validators whose signatures finalised it: names of the genesis, or of later keys their first digits."""

    @property
    def rejection(self) -> Rejection | None:
        """The proved outcome: None for success."""
        return self.receipt.rejection


def verify_receipt_file(raw: bytes, genesis: Genesis) -> VerifiedReceipt | ReceiptFault:
    """What `raw` proves under `genesis`, or the first fault in order. Needs no node and no network."""
    if len(raw) > RECEIPT_FILE_BYTES_MAX:
        return ReceiptFault.MALFORMED
    try:
        file = decode(raw, ReceiptFile)
    except CodecError:
        return ReceiptFault.MALFORMED
    if file.version != RECEIPT_FILE_VERSION:
        return ReceiptFault.VERSION
    chain_id = genesis.calculate_chain_id()
    if any(header.chain_id != chain_id for header in file.headers):
        return ReceiptFault.CHAIN
    transaction = decode_transaction(file.transaction)
    if isinstance(transaction, Rejection) or transaction.id != file.receipt.transaction_id:
        return ReceiptFault.TRANSACTION
    if transaction.body.chain_id != chain_id or check_signatures(transaction) is not None:
        return ReceiptFault.TRANSACTION
    leaf = encode(file.receipt)
    if not check_path(Digest(file.receipts_tree_root), leaf, file.receipt.index, file.receipts_count, file.path):
        return ReceiptFault.PATH
    if not _leads_to(file, file.headers[0]):
        return ReceiptFault.EXECUTION
    if not is_chain(file.headers):
        return ReceiptFault.HEADERS
    return _check_finalization(file, genesis, transaction)


def _leads_to(file: ReceiptFile, header: Header) -> bool:
    """Whether the receipt's exec_root, carried on by the links, is the one `header` names."""
    height = file.receipt.height
    receipts_root = bind_receipts(file.receipts_count, Digest(file.receipts_tree_root))
    root = calculate_exec_root(height, Digest(file.state_root), receipts_root, Digest(file.previous_exec_root))
    return carry_exec_root(height, root, file.links) == (header.exec_height, header.exec_root)


def _check_finalization(
    file: ReceiptFile, genesis: Genesis, transaction: Transaction
) -> VerifiedReceipt | ReceiptFault:
    last = file.headers[-1]
    validators = find_last_set(genesis, file.epochs, last.epoch)
    if validators is None:
        return ReceiptFault.EPOCHS
    if not is_finalised(last, file.finalization, validators):
        return ReceiptFault.FINALIZATION
    signers = name_signers(genesis, validators, file.finalization)
    return VerifiedReceipt(transaction, file.receipt, file.headers[0], last.epoch, signers)


def make_receipt_file(
    *,
    transaction: bytes,
    receipts: Sequence[bytes],
    index: int,
    state_root: Digest,
    previous_exec_root: Digest,
    links: Sequence[ExecLink],
    headers: Sequence[Header],
    finalization: Certificate,
    epochs: Sequence[EpochProof] = (),
) -> bytes:
    """Canonical bytes of a receipt file from what a node stores; `receipts` are all canonical receipts of the block.

    `epochs` are the proofs of all epochs before the finalization's.
    """
    return encode(
        ReceiptFile(
            version=RECEIPT_FILE_VERSION,
            transaction=transaction,
            receipt=decode(receipts[index], Receipt),
            receipts_count=len(receipts),
            receipts_tree_root=calculate_root(receipts),
            path=calculate_path(receipts, index),
            state_root=state_root,
            previous_exec_root=previous_exec_root,
            links=tuple(links),
            headers=tuple(headers),
            finalization=finalization,
            epochs=tuple(epochs),
        )
    )
