"""What becomes of peers that say what they must know to be false: a ban that ends, and doubles when it happens again.

Only a signature that does not hold counts, in a vote, a proposal or a certificate: an honest node has checked each one
that it signs or hands on, so nobody is ever banned for what it passed on in good faith. Copies of batches, blocks from
a damaged disk and claims that nothing follows from are no lies. Time comes in through the clock, which never steps.
"""

from collections.abc import Callable
from typing import Final, Protocol

from node.telemetry import get_logger
from protocol.certificate import VerifySignature
from protocol.ids import PublicKey, Signature

FALSEHOODS_MAX: Final = 3  # one may be a flipped bit in somebody's memory
FORGIVEN_MS: Final = 3_600_000
BAN_FIRST_S: Final = 60
BAN_LONGEST_S: Final = 3_600


class SignatureWatch:
    """The engine's verification, which counts what did not hold."""

    def __init__(self, verify: VerifySignature) -> None:
        self._verify = verify
        self.failed = 0

    def __call__(self, key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Whether the signature holds."""
        holds = self._verify(key, message, signature)
        self.failed += not holds
        return holds


class Mesh(Protocol):
    """What is asked of the network."""

    def ban(self, peer: PublicKey, seconds: int) -> None:
        """End the link to a peer and take none for a while."""

    def get_name(self, peer: PublicKey) -> str:
        """The member's name."""


class Register(Protocol):
    """What is asked of whoever keeps bans over a restart."""

    def count(self, peer: PublicKey) -> int:
        """How often a peer was banned before."""

    def record(self, peer: PublicKey, name: str, seconds: int) -> None:
        """Keep a ban."""


class Conduct:
    """The falsehoods of one node's peers. Without a register it forgets its bans with the process."""

    def __init__(self, mesh: Mesh, clock_ms: Callable[[], int], register: Register | None = None) -> None:
        self._mesh = mesh
        self._register = register
        self._clock_ms = clock_ms
        self._falsehoods: dict[PublicKey, tuple[int, int]] = {}
        """How many, and when the last was."""
        self._bans: dict[PublicKey, int] = {}
        self._log = get_logger("conduct")
        self.bans = 0

    def on_falsehood(self, peer: PublicKey) -> bool:
        """A peer said what it must know to be false; whether it is banned now."""
        now_ms = self._clock_ms()
        count, last_ms = self._falsehoods.get(peer, (0, now_ms))
        count = 1 if now_ms - last_ms > FORGIVEN_MS else count + 1
        self._falsehoods[peer] = count, now_ms
        if count < FALSEHOODS_MAX:
            return False
        del self._falsehoods[peer]
        before = self._bans.get(peer, 0) if self._register is None else self._register.count(peer)
        self._bans[peer] = before + 1
        self.bans += 1
        seconds = min(BAN_LONGEST_S, BAN_FIRST_S << min(before, 16))
        self._log.warning("peer_banned", peer=self._mesh.get_name(peer), seconds=seconds, reason="false_signatures")
        if self._register is not None:
            self._register.record(peer, self._mesh.get_name(peer), seconds)
        self._mesh.ban(peer, seconds)
        return True
