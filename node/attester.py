"""The attester: for each application granted to this member, open the statement, recompute, and attest or refuse.

    application_opened -> fetch -> open -> compare with the anchor -> bins -> commitment -> Attest

It attests only what it computed itself. Anything that differs is a refusal with a stable code, logged without any
figure of the statement, and never an attestation. It asks the ledger which applications still need it, so a restart
neither forgets nor repeats one. Never decide about a loan here, and never log a row.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgspec

from node.api.ports import Busy, NodePort
from node.api.state import find_row, list_rows
from node.client.wallet import Wallet
from node.featurereader import FeatureReader
from node.keystore import NodeKeys
from node.telemetry import get_logger
from node.vault.appraise import Appraisal, appraise, calculate_vector_bins, calculate_vector_root
from node.vault.crypto import OpenError, open_document
from node.vault.store import VaultError
from protocol.batch import Batch, Sidecar, calculate_transaction_id
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, Height, ModelId, ObjectId, PublicKey, TimeMs
from protocol.ledger.data import is_consent_live
from protocol.ledger.keys import find_signer
from protocol.ledger.providers import is_provider_key
from protocol.ledger.records import Made, Receipt
from protocol.ledger.rows import Application, ApplicationState, Data
from protocol.ledger.state import APPLICATIONS, CONSENTS, DATA, KEYS
from protocol.limits import PAGE_ITEMS_MAX
from protocol.rejections import Rejection
from protocol.transactions.data import Purpose
from protocol.transactions.lending import Apply, Attest
from protocol.vault import FeaturesPlain, VaultEnvelope, VaultPlain, calculate_rows_mark
from scoring.features import check_statement
from scoring.points import PointsModel
from scoring.selftest import run_selftest

WAIT_S: Final = 5.0
FINAL_S: Final = 10.0
RETRY_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
PASSING: Final = (Rejection.EXPIRED, Rejection.VALID_TO_TOO_FAR, Rejection.NONCE_USED, Rejection.NONCE_TOO_FAR)
"""Of the clock and the nonce: the next attempt signs both anew. Every other rejection would come again."""
AT_ONCE_MAX: Final = 4
"""Applications worked on at the same time; the rest wait their turn."""


class RefusalError(Exception):
    """An application this member does not attest; `code` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Case(NamedTuple):
    """What an application's attestation rests on, as the books had it."""

    application: ObjectId
    account: AccountId
    """Of the member that attests."""
    sealer: AccountId
    """Whose the key is that sealed the document."""
    data: Data
    request: Apply
    sidecars: tuple[tuple[Sidecar, PointsModel | None], ...]
    """Those still to be attested, with the model of each; one that is retired still decides what was asked before."""


class Finding(NamedTuple):
    """What the rows determine."""

    attestations: tuple[Attest, ...]
    rows: int
    provider: PublicKey | None
    """Whose signature stands under the statement; whether it is a provider's is not looked up in a thread."""


def check_anchor(plain: VaultPlain, envelope: VaultEnvelope, data: Data, sealer: AccountId) -> str | None:
    """Why an opened document is not what the ledger's anchor says, or None. `sealer` is whose the envelope's key is."""
    anchor = data.anchor
    if sealer != data.owner:
        return "owner_differs"
    if envelope.digest != anchor.document:
        return "document_differs"
    if envelope.root != anchor.rows_root:
        return "rows_root_differs"
    if (plain.first_day, plain.last_day) != (anchor.first_day, anchor.last_day):
        return "period_differs"
    if plain.currency != anchor.currency:
        return "currency_differs"
    return None if plain.provenance == anchor.provenance else "provenance_differs"


def check_features_root(vector: FeaturesPlain, request: Apply) -> str | None:
    """Why the features that the rows give are not those an application commits to, or None.

    Who attests vouches for what readers of features alone are shown: they have no rows to see for themselves.
    """
    if request.features is None:
        return None
    return None if calculate_vector_root(vector) == request.features.root else "features_root_differs"


