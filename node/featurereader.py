"""What a member's node does with a grant of features alone: opens the vector, and checks it like an attester its rows.

    application_opened -> fetch -> log the opening -> open -> root, bins, score, reasons -> verified, or a named fault

It confirms to its own operator and says nothing on the ledger: whoever has no rows cannot vouch for what follows from
them. That the root is of the rows' own features, those have confirmed who attested. Never a row here, and never a
feature in a log.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from node.api.ports import NodePort
from node.api.state import find_row
from node.keystore import NodeKeys
from node.telemetry import get_logger
from node.vault.appraise import check_vector
from node.vault.crypto import OpenError, open_features
from protocol.batch import Sidecar
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, ModelId, ObjectId, PublicKey, TimeMs
from protocol.ledger.data import is_consent_live
from protocol.ledger.keys import find_signer
from protocol.ledger.rows import Application, ApplicationState
from protocol.ledger.state import CONSENTS
from protocol.transactions.data import Purpose, Scope
from protocol.vault import VaultEnvelope
from scoring.points import PointsModel

VERIFIED: Final = "features_verified"
"""The result that stands beside an attester's own."""


class Case(NamedTuple):
    """What is compared, as the books had it between two blocks."""

    account: AccountId
    """Of the member that reads."""
    sealer: AccountId
    """Whose the key is that sealed the vector."""
    row: Application
    sidecars: Sequence[Sidecar]
    models: Mapping[ModelId, PointsModel]


class FeatureReader:
    """Reads feature vectors for one member. `now_ms` is the clock of consents and of the access log."""

    def __init__(self, node: NodePort, keys: NodeKeys, *, now_ms: Callable[[], TimeMs]) -> None:
        self._node = node
        self._keys = keys
        self._now_ms = now_ms
        self._log = get_logger("features")

    def wants(self, row: Application, account: AccountId | None) -> bool:
        """Whether an open application was granted to this member by its features alone."""
        features = row.request.features
        if account is None or row.state is not ApplicationState.OPEN or features is None or features.consent is None:
            return False
        raw = find_row(self._node, CONSENTS, row.request.consent)
        apart = find_row(self._node, CONSENTS, features.consent)
        assert raw is not None, "applications refer to consents"
        assert apart is not None, "applications refer to consents"
        return account in apart.grant.grantees and account not in raw.grant.grantees

    async def try_read(
        self, application: ObjectId, row: Application, account: AccountId, sidecars: Sequence[Sidecar]
    ) -> str | None:
        """VERIFIED, or what is not as it should be, or None while the vector is not here yet. Raises VaultError."""
        features = row.request.features
        assert features is not None, "wanted applications commit to features"
        assert features.consent is not None, "wanted applications name who reads them"
        consent = find_row(self._node, CONSENTS, features.consent)
        assert consent is not None, "applications refer to consents"
        grant = consent.grant
        if not is_consent_live(consent, self._now_ms()) or (grant.purpose, grant.scope) != (
            Purpose.UNDERWRITE,
            Scope.FEATURES,
        ):
            return "consent_ended"
        raw = await self._node.fetch_document(Digest(features.document))
        if raw is None:
            return None
        await self._node.vault.log_access(
            self._keys.node,
            data=ObjectId(row.request.data[0]),
            document=Digest(features.document),
            reader=account,
            purpose=Purpose.UNDERWRITE,
            time_ms=self._now_ms(),
        )
        try:
            envelope = decode(raw, VaultEnvelope)
        except CodecError:
            return "envelope_malformed"
        books = self._node.ledger.books
        case = Case(
            account=account,
            sealer=find_signer(books, PublicKey(envelope.owner)),
            row=row,
            sidecars=sidecars,
            models={one.model: books.models[one.model] for one in sidecars if one.model in books.models},
        )
        fault = await asyncio.to_thread(self._check, envelope, case)
        if fault is None:
            self._log.info("features_verified", application=application)
        else:
            self._log.warning("features_refused", application=application, reason=fault)
        return fault or VERIFIED

    async def has_read(self, row: Application, account: AccountId) -> bool:
        """Whether the access log says so already: a restart does not open again."""
        features = row.request.features
        entries = await self._node.vault.read_access_log(ObjectId(row.request.data[0]))
        return features is not None and any(
            (one.record.document, one.record.reader) == (features.document, account) for one in entries
        )

    def _check(self, envelope: VaultEnvelope, case: Case) -> str | None:
        """In a thread."""
        try:
            vector = open_features(envelope, account=case.account, key=self._keys.enc)
        except OpenError as error:
            return error.code
        if case.sealer != case.row.borrower:
            return "owner_differs"
        return check_vector(vector, case.row, case.sidecars, case.models)
