"""Watches over this validator's word: what it said, what others show it to have said, and why it must fall silent.

Three guards. A vote of one's own key that the vote log does not know means that the key spoke elsewhere, or that the
disk was set back. A certified header that contradicts the own state means that this node computes something else. Both
are saved before the node falls silent and outlive a restart; the first ends with another key, the second when the node
has come to the certified state. Never decide here about blocks, and never speak: silence is the driver's.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from consensus.effects import RaiseAlarm
from consensus.records import CertificateRecord, ProposalRecord, Record, VoteRecord
from node.stops import EXEC_ROOT_DIVERGED, FINALIZATION_FORKS_CHAIN, OWN_VOTE_UNKNOWN, describe_stop
from node.store.stopfile import Stop, StopFile
from node.store.votelog import Place, VoteLog
from node.telemetry import get_logger
from protocol.block import Block
from protocol.certificate import Certificate, Vote, VoteKind, calculate_signers, calculate_vote_bytes
from protocol.codec import encode
from protocol.crypto import Signer, check_signature
from protocol.ids import BlockDigest, ChainId, Digest, Epoch, Height, Signature, ValidatorIndex, View
from protocol.messages import Blocks, Certificates, Message, Propose
from protocol.validators import ValidatorSet

_OF_THE_STATE: Final = (EXEC_ROOT_DIVERGED, FINALIZATION_FORKS_CHAIN)
"""Reasons that a database made anew may end."""


class Word(NamedTuple):
    """One signed thing said by a validator."""

    kind: VoteKind
    view: View
    digest: BlockDigest
    signature: Signature


class Seat(Protocol):
    """What is asked of the engine."""

    @property
    def epoch(self) -> Epoch:
        """The present epoch."""

    @property
    def validators(self) -> ValidatorSet:
        """Of that epoch."""

    @property
    def seat(self) -> ValidatorIndex | None:
        """My own place among them."""

    def certificates_from(self, view: View, epoch: Epoch | None = None) -> tuple[Certificate, ...]:
        """Certificates of views from `view` on."""


class Root(Protocol):
    """What executing a block came to."""

    @property
    def exec_root(self) -> Digest:
        """The state after it."""


class Saved(Protocol):
    """What is asked of the store."""

    async def read_exec_rows(self, height_from: Height, height_to: Height) -> Sequence[Root]:
        """What executing these blocks came to, of those that are here."""

    async def read_block(self, height: Height) -> Block | None:
        """The saved block of a height."""


class OwnWords:
    """What the vote log knows of one's own words, from its lowest view on."""

    def __init__(self, floor: Place, records: Iterable[Record]) -> None:
        self._floor = floor
        self._said: dict[tuple[Epoch, View, VoteKind], BlockDigest] = {}
        self.note(records)

    def note(self, records: Iterable[Record]) -> None:
        """These are durable now."""
        for record in records:
            match record:
                case VoteRecord(vote=vote):
                    self._said[vote.epoch, vote.view, vote.kind] = vote.digest
                case ProposalRecord(propose=propose):
                    digest = propose.block.header.calculate_digest()
                    self._said[propose.epoch, propose.view, VoteKind.PROPOSE] = digest
                case CertificateRecord():
                    pass

    def knows(self, epoch: Epoch, word: Word) -> bool:
        """Whether the log holds it, or was shortened beyond it."""
        return (epoch, word.view) < self._floor or self._said.get((epoch, word.view, word.kind)) == word.digest

    def prune(self, floor: Place) -> None:
        """The log was shortened."""
        self._floor = floor
        self._said = {at: digest for at, digest in self._said.items() if at[:2] >= floor}