def calculate_attestation(
    appraisal: Appraisal, request: Apply, sidecar: Sidecar, model: PointsModel, *, application: ObjectId, mark: Digest
) -> Attest:
    """The attestation of one model's sidecar. Raises RefusalError(commitment_differs) when the rows say otherwise."""
    committed = {one.model: one.commitment for one in request.sidecars}.get(sidecar.model)
    bins = calculate_vector_bins(appraisal.vector, model)
    found = Sidecar(model=sidecar.model, salt=sidecar.salt, bins=bins)
    if committed is None or found.calculate_commitment() != committed:
        raise RefusalError("commitment_differs")
    return Attest(
        application=application,
        model=sidecar.model,
        commitment=committed,
        capacity30=appraisal.capacity30,
        rows_mark=mark,
    )


class Attester:
    """One member's attester beside its node. `now_ms` is the clock for valid_to and the access log."""

    def __init__(self, node: NodePort, keys: NodeKeys, *, now_ms: Callable[[], TimeMs]) -> None:
        assert keys.attester is not None, "an attester has its key"
        self._node = node
        self._keys = keys
        self._key = keys.attester.public_key
        self._now_ms = now_ms
        self.wallet = Wallet(keys.attester, node.chain_id, nonce_next=self._find_nonce(), now_ms=now_ms)
        self._reader = FeatureReader(node, keys, now_ms=now_ms)
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._tasks: dict[ObjectId, asyncio.Task[None]] = {}
        self._log = get_logger("attester")
        self.results: Counter[str] = Counter()
        """What became of applications: `attested`, `features_verified`, a refusal's code, or `failed`."""

    def _find_account(self) -> AccountId | None:
        """The member this key attests for today; None once the validators have put another key in its place."""
        key = find_row(self._node, KEYS, self._key)
        return None if key is None or key.account is None else AccountId(key.account)

    def _find_nonce(self) -> int:
        key = find_row(self._node, KEYS, self._key)
        return 0 if key is None else key.top + 1

    async def run(self) -> None:
        """Attest until cancelled; not at all when this machine's scoring engine is not exact."""
        try:
            run_selftest()
        except AssertionError as error:
            self._log.error("attester_stayed_silent", reason=str(error))
            return
        try:
            height = Height(0)
            self._begin(list(self._list_open()))
            while True:
                seen = height
                height = await self._node.wait_height_beyond(height, WAIT_S)
                if height > seen:
                    self._begin(await self._read_opened(seen, height) if seen else list(self._list_open()))
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _list_open(self) -> list[ObjectId]:
        """Open applications granted to this member: those that lack its attestation, and those by features alone."""
        account = self._find_account()
        return [
            ObjectId(key)
            for key, row in list_rows(self._node, APPLICATIONS)
            if self._find_wanted(row) or self._reader.wants(row, account)
        ]

    async def _read_opened(self, after: Height, until: Height) -> list[ObjectId]:
        """Applications opened in the blocks after one height, up to another."""
        found: list[ObjectId] = []
        position = (after, 2**53 - 1)
        while True:
            events = await self._node.store.read_events(position[0], position[1], PAGE_ITEMS_MAX)
            found += [
                ObjectId(bytes.fromhex(msgspec.json.decode(event.data, type=_Opened).application))
                for event in events
                if event.kind == "application_opened"
            ]
            if not events or events[-1].height > until:
                return found
            position = (events[-1].height, events[-1].index)

    def _find_wanted(self, application: Application) -> tuple[ModelId, ...]:
        """Models that this member may and has yet to attest."""
        account = self._find_account()
        if application.state is not ApplicationState.OPEN or account is None:
            return ()
        consent = find_row(self._node, CONSENTS, application.request.consent)
        if consent is None or account not in consent.grant.grantees:
            return ()
        done = {one.model for one in application.attestations if one.attester == account}
        return tuple(one.model for one in application.request.sidecars if one.model not in done)

    def _begin(self, applications: list[ObjectId]) -> None:
        for application in applications:
            if application not in self._tasks:
                task = asyncio.ensure_future(self._attend(application))
                self._tasks[application] = task
                task.add_done_callback(partial(self._forget, application))

    def _forget(self, application: ObjectId, _task: asyncio.Task[None]) -> None:
        self._tasks.pop(application, None)

    async def _attend(self, application: ObjectId) -> None:
        """Work on one application until it is attested, refused, or needs nothing more."""
        attempt, began_s = 0, asyncio.get_running_loop().time()
        while True:
            row = find_row(self._node, APPLICATIONS, application)
            if row is None or not (self._find_wanted(row) or self._reader.wants(row, self._find_account())):
                return
            try:
                async with self._turns:
                    if self._find_wanted(row):
                        done = await self._try_attest(application, row, began_s)
                    else:
                        done = await self._try_read_features(application, row)
            except RefusalError as refusal:
                self.results[refusal.code] += 1
                self._log.warning("attestation_refused", application=application, reason=refusal.code)
                return
            except VaultError as error:  # what cannot be logged is not opened; a disk may have room again
                self._log.error("attestation_delayed", application=application, code=error.code, reason=error.sentence)
                done = False
            except Exception:
                self.results["failed"] += 1
                self._log.exception("attestation_failed", application=application)
                return
            if done:
                return
            await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1

    async def _try_attest(self, application: ObjectId, row: Application, began_s: float) -> bool:
        """True when the attestations are final; False when something is not here yet."""
        request, account = row.request, self._find_account()
        assert account is not None, "wanted applications name this member"
        if len(request.data) != 1:
            raise RefusalError("several_documents")
        consent = find_row(self._node, CONSENTS, request.consent)
        assert consent is not None, "wanted applications have a consent"
        if not is_consent_live(consent, self._now_ms()):
            raise RefusalError("consent_ended")
        if consent.grant.purpose is not Purpose.UNDERWRITE or request.data[0] not in consent.grant.data:
            raise RefusalError("consent_ended")
        data = find_row(self._node, DATA, request.data[0])
        assert data is not None, "applications refer to anchors"
        sidecars = await self._find_sidecars(application)
        raw = None if sidecars is None else await self._node.fetch_document(Digest(data.anchor.document))
        if raw is None or sidecars is None:
            return False
        await self._node.vault.log_access(
            self._keys.node,
            data=ObjectId(request.data[0]),
            document=Digest(data.anchor.document),
            reader=account,
            purpose=Purpose.UNDERWRITE,
            time_ms=self._now_ms(),
        )
        wanted = self._find_wanted(row)
        try:
            envelope = decode(raw, VaultEnvelope)
        except CodecError as error:
            raise RefusalError("envelope_malformed") from error
        # Read here, between two blocks: the thread below must not look at books that change meanwhile.
        books = self._node.ledger.books
        case = Case(
            application=application,
            account=account,
            sealer=find_signer(books, PublicKey(envelope.owner)),
            data=data,
            request=request,
            sidecars=tuple((one, books.models.get(ModelId(one.model))) for one in sidecars if one.model in wanted),
        )
        finding = await asyncio.to_thread(self._appraise, envelope, case)
        if finding.provider is not None and not is_provider_key(self._node.ledger.books, finding.provider):
            raise RefusalError("provider_unknown")
        self._tell_contradictions(row, finding, application)
        return await self._submit(application, finding, began_s)

    async def _try_read_features(self, application: ObjectId, row: Application) -> bool:
        """True when the features granted are read and verified, or are not what they should be."""
        account = self._find_account()
        assert account is not None, "wanted applications name this member"
        if await self._reader.has_read(row, account):
            return True
        sidecars = await self._find_sidecars(application)
        result = None if sidecars is None else await self._reader.try_read(application, row, account, sidecars)
        if result is not None:
            self.results[result] += 1
        return result is not None

    def _tell_contradictions(self, row: Application, finding: Finding, application: ObjectId) -> None:
        """Who has said of these rows what they do not give: whoever runs this node may show it to the validators."""
        own = {one.model: (one.commitment, one.capacity30) for one in finding.attestations}
        for one in row.attestations:
            if own.get(one.model, (one.commitment, one.capacity30)) != (one.commitment, one.capacity30):
                self._log.warning("attestation_contradicted", application=application, attester=one.attester)

    def _appraise(self, envelope: VaultEnvelope, case: Case) -> Finding:
        """Open, compare, recompute: in a thread, since a long statement takes some milliseconds."""
        request = case.request
        try:
            plain = open_document(envelope, account=case.account, key=self._keys.enc)
        except OpenError as error:
            raise RefusalError(error.code) from error
        if reason := check_anchor(plain, envelope, case.data, case.sealer):
            raise RefusalError(reason)
        if reason := check_statement(plain.rows, as_of=request.as_of, last_day=plain.last_day):
            raise RefusalError(reason)
        appraisal = appraise(plain, request)
        if reason := check_features_root(appraisal.vector, request):
            raise RefusalError(reason)
        mark = calculate_rows_mark(self._key, plain.rows, Digest(plain.salt_key))
        attestations = []
        for sidecar, model in case.sidecars:
            if model is None:
                raise RefusalError("model_unknown")
            attestations.append(
                calculate_attestation(appraisal, request, sidecar, model, application=case.application, mark=mark)
            )
        provider = None if plain.provider is None else PublicKey(plain.provider.key)
        return Finding(tuple(attestations), len(plain.rows), provider)

    async def _submit(self, application: ObjectId, finding: Finding, began_s: float) -> bool:
        items = [self.wallet.attest(one).item for one in finding.attestations]
        try:
            submissions = await self._node.submit(items)
        except Busy:
            return False
        if any(submission.status == "busy" for submission in submissions):
            return False
        for submission in submissions:
            if submission.rejection is not None:
                self._log.warning("attestation_rejected", application=application, reason=submission.rejection.code)
                self.wallet.nonce_next = max(self.wallet.nonce_next, self._find_nonce())
                if submission.rejection not in PASSING:
                    raise RefusalError(submission.rejection.code)
                return False
        submit_ms = round((asyncio.get_running_loop().time() - began_s) * 1000)
        for submission in submissions:
            assert submission.id is not None, "what was not rejected has an id"
            stored = await self._node.wait_final(submission.id, FINAL_S)
            if stored is None:
                return False
            rejection = decode(stored.receipt, Receipt).rejection
            if rejection in PASSING:
                return False
            if rejection is not None:
                raise RefusalError(rejection.code)
        self.results["attested"] += 1
        self._log.info("application_attested", application=application, rows=finding.rows, submit_ms=submit_ms)
        return True

    async def _find_sidecars(self, application: ObjectId) -> tuple[Sidecar, ...] | None:
        """The sidecars that travelled with the application; None while the block is being saved."""
        events = await self._node.store.read_subject_events(application, 1)
        if not events:
            return None
        for raw in await self._node.store.read_block_receipts(events[0].height):
            receipt = decode(raw, Receipt)
            if any(isinstance(fact, Made) and fact.id == application for fact in receipt.outcome):
                stored = await self._node.store.find_transaction(receipt.transaction_id)
                batch = None if stored is None else await self._node.store.read_batch(stored.batch)
                if stored is None or batch is None:
                    return None
                for item in decode(batch, Batch).items:
                    if calculate_transaction_id(item.transaction) == stored.id:
                        if not item.sidecars:
                            raise RefusalError("sidecar_erased")
                        return tuple(item.sidecars)
        if self._node.store.base:  # it was opened before this node's history begins
            raise RefusalError("history_pruned")
        return None


class _Opened(msgspec.Struct):
    """The one field of an application_opened event that matters here."""

    application: str
