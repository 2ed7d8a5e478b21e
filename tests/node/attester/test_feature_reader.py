"""A member that was granted features alone: what its node verifies of them, and each lie by its name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.client.borrower import Application, BorrowError, list_lenders, load_models, make_application
from node.vault.appraise import calculate_vector, check_vector
from node.vault.crypto import Recipient, open_features, seal_features
from protocol.batch import Sidecar
from protocol.codec import encode
from protocol.crypto import KeySigner, calculate_account_id
from protocol.ids import BoxKey, Digest, ModelId
from protocol.ledger.rows import Application as Row
from protocol.ledger.state import APPLICATIONS
from protocol.transactions.data import Purpose
from protocol.transactions.envelope import Transaction, decode_transaction
from protocol.vault import FeaturesPlain
from tests.node.api.harness import DevNode, make_keys, make_seed
from tests.node.api.lending import attesting, make_wish, read_sample
from tests.node.core.chaintools import until

READER, RAW = "jade", "harbour"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[DevNode]:
    """The books of a new network with a market."""
    made = await DevNode.open(tmp_path)
    await made.open_market()
    yield made
    await made.close()


async def apply_apart(node: DevNode, *, raw: tuple[str, ...] = (RAW,)) -> tuple[Application, KeySigner]:
    """Li Na lets Harbour read rows and Jade features; not sent yet."""
    wallet = await node.open_borrower("li-na")
    lenders = list_lenders(node.genesis)
    own = BoxKey(bytes(make_keys("li-na").enc.public_key))
    application = make_application(
        wallet,
        read_sample(),
        make_wish(),
        enc_key=own,
        lenders=[one for one in lenders if one.name in raw],
        features_to=[one for one in lenders if one.name == READER],
        models=list(load_models(node.genesis).values()),
        now_ms=node.now_ms(),
    )
    assert isinstance(wallet.signer, KeySigner)
    return application, wallet.signer


async def send(node: DevNode, application: Application, features: bytes) -> None:
    await node.vault.put(encode(application.sealed.envelope))
    await node.vault.put(features)
    await node.do(*application.intents)


async def wait_result(node: DevNode, name: str) -> str:
    """What becomes of the one application at a member's attester."""
    async with attesting(node, name) as (attester,):
        await until(lambda: bool(attester.results), 60)
    ((result, count),) = attester.results.items()
    assert count == 1
    return str(result)


async def test_what_was_granted_is_verified_and_not_attested(node: DevNode) -> None:
    """Once: a restart sees in the access log that it was read, and opens nothing again."""
    application, _ = await apply_apart(node)
    await send(node, application, encode(application.features.envelope))
    assert await wait_result(node, READER) == "features_verified"
    row = node.ledger.books.state.need(APPLICATIONS, application.application)
    assert row.attestations == ()
    (entry,) = await node.vault.read_access_log(application.data)
    assert entry.record.document == application.features.envelope.digest
    async with attesting(node, READER, RAW) as (reader, attester):
        await until(lambda: bool(attester.results), 60)
    assert (dict(reader.results), dict(attester.results)) == ({}, {"attested": 1})
    assert len(await node.vault.read_access_log(application.data)) == 2


async def test_another_vector_under_the_documents_name_cannot_be(node: DevNode) -> None:
    """A vector of other figures has another root and another digest, so the one committed to is never found."""
    application, owner = await apply_apart(node)
    lie = calculate_vector(read_sample().plain, _request(application))
    member = next(one for one in list_lenders(node.genesis) if one.name == READER)
    named = [Recipient(member.account, BoxKey(member.enc_key))]
    other = seal_features(lie, owner=owner, recipients=named, purpose=Purpose.UNDERWRITE, until_ms=node.now_ms())
    assert other.envelope.digest != application.features.envelope.digest
    await send(node, application, encode(other.envelope))
    async with attesting(node, READER) as (attester,):
        await asyncio.sleep(0.3)
        assert dict(attester.results) == {}
    assert await node.vault.read_access_log(application.data) == [], "nothing was opened"


def _request(application: Application) -> Any:
    decoded = decode_transaction(application.intents[-1].item.transaction)
    assert isinstance(decoded, Transaction)
    return decoded.body.payload


async def test_each_lie_about_features_has_its_name(node: DevNode) -> None:
    """Root, bins beside the features, score: checked in this order against what the ledger keeps."""
    application, _ = await apply_apart(node)
    await send(node, application, encode(application.features.envelope))
    row: Row = node.ledger.books.state.need(APPLICATIONS, application.application)
    vector = calculate_vector(read_sample().plain, row.request)
    sidecars = application.intents[-1].item.sidecars
    models = {ModelId(one.model): node.ledger.books.models[ModelId(one.model)] for one in sidecars}

    # The statement of `read_sample` has a new salt key each time: only the document that was sent has the root.
    assert check_vector(vector, row, sidecars, models) == "features_root_differs"
    vector = _open_own(application)
    assert check_vector(vector, row, sidecars, models) is None
    changed = msgspec.structs.replace(vector.values[0], value=1)
    lie = msgspec.structs.replace(vector, values=(changed, *vector.values[1:]))
    assert check_vector(lie, row, sidecars, models) == "features_root_differs"
    silent = msgspec.structs.replace(row, request=msgspec.structs.replace(row.request, features=None))
    assert check_vector(vector, silent, sidecars, models) == "features_root_differs"
    assert check_vector(vector, row, (), models) == "sidecar_missing"
    assert check_vector(vector, row, sidecars, {}) == "model_unknown"
    salted = tuple(Sidecar(model=one.model, salt=Digest(bytes(32)), bins=one.bins) for one in sidecars)
    assert check_vector(vector, row, salted, models) == "commitment_differs"
    better = tuple(msgspec.structs.replace(one, points=one.points + 1) for one in row.assessed)
    assert check_vector(vector, msgspec.structs.replace(row, assessed=better), sidecars, models) == "score_differs"


def _open_own(application: Application) -> FeaturesPlain:
    owner = KeySigner(make_seed("li-na"))
    account = calculate_account_id(owner.public_key)
    return open_features(application.features.envelope, account=account, key=make_keys("li-na").enc)


async def test_a_member_is_named_once(node: DevNode) -> None:
    """Who reads rows reads what follows from them."""
    with pytest.raises(BorrowError) as caught:
        await apply_apart(node, raw=(RAW, READER))
    assert caught.value.code == "reader_twice"
