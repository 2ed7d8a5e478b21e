"""What must hold of one node at a turn: the order of what it says, what it remembers after a restart, its memory.

Like the judge, in arithmetic of its own. Never repair anything here.
"""

from typing import TYPE_CHECKING

from consensus.effects import Broadcast, Effect, Persist, PersistPayload
from consensus.records import CertificateRecord, ProposalRecord, VoteRecord
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import BlockDigest, Epoch, View
from protocol.messages import Propose
from tests.sim.invariants import BrokenLawError

if TYPE_CHECKING:
    from tests.sim.node import SimNode


def check_order(node: "SimNode", effects: list[Effect]) -> None:
    """S5 as data: every word stands behind the record that forbids its opposite, whoever carries the list out."""
    disk = node.disk
    votes = dict[tuple[Epoch, VoteKind, View], BlockDigest]()
    known = dict[tuple[Epoch, VoteKind, View], bool]()
    for effect in effects:
        match effect:
            case Persist(record=VoteRecord(vote=vote)):
                votes[(vote.epoch, vote.kind, vote.view)] = vote.digest
            case Persist(record=CertificateRecord(certificate=one)):
                known[(one.epoch, one.kind, one.view)] = True
            case Persist(record=ProposalRecord(propose=propose)):
                known[(propose.epoch, VoteKind.PROPOSE, propose.view)] = True
            case PersistPayload(blocks=blocks):
                last = blocks[-1].header
                if last.calculate_digest() in [said for name, said in votes.items() if name[1] is VoteKind.FINALIZE]:
                    raise BrokenLawError(f"S3: {node.name} records a Finalize before its payload")
            case Broadcast(message=Vote() as vote):
                name = (vote.epoch, vote.kind, vote.view)
                if vote.digest not in (votes.get(name), disk.votes.get(name)):
                    raise BrokenLawError(f"S5: {node.name} says {vote.kind.name} before its record")
            case Broadcast(message=Certificate() as one):
                name = (one.epoch, one.kind, one.view)
                if name not in known and name not in disk.certificates:
                    raise BrokenLawError(f"{node.name} shows a certificate of view {one.view} before its record")
            case Broadcast(message=Propose() as propose):
                place = (propose.epoch, propose.view)
                if (propose.epoch, VoteKind.PROPOSE, propose.view) not in known and place not in disk.proposals:
                    raise BrokenLawError(f"S5: {node.name} proposes before its record")


def check_resumed(node: "SimNode") -> None:
    """No certificate is forgotten: a restarted node stands above the highest one that it logged of its epoch."""
    epoch = node.engine.epoch
    logged = [one.certificate for one in node.disk.records if isinstance(one, CertificateRecord)]
    views = [one.view for one in logged if one.epoch == epoch]
    views += [one.block.header.view for one in node.disk.saved[-1:] if one.block.header.epoch == epoch]
    highest = max(views, default=0)
    if node.engine.view != highest + 1:
        raise BrokenLawError(f"{node.name} resumes in view {node.engine.view}, its log ends at {highest}")
    last = node.disk.saved[-1].block.header if node.disk.saved else None
    expected = 0 if last is None else last.epoch + (last.height == last.epoch_end)
    if epoch != expected:
        raise BrokenLawError(f"{node.name} resumes in epoch {epoch}, its floor says {expected}")


def check_memory(node: "SimNode") -> None:
    """Bounded whatever peers send: linear in the views since the last final block and in the set."""
    machine = node.engine._machine
    chain = machine.chain
    views = machine.view - chain.final.view + 16 + 16 + 2
    if len(machine.slots) > views:
        raise BrokenLawError(f"{node.name} keeps {len(machine.slots)} slots")
    if len(chain.entries) > 4 * views + 64:
        raise BrokenLawError(f"{node.name} keeps {len(chain.entries)} blocks")
    size = len(node.engine.validators.keys)
    if len(chain.recent) > 64 or len(chain.roots) > 128 + node.final - chain.final.exec_height:
        raise BrokenLawError(f"{node.name} keeps {len(chain.recent)} final blocks, {len(chain.roots)} roots")
    for slot in machine.slots.values():
        tallies = [slot.get_tally(kind) for kind in (VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE)]
        if len(slot.proposals) > 2 or any(
            sum(map(len, tally._by_digest.values())) > 2 * size or len(tally.first) > size for tally in tallies
        ):
            raise BrokenLawError(f"{node.name} keeps too much of view {slot.view}")