class VotingGuard:
    """The guards of one node; also what the driver takes for its vote log."""

    def __init__(
        self,
        *,
        chain_id: ChainId,
        seat: Seat,
        file: StopFile,
        log: VoteLog,
        records: Iterable[Record],
        clock_ms: Callable[[], int],
        silence: Callable[[str], None],
        resume: Callable[[str], None],
    ) -> None:
        self._chain_id = chain_id
        self._seat = seat
        self._file = file
        self._votes = log
        self._words = OwnWords(log.floor, records)
        self._clock_ms = clock_ms
        self._silence = silence
        self._resume = resume
        self._log = get_logger("guard")

    def recall(self, keys: Sequence[Signer]) -> None:
        """Say again what earlier lives of this node found; a dead key matters while there is no other."""
        dead = {stop.validator_key: stop.code for stop in self._file.stops}
        own = [key.public_key.hex() for key in keys]
        if "" in dead:
            self._silence(dead[""])
        elif own and all(key in dead for key in own):
            self._silence(dead[own[-1]])

    def on_epoch(self) -> None:
        """Another epoch began: a dead key that has no seat any more keeps nobody from voting with another."""
        seat = self._seat.seat
        dead = {stop.validator_key: stop.code for stop in self._file.stops if stop.validator_key}
        if seat is not None and self._seat.validators.keys[seat].hex() not in dead:
            for code in dead.values():
                self._resume(code)

    async def append(self, records: Sequence[Record]) -> None:
        """Return when the records are durable."""
        await self._votes.append(records)
        self._words.note(records)

    async def prune(self, floor: Place) -> None:
        """Shorten the vote log to what was said from this epoch and view on."""
        await self._votes.prune(floor)
        self._words.prune(floor)

    # ------------------------------------------------------------------ one's own words

    def watch(self, message: Message) -> None:
        """Look for a word of one's own in what a peer sends, before anybody acts on it."""
        match message:
            case Vote(epoch=epoch):
                self._check(epoch, self._read_vote(message), message)
            case Certificate():
                self._watch_certificate(message)
            case Propose(epoch=epoch):
                self._check(epoch, self._read_proposal(message), message)
                carried = (message.parent_cert, message.finalization, *message.nullifications)
                self._watch_all(one for one in carried if one is not None)
            case Certificates(certificates=certificates):
                self._watch_all(certificates)
            case Blocks(finalization=Certificate() as finalization):
                self._watch_certificate(finalization)

    def _watch_all(self, certificates: Iterable[Certificate]) -> None:
        for one in certificates:
            self._watch_certificate(one)

    def _watch_certificate(self, certificate: Certificate) -> None:
        seat = self._seat.seat
        if seat is None or not certificate.signers >> seat & 1:
            return
        place = calculate_signers(certificate).index(seat)
        if place < len(certificate.signatures):
            signature = Signature(certificate.signatures[place])
            word = Word(certificate.kind, View(certificate.view), BlockDigest(certificate.digest), signature)
            self._check(certificate.epoch, word, certificate)

    def _read_vote(self, vote: Vote) -> Word | None:
        if vote.index != self._seat.seat:
            return None
        return Word(vote.kind, View(vote.view), BlockDigest(vote.digest), Signature(vote.signature))

    def _read_proposal(self, propose: Propose) -> Word | None:
        view = View(propose.view)
        if self._seat.seat is None or self._seat.validators.calculate_leader(view) != self._seat.seat:
            return None
        digest = propose.block.header.calculate_digest()
        return Word(VoteKind.PROPOSE, view, digest, Signature(propose.signature))

    def _check(self, epoch: Epoch, word: Word | None, shown: Vote | Propose | Certificate) -> None:
        """Only what is truly signed counts, and is looked at closely only when the log does not know it."""
        seat = self._seat.seat
        if word is None or seat is None or epoch != self._seat.epoch or self._words.knows(epoch, word):
            return
        key = self._seat.validators.keys[seat]
        said = calculate_vote_bytes(word.kind, self._chain_id, epoch, word.view, word.digest)
        if not check_signature(key, said, word.signature):
            return
        self._log.warning("own_vote_seen", kind=word.kind.name.lower(), epoch=epoch, view=word.view)
        self._stop(
            Stop(
                code=OWN_VOTE_UNKNOWN,
                sentence=describe_stop(OWN_VOTE_UNKNOWN),
                at_ms=self._clock_ms(),
                validator_key=key.hex(),
                evidence=(encode(shown).hex(),),
            )
        )

    # ------------------------------------------------------------------ a state of one's own

    def on_alarm(self, alarm: RaiseAlarm, own_root: Digest | None) -> None:
        """A certified header contradicts this node: keep it, its certificates, and the own root."""
        header, digest = alarm.header, alarm.header.calculate_digest()
        held = self._seat.certificates_from(View(header.view))
        proofs = (encode(one).hex() for one in held if one.digest == digest)
        stop = Stop(
            code=alarm.reason,
            sentence=describe_stop(alarm.reason),
            at_ms=self._clock_ms(),
            height=header.height,
            digest=digest.hex(),
            exec_height=header.exec_height,
            certified_root=header.exec_root.hex(),
            own_root="" if own_root is None else own_root.hex(),
            evidence=(encode(header).hex(), *proofs),
        )
        self._stop(stop)

    async def review(self, saved: Saved, tip: Height) -> None:
        """At the start: a state that differed lies no more in a database that was made anew.

        One that does not hold the height at all, but later ones, stands on a snapshot: on a certified state.
        """
        for stop in [one for one in self._file.stops if one.code in _OF_THE_STATE]:
            height = Height(stop.exec_height if stop.code == EXEC_ROOT_DIVERGED else stop.height)
            rows = await saved.read_exec_rows(height, height)
            block = await saved.read_block(height)
            if rows and block is not None:
                self.on_saved(height, block.header.calculate_digest(), rows[0].exec_root)
            elif tip > max(stop.height, stop.exec_height):
                self._void(stop)

    def on_saved(self, height: Height, digest: BlockDigest, exec_root: Digest) -> None:
        """A block was executed and saved: a state that differed may have come to the certified one by now."""
        for stop in self._file.stops:
            if self._is_healed(stop, height, digest, exec_root):
                self._void(stop)

    def _void(self, stop: Stop) -> None:
        self._file.remove(stop)
        self._resume(stop.code)

    def _is_healed(self, stop: Stop, height: Height, digest: BlockDigest, exec_root: Digest) -> bool:
        if stop.code == EXEC_ROOT_DIVERGED:
            return height == stop.exec_height and exec_root.hex() == stop.certified_root
        return stop.code == FINALIZATION_FORKS_CHAIN and height == stop.height and digest.hex() == stop.digest

    def _stop(self, stop: Stop) -> None:
        self._file.add(stop)
        self._silence(stop.code)
