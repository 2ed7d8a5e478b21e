"""A reader that trusts no node: it has the genesis, asks one node or several, and believes what a quorum signed.

    reader = LightReader(urls, genesis, state.load(), now_ms=...)
    found = await reader.read(places)       ->  found.rows, found.height, found.signers; reader.known goes on from there

Every node is asked the same at once; the latest state that is proved counts. An answer that proves nothing is a lie and
is named with its node: the question says which states and epochs are known, so an honest node never gives such an
answer. Never a row believed that was not verified here, and never a file here.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from node.client.http import ApiError, ClientError, NodeClient, NodeUnreachable
from protocol.codec import decode
from protocol.crypto import Signer
from protocol.genesis import Genesis
from protocol.ids import TimeMs
from protocol.ledger.state import TABLES, Place
from protocol.rowproof import RowFault, Trusted, VerifiedRows, cut_epochs, is_conflict, make_trusted, verify_row_proof

WAIT_MS: Final = 12_000
"""As long as an idle chain may rest, and a little more."""
TIMEOUT_S: Final = 30.0
ROUNDS_MAX: Final = 4


class LightError(ClientError):
    """Evidence that does not hold: a node lies, or the validators contradict themselves."""


class Lie(NamedTuple):
    """What one node answered that proves nothing."""

    url: str
    fault: RowFault


class Failure(NamedTuple):
    """Why one node answered nothing."""

    url: str
    error: ClientError


class _Answer(NamedTuple):
    url: str
    raw: bytes
    found: VerifiedRows


class LightReader:
    """Reads proved rows; `known` grows with what was proved."""

    def __init__(
        self,
        urls: Sequence[str],
        genesis: Genesis,
        known: Trusted,
        *,
        now_ms: Callable[[], TimeMs],
        signer: Signer | None = None,
        language: str = "en",
    ) -> None:
        """`signer`: who may see rows with a person's tag, if the request is to be signed."""
        assert urls, "at least one node is asked"
        self._urls = tuple(dict.fromkeys(urls))
        self._genesis = genesis
        self._now_ms = now_ms
        self._signer = signer
        self._language = language
        self.known = known
        self.lies: list[Lie] = []
        """Of nodes whose answers were set aside because another one's held."""
        self.failures: list[Failure] = []
        """Nodes that answered nothing the last time."""
        self.raw = b""
        """The proof that the last answer rests on."""

    async def read(self, places: Sequence[Place], *, whole: bool = False) -> VerifiedRows:
        """Rows, or their absence, in the latest state that any node proves.

        `whole`: the proof shall lead from the genesis, to be kept. Raises LightError, NodeUnreachable, ClientError.
        """
        known = self.known
        if whole:
            first = make_trusted(self._genesis)
            known = msgspec.structs.replace(known, epoch=first.epoch, validators=first.validators)
        asked = await asyncio.gather(*(self._ask(url, places, known) for url in self._urls))
        answers = [one for one in asked if isinstance(one, _Answer)]
        lies = [one for one in asked if isinstance(one, Lie)]
        self.failures = [one for one in asked if isinstance(one, Failure)]
        self.lies += [one for one in lies if one not in self.lies]
        _check_agreement(answers, lies)
        if not answers:
            raise self._explain(lies)
        best = max(answers, key=lambda one: (one.found.height, one.found.last.height))
        self.known, self.raw = best.found.trusted, best.raw
        return best.found

    async def read_on(
        self, places: Sequence[Place], follow: Callable[[dict[Place, Any]], Sequence[Place]], *, whole: bool = False
    ) -> VerifiedRows:
        """The same with rows that those rows lead to; all of one height, that of the last answer."""
        wanted = list(dict.fromkeys(places))
        for _ in range(ROUNDS_MAX):
            found = await self.read(wanted, whole=whole)
            more = [one for one in follow(decode_rows(found)) if one not in found.rows]
            if not more:
                break
            wanted += dict.fromkeys(more)
        return found

    async def _ask(self, url: str, places: Sequence[Place], known: Trusted) -> _Answer | Lie | Failure:
        query = {
            "rows": ",".join(f"{TABLES[number].name}:{key.hex() or '-'}" for number, key in places),
            "height_min": str(known.height),
            "epoch": str(known.epoch),
            "wait_ms": str(WAIT_MS),
        }
        try:
            async with NodeClient(url, language=self._language, timeout_s=TIMEOUT_S) as client:
                raw = await client.call("GET", "/v1/proofs", query=query, signer=self._signer, now_ms=self._now_ms)
        except ClientError as error:
            return Failure(url, error)
        found = verify_row_proof(raw, self._genesis, places, known)
        passed = self.known.epoch - known.epoch
        if passed and isinstance(found, VerifiedRows):
            if found.last.epoch < self.known.epoch:
                behind = "The node has not come as far as what was final before: ask again, or another node."
                return Failure(url, ClientError("proof_not_ready", behind))
            # Whoever left long ago may have sold a key: a line from the genesis must lead through what is known.
            found = verify_row_proof(cut_epochs(raw, passed), self._genesis, places, self.known)
        return Lie(url, found) if isinstance(found, RowFault) else _Answer(url, raw, found)

    def _explain(self, lies: Sequence[Lie]) -> ClientError:
        """Why there is no answer: a lie before a problem, and a problem before silence."""
        if lies:
            return LightError(lies[0].fault.code, f"{lies[0].url} answered falsely. {lies[0].fault.sentence}")
        errors = [one.error for one in self.failures]
        told = [one for one in errors if isinstance(one, ApiError)]
        silent = [one for one in errors if isinstance(one, NodeUnreachable)]
        return (told or silent or errors)[0]


def decode_rows(found: VerifiedRows) -> dict[Place, Any]:
    """The rows as structs; None for those that are not there."""
    return {place: None if raw is None else decode(raw, TABLES[place[0]].kind) for place, raw in found.rows.items()}


def _check_agreement(answers: Sequence[_Answer], lies: Sequence[Lie]) -> None:
    """Raise LightError where two final things exclude each other, whoever said so."""
    for number, one in enumerate(answers):
        against = next(
            (other for other in answers[:number] if is_conflict(one.found.trusted, other.found.trusted)), None
        )
        if against is not None:
            raise LightError(
                RowFault.CONFLICT.code, f"{against.url} and {one.url} exclude each other. {RowFault.CONFLICT.sentence}"
            )
    against_known = next((one for one in lies if one.fault is RowFault.CONFLICT), None)
    if against_known is not None:
        raise LightError(
            RowFault.CONFLICT.code, f"{against_known.url} excludes what was final before. {RowFault.CONFLICT.sentence}"
        )
