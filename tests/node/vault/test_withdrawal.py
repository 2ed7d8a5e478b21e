"""Which consents count for which sealed document: rows by consents to rows, features by consents to features."""

from nacl.public import PrivateKey

from node.documents import is_withdrawn
from node.vault.appraise import calculate_vector
from node.vault.crypto import Recipient, seal_document, seal_features
from protocol.ids import BoxKey, Day, ObjectId, TimeMs
from protocol.transactions.data import ConsentRevoke, DataAnchor, Purpose, Scope
from protocol.vault import VaultEnvelope
from tests.node.vault.test_features import PLAIN, make_request
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.world import CNY, make_signer

READER = "harbour"


def prepare(world: Goods) -> tuple[VaultEnvelope, VaultEnvelope, ObjectId]:
    """Ann's statement and its features, both sealed for Harbour, and the data they are of."""
    ann = make_signer("ann")
    named = [Recipient(world.account(READER), BoxKey(bytes(PrivateKey(bytes([7]) * 32).public_key)))]
    until = TimeMs(world.now_ms + 1_000)
    vector = calculate_vector(PLAIN, make_request())
    rows = seal_document(PLAIN, owner=ann, recipients=named, purpose=Purpose.UNDERWRITE, until_ms=until).envelope
    features = seal_features(vector, owner=ann, recipients=named, purpose=Purpose.UNDERWRITE, until_ms=until).envelope
    anchor = DataAnchor(
        rows_root=rows.root,
        document=rows.digest,
        currency=CNY,
        first_day=Day(world.today - 365),
        last_day=Day(world.today - 1),
        provenance=2,
    )
    world.must("ann", anchor)
    return rows, features, world.made("data", "ann")


def test_a_consent_of_one_scope_keeps_nothing_of_the_other_open() -> None:
    """Both given, one withdrawn, in either order: each document follows its own consents, whatever the other's say."""
    for withdrawn in Scope:
        world = Goods()
        rows, features, data = prepare(world)
        consents = {scope: world.consent("ann", data, (READER,), scope) for scope in Scope}
        sidecar, commitment = world.sidecar("ann"), world.features("ann", consents[Scope.FEATURES])
        commitment = type(commitment)(root=features.root, document=features.digest, consent=commitment.consent)
        payload = world.application("ann", data, consents[Scope.RAW], sidecar=sidecar, features=commitment)
        world.must("ann", payload, sidecars=(sidecar,))
        books, reader = world.ledger.books, world.account(READER)
        assert not is_withdrawn(books, rows, reader)
        assert not is_withdrawn(books, features, reader)
        world.must("ann", ConsentRevoke(consent=consents[withdrawn]))
        assert is_withdrawn(books, rows, reader) is (withdrawn is Scope.RAW)
        assert is_withdrawn(books, features, reader) is (withdrawn is Scope.FEATURES)
