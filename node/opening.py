"""Opening everything a node has on disk, in the order in which a mistake is cheapest, each error one sentence.

Genesis, keys, database, books, logs, vault. Whatever was opened is closed again when a later step fails. Never start
a task or a socket here.
"""

import asyncio
import errno
import gc
import sqlite3
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from consensus.chain import Floor, Point
from consensus.records import Record
from node.client.keyfile import Passphrase
from node.config import NodeConfig
from node.keystore import KeyFileError, NodeKeys, check_observer, load_node_keys
from node.returning import Returning, note_restored
from node.snapshot.install import try_install
from node.snapshot.shelf import Shelf
from node.stops import BEHIND_OWN_VOTES, VOTE_LOG_DAMAGED, VOTE_LOG_EMPTIED, VOTE_LOG_MISSING, describe_stop
from node.store.appendlog import LogError
from node.store.chain import ChainStore, SavedTip, StoreError, explain
from node.store.payloadlog import PayloadLog
from node.store.stopfile import Stop, StopFile
from node.store.votelog import VOTES, VoteLog, set_aside_vote_log
from node.telemetry import get_logger
from node.upgrading import calculate_params_hash, find_unknown, make_params
from node.vault.store import Vault, VaultError
from protocol.block import FIRST_EPOCH, GENESIS_HEIGHT, GENESIS_VIEW, Block
from protocol.certificate import Certificate
from protocol.crypto import KeySigner
from protocol.epochs import make_first_set
from protocol.genesis import RULES_VERSION, Genesis, GenesisError, decode_genesis
from protocol.ids import BatchDigest, BlockDigest, Digest, Epoch, Height, PublicKey
from protocol.ledger.execute import Ledger, LedgerError
from protocol.validators import ValidatorSet, make_validator_set

DATABASE: Final = "ledger.sqlite"
VAULT: Final = "vault.sqlite"
PAYLOADS: Final = "payload.log"
COLLECTOR: Final = (50_000, 20, 10)  # objects (10 MB), rounds, rounds: hardly anything here refers back to itself
ROOTS_RECALLED: Final = 64  # heights: a header proposed before a restart names one of these


