"""What rows of the books say after one height, or that they are not there, as a quorum signed it.

    row -> state root -> exec_root of its height -> later exec_roots -> the one a header names
      -> a finalised descendant -> signatures of a quorum of its epoch's validators
      <- the boundary headers that lead to those from validators that the reader trusts already

Who holds the genesis trusts its validators, and needs no node. Who has followed the chain further begins from there,
and believes nothing older (`Trusted`). Every field is bound by a hash or a signature: never add one that nothing
binds, and never a clock or a file here.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from protocol.block import FIRST_EPOCH, Header, is_chain
from protocol.certificate import Certificate
from protocol.codec import CodecError, decode, encode
from protocol.epochs import EpochFault, EpochProof, follow_epoch, is_finalised, make_first_set, name_signers
from protocol.genesis import Genesis
from protocol.ids import ChainIdField, Digest, DigestField, Epoch, EpochField, Height, HeightField, PublicKeyField
from protocol.ledger.proofs import ProvedRows
from protocol.ledger.records import ExecLink, calculate_exec_root, carry_exec_root
from protocol.ledger.state import Place
from protocol.ledger.tree import StateProof, calculate_proved_root
from protocol.limits import PROVED_ROWS_MAX, VALIDATORS_MAX, VIEW_WINDOW_PAST
from protocol.receipt import EPOCHS_MAX, LINKS_MAX
from protocol.validators import ValidatorSet

ROW_PROOF_KIND: Final = "liushui-rows-1"
"""What the bytes begin with, so that a receipt can never pass for them."""
ROW_PROOF_BYTES_MAX: Final = 8_388_608


class RowProof(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The whole proof, canonical msgpack."""

    kind: Literal["liushui-rows-1"]
    rows: Annotated[tuple[StateProof, ...], msgspec.Meta(min_length=1, max_length=PROVED_ROWS_MAX)]
    """In the order asked for, all under one state root."""
    height: HeightField
    """After whose execution the rows stand so."""
    receipts_root: DigestField
    previous_exec_root: DigestField
    links: Annotated[tuple[ExecLink, ...], msgspec.Meta(max_length=LINKS_MAX)]
    """Heights after the rows', up to the one the first header names."""
    headers: Annotated[tuple[Header, ...], msgspec.Meta(min_length=1, max_length=1 + 4 * VIEW_WINDOW_PAST)]
    """The header that names the exec_root, and its descendants down to the finalised one."""
    finalization: Certificate
    """Of the last header."""
    epochs: Annotated[tuple[EpochProof, ...], msgspec.Meta(max_length=EPOCHS_MAX)]
    """How each epoch ended from the one the reader knows up to the one before the finalization's."""


