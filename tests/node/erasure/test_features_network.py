"""Three lenders read rows, one features alone: over a whole network the fourth never has a row, nor what opens one."""

from pathlib import Path

import pytest
from nacl.exceptions import CryptoError
from nacl.public import SealedBox

from node.client.http import ApiError
from node.core import read_clock_ms
from node.keystore import read_seed
from node.vault.accesslog import check_access_log
from node.vault.crypto import OpenError, open_document, open_features
from protocol.codec import decode
from protocol.crypto import KeySigner, calculate_account_id
from protocol.ids import Digest
from protocol.ledger.state import APPLICATIONS
from protocol.transactions.data import ConsentRevoke
from protocol.vault import VaultEnvelope
from tests.node.erasure.world import NAMES, Scene, network

READER = NAMES[3]


async def ask(scene: Scene, name: str, digest: Digest) -> bytes | None:
    """What a node hands out to the reader's officer."""
    seed = read_seed(scene.network.directory(READER), "officer")
    assert seed is not None
    try:
        return await scene.stage.clients[name].call(
            "GET", f"/v1/vault/documents/{digest.hex()}", signer=KeySigner(seed), now_ms=read_clock_ms
        )
    except ApiError as error:
        if error.code != "not_found":
            raise
        return None


async def test_a_reader_of_features_never_has_the_rows(tmp_path: Path) -> None:
    """It verifies what it was granted, and gets nothing more from any node, over links or by its officer's word."""
    async with network(tmp_path) as scene:
        here = scene.network
        application = await scene.apply(features_to=(READER,))
        rows, features = application.sealed.envelope, application.features.envelope
        node = here.nodes[READER]
        account = calculate_account_id(here.nodes[READER].core.opened.keys.officer.public_key)
        state = node.ledger.books.state
        said = {one.attester for one in state.need(APPLICATIONS, application.application).attestations}
        assert len(said) == 3
        assert account not in said

        enc = node.core.opened.keys.enc
        assert await node.fetch_document(rows.digest) is None, "no peer hands it over a link"
        assert not await node.vault.holds(rows.digest)
        for name in NAMES:
            assert await ask(scene, name, rows.digest) is None, name
        for grant in rows.grants:
            assert grant.recipient != account
            with pytest.raises(CryptoError):
                SealedBox(enc).decrypt(grant.sealed_key)
        with pytest.raises(OpenError) as caught:
            open_document(rows, account=account, key=enc)
        assert caught.value.code == "not_granted"

        raw = await ask(scene, READER, features.digest)
        assert raw is not None
        vector = open_features(decode(raw, VaultEnvelope), account=account, key=enc)
        assert len(vector.values) > 50
        entries = await node.vault.read_access_log(application.data)
        assert [(one.record.document, one.record.reader) for one in entries] == [(features.digest, account)]
        assert check_access_log(entries, application.data, node.core.opened.keys.node.public_key) is None

        consent = state.need(APPLICATIONS, application.application).request.features
        assert consent is not None
        assert consent.consent is not None
        await scene.must(ConsentRevoke(consent=consent.consent))
        for name in NAMES:
            assert await ask(scene, name, features.digest) is None, "withdrawn, though others may read rows still"
        await here.stop(READER)
        assert here.search(READER, [rows.ciphertext[:64], *(one.sealed_key for one in rows.grants)]) == []