class StartError(Exception):
    """The node cannot start; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Opened(NamedTuple):
    """What lies on disk, opened."""

    genesis: Genesis
    keys: NodeKeys
    store: ChainStore
    tip: SavedTip
    floor: Floor
    ledger: Ledger
    genesis_root: Digest
    """The executed state before the first block."""
    genesis_rows: list[tuple[int, bytes, bytes]]
    votes: VoteLog
    records: list[Record]
    stops: StopFile
    """Why this node, or a key of it, must not vote."""
    returning: Returning
    """What its keys wait for after the node was set back or restored."""
    signers: tuple[KeySigner, ...]
    """Validator keys that may vote where they have a seat."""
    payloads: PayloadLog
    logged_blocks: dict[BlockDigest, Block]
    logged_batches: dict[BatchDigest, bytes]
    vault: Vault
    shelf: Shelf
    """Snapshots that this node made."""


def read_genesis(path: Path) -> Genesis:
    """The genesis of a file. Raises StartError."""
    try:
        return decode_genesis(path.read_bytes())
    except OSError as error:
        raise StartError(
            "genesis_missing",
            f"{path} cannot be read ({error.strerror}): copy the network's genesis.json there, or set genesis.",
        ) from error
    except GenesisError as error:
        raise StartError("genesis_invalid", f"{path}: {error}.") from error


def read_keys(config: NodeConfig, passphrase: Passphrase | None = None) -> NodeKeys:
    """The node's keys, as its role needs them; `passphrase` opens those that are sealed. Raises StartError.

    Whether the network knows them is for its books to say, and those may not be here yet: a node that nobody has
    admitted, or whose validator key has no seat, starts and follows.
    """
    directory = Path(config.data_dir)
    try:
        if config.role == "observer":
            check_observer(directory)  # before any key is opened
        keys = load_node_keys(directory, passphrase, allow_unsealed=config.allow_unsealed_keys)
    except KeyFileError as error:
        raise StartError(error.code, error.sentence) from error
    if config.role == "validator" and not keys.validators:
        raise StartError(
            "not_a_validator",
            "The role is validator, but there is no validator key: put it in place, make one with"
            " liushui keys seat-proof --new, or set role to observer.",
        )
    return keys


async def open_everything(
    config: NodeConfig,
    stack: AsyncExitStack,
    passphrase: Passphrase | None = None,
    *,
    rules_known: int = RULES_VERSION,
) -> Opened:
    """Open what lies in the data directory; `stack` closes it in reverse order. Raises StartError.

    `rules_known`: the newest rules that this software executes.
    """
    directory = Path(config.data_dir)
    genesis = read_genesis(Path(config.genesis))
    keys = read_keys(config, passphrase)
    try:
        store = await ChainStore.open(directory / DATABASE, genesis, shrinks=config.history == "pruned")
        stack.push_async_callback(store.close)
        tip = await store.load_tip()
        if await asyncio.to_thread(try_install, directory, directory / DATABASE, genesis, tip.height) is not None:
            tip = await store.load_tip()
        shelf = await asyncio.to_thread(Shelf.open, directory)
        ledger, genesis_root, genesis_rows = await _load_ledger(genesis, store, tip)
        ledger.rules_known = rules_known
        if (needed := find_unknown(ledger.rules, Height(tip.height + 1), rules_known)) is not None:
            raise needed
        floor = await load_floor(genesis, store, tip, ledger, genesis_root)
        stops = StopFile.open(directory)
        note_restored(directory, stops, [one.public_key for one in keys.validators], time.time_ns() // 1_000_000)
        votes, records = open_vote_log(directory / VOTES, stops, keys)
        stack.push_async_callback(votes.close)
        returning = Returning(stops=stops, votes=votes, tip=tip.header)
        payloads, blocks, batches = PayloadLog.open(directory / PAYLOADS)
        stack.push_async_callback(payloads.close)
        vault = await Vault.open(directory / VAULT)
        stack.push_async_callback(vault.close)
    except (StoreError, LogError, VaultError) as error:
        raise StartError(error.code, error.sentence) from error
    except sqlite3.Error as error:
        failed = explain(error, directory / DATABASE)
        raise StartError(failed.code, failed.sentence) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StartError("disk_full", f"The disk of {directory} is full: free space, then start again.") from error
        raise StartError(
            "directory_unwritable", f"Cannot use {directory} ({error.strerror}): fix its owner or permissions."
        ) from error
    # The books are millions of objects that stay: a collector that walks them stops the node for seconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    return Opened(
        genesis=genesis,
        keys=keys,
        store=store,
        tip=tip,
        floor=floor,
        ledger=ledger,
        genesis_root=genesis_root,
        genesis_rows=genesis_rows,
        votes=votes,
        records=records,
        stops=stops,
        returning=returning,
        signers=() if returning.code == BEHIND_OWN_VOTES else find_signers(keys, stops),
        payloads=payloads,
        logged_blocks=blocks,
        logged_batches=batches,
        vault=vault,
        shelf=shelf,
    )


_LOST_LOG: Final = {
    "vote_log_missing": VOTE_LOG_MISSING,
    "vote_log_emptied": VOTE_LOG_EMPTIED,
    "log_damaged": VOTE_LOG_DAMAGED,
}
"""What the vote log says of itself, and the reason not to vote with the keys whose words it held."""


def open_vote_log(path: Path, stops: StopFile, keys: NodeKeys) -> tuple[VoteLog, list[Record]]:
    """The vote log. One that is lost or damaged is put aside for a new one, and its keys never vote again.

    Raises LogError for a disk that does not answer.
    """
    try:
        return VoteLog.open(path)
    except LogError as error:
        code = _LOST_LOG.get(error.code)
        if code is None:
            raise
        log, at_ms = get_logger("opening"), time.time_ns() // 1_000_000
        log.error("vote_log_lost", code=code, reason=error.sentence)
        for signer in keys.validators:
            key = signer.public_key.hex()
            stops.add(Stop(code=code, sentence=describe_stop(code), at_ms=at_ms, validator_key=key))
        set_aside_vote_log(path, at_ms)
        return VoteLog.open(path)


def find_signers(keys: NodeKeys, stops: StopFile) -> tuple[KeySigner, ...]:
    """The validator keys that nothing forbids to vote."""
    dead = {one.validator_key for one in stops.stops}
    return tuple(signer for signer in keys.validators if signer.public_key.hex() not in dead)


async def load_epoch(genesis: Genesis, store: ChainStore, epoch: Epoch) -> tuple[ValidatorSet, Certificate | None]:
    """The validators of an epoch that has begun here, and the finalization of the block that ended the one before."""
    if epoch == FIRST_EPOCH:
        return make_first_set(genesis), None
    proofs = await store.read_epochs(Epoch(epoch - 1), 1)
    if not proofs or proofs[0].header.epoch != epoch - 1:
        raise StoreError(
            "database_damaged", f"The database does not say how epoch {epoch} began: restore a backup, or sync anew."
        )
    keys = tuple(PublicKey(key) for key in proofs[0].validators)
    return make_validator_set(keys, proofs[0].header.calculate_digest()), proofs[0].finalization


async def load_floor(genesis: Genesis, store: ChainStore, tip: SavedTip, ledger: Ledger, genesis_root: Digest) -> Floor:
    """Where the engine starts: the last saved block, which is executed as well."""
    header = tip.header
    named: tuple[tuple[Height, Digest], ...]
    recent = await store.read_exec_rows(Height(max(1, tip.height - ROOTS_RECALLED)), tip.height)
    if header is None:
        point = Point(
            height=GENESIS_HEIGHT,
            view=GENESIS_VIEW,
            digest=tip.digest,
            time_ms=genesis.time_ms,
            exec_height=GENESIS_HEIGHT,
            mountains=tip.mountains,
        )
        nonempty, named = GENESIS_HEIGHT, ()
    else:
        point = Point(
            height=header.height,
            view=header.view,
            digest=tip.digest,
            time_ms=header.time_ms,
            exec_height=header.exec_height,
            mountains=tip.mountains,
            epoch_end=header.epoch_end,
        )
        # Only a block whose root no header names yet still matters here; the last header names all before.
        unnamed = await store.read_blocks(Height(header.exec_height + 1), header.height - header.exec_height)
        nonempty = max((block.header.height for block in unnamed if block.batches), default=GENESIS_HEIGHT)
        named = ((header.exec_height, Digest(header.exec_root)),)
    proof = tip.finalization
    epoch = FIRST_EPOCH if header is None else header.epoch
    validators, boundary = await load_epoch(genesis, store, epoch)
    return Floor(
        point=point,
        finalization=proof if proof is not None and proof.digest == tip.digest else None,
        exec_height=point.height,
        exec_root=ledger.exec_root,
        params_hash=calculate_params_hash(genesis),
        params=make_params(genesis, ledger.rules.entries, ledger.rules_known),
        validators=validators,
        epoch=epoch,
        next_validators=ledger.next_validators,
        next_at=ledger.epoch_row.next_at,
        suspects=ledger.suspects,
        boundary=boundary,
        nonempty_height=nonempty,
        roots=((GENESIS_HEIGHT, genesis_root), *named, *((row.height, row.exec_root) for row in recent)),
    )


async def _load_ledger(
    genesis: Genesis, store: ChainStore, tip: SavedTip
) -> tuple[Ledger, Digest, list[tuple[int, bytes, bytes]]]:
    """The books after the saved tip, the genesis' root, and the rows that a first block has to bring along."""
    first = Ledger.from_genesis(genesis)
    if tip.height == 0:
        return first, first.exec_root, list(first.rows())
    try:
        rows = await store.load_rows()
        ledger = Ledger.from_rows(genesis, rows, height=tip.height, exec_root=tip.exec_root)
    except LedgerError as error:
        raise StartError(
            "database_damaged", f"The saved books do not hold together ({error}): restore a backup, or sync anew."
        ) from error
    return ledger, first.exec_root, []
