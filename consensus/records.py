"""What the vote log remembers: one's own proposals and votes, and the certificates that permit them.

Records are canonical msgpack of tagged arrays. A record is written before the message that it stands for is sent.
"""

import msgspec

from protocol.certificate import Certificate, Vote
from protocol.ids import Epoch
from protocol.messages import Propose


class ProposalRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """I proposed this."""

    propose: Propose


class VoteRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """I voted this."""

    vote: Vote


class CertificateRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """This certificate was formed or seen; it permits what follows."""

    certificate: Certificate


Record = ProposalRecord | VoteRecord | CertificateRecord


def find_epoch(record: Record) -> Epoch:
    """The epoch that a record speaks of."""
    match record:
        case ProposalRecord(propose=propose):
            return propose.epoch
        case VoteRecord(vote=vote):
            return vote.epoch
        case CertificateRecord(certificate=certificate):
            return certificate.epoch