class Trusted(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What a reader knows to be final, and begins from the next time."""

    kind: Literal["liushui-light-1"]
    chain_id: ChainIdField
    epoch: EpochField
    validators: Annotated[tuple[PublicKeyField, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    """Of `epoch`, ascending."""
    height: HeightField
    """Latest whose state was proved; 0 before any."""
    exec_root: DigestField
    """Of that height; zeros before any."""
    header: Header | None = None
    """The highest header that was seen final; None before any."""


class RowFault(Enum):
    """Why a proof of rows proves nothing to this reader: a stable code and a sentence."""

    MALFORMED = ("rows_malformed", "The bytes are not a proof of rows in its canonical form.")
    CHAIN = ("rows_wrong_network", "The proof belongs to another network than this genesis.")
    OTHER = ("rows_not_asked", "The rows proved are not those that were asked for.")
    PATH = ("rows_path", "A row does not stand in the state that the others stand in.")
    EXECUTION = ("rows_execution", "The rows' state does not lead to the executed state a header names.")
    HEADERS = ("rows_headers", "The headers inside do not follow one another.")
    EPOCHS = ("rows_epochs", "The changes of validators inside do not lead from those known to these headers.")
    FINALIZATION = ("rows_finalization", "No quorum of the network's validators finalised these headers.")
    OLDER = ("rows_older", "The state proved is older than one that was final before.")
    CONFLICT = (
        "rows_conflict",
        "Two states or blocks of one height are signed as final: more than a third of the validators sign falsely.",
    )

    @property
    def code(self) -> str:
        """Stable code."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """For people."""
        return self.value[1]


class VerifiedRows(NamedTuple):
    """What a proof of rows proves."""

    rows: dict[Place, bytes | None]
    """Canonical bytes by table and key; None for a row that does not stand there."""
    height: Height
    """After whose execution they stand so."""
    header: Header
    """Finalised; names that state or a later one."""
    last: Header
    """The finalised descendant whose certificate this is."""
    signers: tuple[str, ...]
    """Who finalised it: names of the genesis, or of later keys their first digits."""
    validators: int
    """How many there are in that epoch."""
    trusted: Trusted
    """What the reader may begin from the next time."""


def is_row_proof(raw: bytes) -> bool:
    """Whether bytes begin as a proof of rows does; nothing is said of the rest."""
    return raw[1:].startswith(encode(ROW_PROOF_KIND))


def make_trusted(genesis: Genesis) -> Trusted:
    """What the genesis alone says."""
    keys = make_first_set(genesis).keys
    chain_id, zero = genesis.calculate_chain_id(), Digest(bytes(32))
    return Trusted(
        kind="liushui-light-1", chain_id=chain_id, epoch=FIRST_EPOCH, validators=keys, height=Height(0), exec_root=zero
    )


def verify_row_proof(
    raw: bytes, genesis: Genesis, places: Sequence[Place] | None = None, trusted: Trusted | None = None
) -> VerifiedRows | RowFault:
    """What `raw` proves to a reader who has the genesis, and has followed the chain up to `trusted` if at all.

    `places` are the rows that were asked for, in order; None takes whichever there are. Else the first fault in order.
    """
    known = make_trusted(genesis) if trusted is None else trusted
    if len(raw) > ROW_PROOF_BYTES_MAX:
        return RowFault.MALFORMED
    try:
        proof = decode(raw, RowProof)
    except CodecError:
        return RowFault.MALFORMED
    if any(header.chain_id != known.chain_id for header in proof.headers):
        return RowFault.CHAIN
    proved = tuple((row.table, row.key) for row in proof.rows)
    if len(set(proved)) != len(proved) or (places is not None and proved != tuple(places)):
        return RowFault.OTHER
    state_root = _find_state_root(proof)
    if state_root is None:
        return RowFault.PATH
    exec_root = calculate_exec_root(
        Height(proof.height), state_root, Digest(proof.receipts_root), Digest(proof.previous_exec_root)
    )
    named = proof.headers[0]
    if carry_exec_root(Height(proof.height), exec_root, proof.links) != (named.exec_height, named.exec_root):
        return RowFault.EXECUTION
    if not is_chain(proof.headers):
        return RowFault.HEADERS
    validators = _follow(proof, known)
    if validators is None:
        return RowFault.EPOCHS
    if not is_finalised(proof.headers[-1], proof.finalization, validators):
        return RowFault.FINALIZATION
    fault = _check_progress(proof, exec_root, known)
    return fault or _describe(proof, exec_root, genesis, validators, known)


def _find_state_root(proof: RowProof) -> Digest | None:
    """The one state root that all rows stand under."""
    first, *others = (calculate_proved_root(row) for row in proof.rows)
    return first if all(root == first for root in others) else None


def _follow(proof: RowProof, known: Trusted) -> ValidatorSet | None:
    """The validators of the last header's epoch; None where the proofs do not lead to it from those known."""
    validators = ValidatorSet(keys=known.validators, offset=0)  # who leads is of no matter to a certificate
    epoch = Epoch(known.epoch)
    for one in proof.epochs:
        following = follow_epoch(one, epoch, validators, known.chain_id)
        if isinstance(following, EpochFault):
            return None
        epoch, validators = Epoch(epoch + 1), following
    return validators if epoch == proof.headers[-1].epoch else None


def _check_progress(proof: RowProof, exec_root: Digest, known: Trusted) -> RowFault | None:
    """Whether it goes back behind what the reader knows, or against it."""
    if proof.height < known.height:
        return RowFault.OLDER
    if proof.height == known.height > 0 and exec_root != known.exec_root:
        return RowFault.CONFLICT
    final = known.header
    against = final is not None and any(one.height == final.height and one != final for one in proof.headers)
    return RowFault.CONFLICT if against else None


def is_conflict(one: Trusted, other: Trusted) -> bool:
    """Whether what two proofs showed to be final cannot both be: then more validators sign falsely than may."""
    states = one.height == other.height > 0 and one.exec_root != other.exec_root
    first, second = one.header, other.header
    blocks = first is not None and second is not None and first.height == second.height and first != second
    return states or blocks


def _describe(
    proof: RowProof, exec_root: Digest, genesis: Genesis, validators: ValidatorSet, known: Trusted
) -> VerifiedRows:
    last = proof.headers[-1]
    highest = known.header if known.header is not None and known.header.height > last.height else last
    trusted = msgspec.structs.replace(
        known,
        epoch=last.epoch,
        validators=validators.keys,
        height=proof.height,
        exec_root=exec_root,
        header=highest,
    )
    return VerifiedRows(
        rows={(row.table, row.key): row.value for row in proof.rows},
        height=Height(proof.height),
        header=proof.headers[0],
        last=last,
        signers=name_signers(genesis, validators, proof.finalization),
        validators=len(validators.keys),
        trusted=trusted,
    )


def cut_epochs(raw: bytes, count: int) -> bytes:
    """A proof that verified, for a reader who knows the validators so many epochs later."""
    proof = decode(raw, RowProof)
    return encode(msgspec.structs.replace(proof, epochs=proof.epochs[count:]))


def make_row_proof(
    *,
    proved: ProvedRows,
    links: Sequence[ExecLink],
    headers: Sequence[Header],
    finalization: Certificate,
    epochs: Sequence[EpochProof] = (),
) -> bytes:
    """Canonical bytes of a proof from what a node has; `epochs` begin at the one the reader knows."""
    return encode(
        RowProof(
            kind="liushui-rows-1",
            rows=proved.proofs,
            height=proved.height,
            receipts_root=proved.receipts_root,
            previous_exec_root=proved.previous_exec_root,
            links=tuple(links),
            headers=tuple(headers),
            finalization=finalization,
            epochs=tuple(epochs),
        )
    )
