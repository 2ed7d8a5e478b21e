"""The attester refuses whatever differs from what it computed itself, and says so without a figure of the statement."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from node import attester
from node.attester import check_anchor
from node.client import borrower
from node.client.borrower import Application, BorrowError, Prepared
from node.client.wallet import Wallet
from node.demo.statements import Format, Profile
from node.vault.appraise import CAPACITY_MAX
from node.vault.crypto import Recipient, Sealed, check_plain, open_document, seal_document
from protocol.batch import Sidecar
from protocol.codec import encode
from protocol.crypto import KeySigner, calculate_account_id
from protocol.ids import AccountId, Day, Digest, ObjectId, TimeMs
from protocol.ledger.applications import is_capacity_floored
from protocol.ledger.rows import Data, Role
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, DATA
from protocol.money import AMOUNT_MAX, Amount
from protocol.transactions.data import ConsentGrant, DataAnchor, Purpose
from protocol.transactions.envelope import Transaction, decode_transaction
from protocol.transactions.lending import Apply, Attest, SidecarCommitment
from protocol.vault import sign_statement
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row
from tests.node.api.harness import TODAY, DevNode, make_keys, make_seed
from tests.node.api.lending import apply_for, attesting, make_wish, read_sample


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[DevNode]:
    """The books of a new network with a market."""
    made = await DevNode.open(tmp_path)
    await made.open_market()
    yield made
    await made.close()


async def send(node: DevNode, application: Application) -> None:
    await node.vault.put(encode(application.sealed.envelope))
    await node.do(*application.intents)


async def watch(node: DevNode, logs: list[Any], event: str) -> list[str]:
    """Reasons of a log event, as soon as one is there."""
    for _ in range(400):
        found = [str(line.get("reason")) for line in logs if line["event"] == event]
        if found:
            return found
        await asyncio.sleep(0.01)
    return []


def count_attestations(node: DevNode, application: ObjectId) -> int:
    return len(node.ledger.books.state.need(APPLICATIONS, application).attestations)


async def refuse(node: DevNode, application: Application) -> str:
    """Why harbour does not attest it."""
    with capture_logs() as logs:
        async with attesting(node, "harbour"):
            (reason,) = await watch(node, logs, "attestation_refused")
    assert count_attestations(node, application.application) == 0
    shown = repr(logs)
    assert "amount" not in shown
    return reason


def reanchor(node: DevNode, wallet: Wallet, **changes: object) -> Application:
    """An application whose anchor says something else than the document that lies in the vault."""
    honest = apply_for(node, wallet, read_sample(), make_wish())
    return _resign(node, wallet, honest, changes)


def _resign(node: DevNode, wallet: Wallet, honest: Application, changes: dict[str, object]) -> Application:
    payloads: list[Any] = []
    for intent in honest.intents:
        decoded = decode_transaction(intent.item.transaction)
        assert isinstance(decoded, Transaction)
        payloads.append(decoded.body.payload)
    anchor = wallet.build(msgspec.structs.replace(payloads[0], **changes))
    grant: ConsentGrant = msgspec.structs.replace(payloads[1], data=(anchor.made,))
    consent = wallet.build(grant)
    request = msgspec.structs.replace(payloads[2], data=(anchor.made,), consent=consent.made)
    asked = wallet.build(request, sidecars=honest.intents[2].item.sidecars)
    return honest._replace(
        data=anchor.made, consent=consent.made, application=asked.made, intents=(anchor, consent, asked)
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows_root": bytes(32)}, "rows_root_differs"),
        ({"provenance": 2}, "provenance_differs"),
        ({"first_day": 739_000}, "period_differs"),
    ],
)
async def test_a_document_that_differs_from_its_anchor_is_not_attested(
    node: DevNode, changes: dict[str, object], reason: str
) -> None:
    """Root, period and grade must be those that the ledger keeps for ever."""
    application = reanchor(node, await node.open_borrower("li-na"), **changes)
    await send(node, application)
    assert await refuse(node, application) == reason


@pytest.mark.parametrize("field", ["root", "none"])
async def test_features_that_do_not_follow_from_the_rows_are_not_attested(node: DevNode, field: str) -> None:
    """Who reads features alone is shown what somebody with the rows has computed again; no root claims nothing."""
    wallet = await node.open_borrower("li-na")
    honest = apply_for(node, wallet, read_sample(), make_wish())
    decoded = decode_transaction(honest.intents[2].item.transaction)
    assert isinstance(decoded, Transaction)
    request = decoded.body.payload
    assert isinstance(request, Apply)
    assert request.features is not None
    features = None if field == "none" else msgspec.structs.replace(request.features, root=Digest(bytes(32)))
    asked = wallet.build(msgspec.structs.replace(request, features=features), sidecars=honest.intents[2].item.sidecars)
    application = honest._replace(application=asked.made, intents=(*honest.intents[:2], asked))
    await send(node, application)
    if features is not None:
        assert await refuse(node, application) == "features_root_differs"
        return
    async with attesting(node, "harbour"):
        for _ in range(3_000):
            if count_attestations(node, application.application):
                break
            await asyncio.sleep(0.01)
    assert count_attestations(node, application.application) == 1


def sign_as_bank(prepared: Prepared, seed: bytes = bytes([8]) * 32) -> Prepared:
    """The statement with a bank's signature under it."""
    plain = msgspec.structs.replace(prepared.plain, provenance=3)
    signed = sign_statement(KeySigner(seed), plain, account=Digest(bytes(32)), time_ms=TimeMs(1))
    return prepared._replace(plain=signed)


async def test_a_signature_of_nobody_that_the_books_know_as_a_provider_is_not_attested(node: DevNode) -> None:
    """A true signature by any key gives no grade: the validators say whose does."""
    application = apply_for(node, await node.open_borrower("li-na"), sign_as_bank(read_sample()), make_wish())
    await send(node, application)
    assert await refuse(node, application) == "provider_unknown"


async def test_a_statement_that_its_provider_signed_is_attested(node: DevNode) -> None:
    """The clearing house is given the role: what its officer key signed has the best grade on the ledger."""
    row = node.ledger.books.state.need(ACCOUNTS, node.make_officer("clearing").account)
    provider = msgspec.structs.replace(row, roles=row.roles | Role.PROVIDER)
    node.ledger.books.state.put(ACCOUNTS, node.make_officer("clearing").account, provider)
    node.ledger.books.state.keep()
    prepared = sign_as_bank(read_sample(), make_seed("clearing/officer"))
    application = apply_for(node, await node.open_borrower("li-na"), prepared, make_wish())
    await send(node, application)
    with capture_logs() as logs:
        async with attesting(node, "harbour"):
            assert await watch(node, logs, "application_attested")
    assert node.ledger.books.state.need(DATA, application.data).anchor.provenance == 1


async def test_bins_that_the_rows_do_not_give_are_not_attested(node: DevNode) -> None:
    """A borrower who commits to better bins than the statement's gets no attestation."""
    wallet = await node.open_borrower("li-na")
    honest = apply_for(node, wallet, read_sample(Profile.OVERSTRETCHED), make_wish())
    (sidecar,) = honest.intents[2].item.sidecars
    best = tuple(index ^ 1 if index else 1 for index in sidecar.bins[:1]) + sidecar.bins[1:]
    forged = Sidecar(model=sidecar.model, salt=sidecar.salt, bins=best)
    decoded = decode_transaction(honest.intents[2].item.transaction)
    assert isinstance(decoded, Transaction)
    request: Any = decoded.body.payload
    committed = (SidecarCommitment(model=forged.model, commitment=forged.calculate_commitment()),)
    asked = wallet.build(msgspec.structs.replace(request, sidecars=committed), sidecars=(forged,))
    application = honest._replace(application=asked.made, intents=(*honest.intents[:2], asked))
    await send(node, application)
    assert await refuse(node, application) == "commitment_differs"


async def test_a_document_sealed_to_others_is_not_attested(node: DevNode) -> None:
    """A grant on the ledger without a grant in the envelope opens nothing."""
    wallet = await node.open_borrower("li-na")
    honest = apply_for(node, wallet, read_sample(), make_wish())
    stripped = msgspec.structs.replace(honest.sealed.envelope, grants=())
    application = honest._replace(sealed=honest.sealed._replace(envelope=stripped))
    await send(node, application)
    assert await refuse(node, application) == "not_granted"


async def test_a_word_that_the_rows_do_not_give_is_named(node: DevNode) -> None:
    """Jade has attested another cash flow: harbour attests what it found, and its log names jade, without a figure."""
    application = apply_for(node, await node.open_borrower("li-na"), read_sample(), make_wish())
    await send(node, application)
    (commitment,) = node.ledger.books.state.need(APPLICATIONS, application.application).request.sidecars
    lie = Attest(
        application=application.application,
        model=commitment.model,
        commitment=commitment.commitment,
        capacity30=Amount(77),
        rows_mark=Digest(bytes(32)),
    )
    await node.do(node.make_officer("jade").build(lie))
    with capture_logs() as logs:
        async with attesting(node, "harbour"):
            assert await watch(node, logs, "application_attested")
    (line,) = [line for line in logs if line["event"] == "attestation_contradicted"]
    assert line["attester"] == node.make_officer("jade").account
    assert set(line) == {"event", "log_level", "room", "application", "attester"}


async def test_an_application_that_was_not_granted_is_left_alone(node: DevNode) -> None:
    """Without consent to this member nothing is fetched, opened or logged."""
    wallet = await node.open_borrower("li-na")
    application = apply_for(node, wallet, read_sample(), make_wish(), "jade")
    await send(node, application)
    with capture_logs() as logs:
        async with attesting(node, "harbour", "jade"):
            assert await watch(node, logs, "application_attested")
            await asyncio.sleep(0.05)
    readers = [one.record.reader for one in await node.vault.read_access_log(application.data)]
    assert readers == [node.make_officer("jade").account]
    assert count_attestations(node, application.application) == 1
    assert not [line for line in logs if line["event"] == "attestation_refused"]


async def test_a_document_that_comes_late_is_attested_then(node: DevNode) -> None:
    """The attester waits for the document, and attests as soon as it is there."""
    wallet = await node.open_borrower("li-na")
    application = apply_for(node, wallet, read_sample(), make_wish())
    await node.do(*application.intents)
    with capture_logs() as logs:
        async with attesting(node, "harbour"):
            await asyncio.sleep(0.2)
            assert count_attestations(node, application.application) == 0
            await node.vault.put(encode(application.sealed.envelope))
            assert await watch(node, logs, "application_attested")
    assert count_attestations(node, application.application) == 1


async def test_a_withdrawn_consent_stops_the_attester(node: DevNode) -> None:
    """After the borrower withdrew consent, nothing is opened and nothing attested."""
    wallet = await node.open_borrower("li-na")
    application = apply_for(node, wallet, read_sample(), make_wish())
    await send(node, application)
    await node.do(wallet.revoke_consent(application.consent))
    assert await refuse(node, application) == "consent_ended"
    assert await node.vault.read_access_log(application.data) == []


def make_rich() -> Prepared:
    """A salary of the largest amount there is, every day: a month of it is no amount any more."""
    prepared = read_sample()
    last = prepared.plain.last_day
    rows = tuple(
        Row(
            day=last - 118 + seq,
            seq=seq,
            amount=AMOUNT_MAX,
            balance=None,
            counterparty=NO_COUNTERPARTY,
            category=Category.SALARY,
            channel=Channel.UNKNOWN,
            minute=-1,
        )
        for seq in range(118)
    )
    first = Day(last - 118)
    plain = msgspec.structs.replace(prepared.plain, rows=rows, provenance=3, opening_balance=None, first_day=first)
    return prepared._replace(plain=plain)


def cut(prepared: Prepared, *, days: int = 0, from_day: int = 0) -> Prepared:
    """The statement without its newest days, or from a day on, under the period it claimed before."""
    plain = prepared.plain
    kept = [one for one in plain.rows if from_day <= one.day <= plain.last_day - days]
    rows = tuple(msgspec.structs.replace(one, seq=seq) for seq, one in enumerate(kept))
    return prepared._replace(plain=msgspec.structs.replace(plain, rows=rows, provenance=3))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"days": 50}, "statement_quiet"),
        ({"from_day": TODAY - 60}, "statement_short"),
        ({"from_day": TODAY}, "statement_empty"),
    ],
)
async def test_a_statement_from_which_no_score_may_be_made_is_neither_signed_nor_attested(
    node: DevNode, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], reason: str
) -> None:
    """Old rows under a new date, or too few: the device says so before it signs, and a lender refuses all the same."""
    wallet, prepared = await node.open_borrower("li-na"), cut(read_sample(), **changes)
    with pytest.raises(BorrowError) as caught:
        apply_for(node, wallet, prepared, make_wish())
    assert caught.value.code == reason
    monkeypatch.setattr(borrower, "check_statement", lambda *_, **__: None)
    application = apply_for(node, wallet, prepared, make_wish())
    await send(node, application)
    assert await refuse(node, application) == reason


async def test_a_capacity_beyond_any_amount_is_attested_as_the_largest(node: DevNode) -> None:
    """What does not fit an amount is clipped to the largest floored one, which the ledger takes."""
    wallet = await node.open_borrower("li-na")
    application = apply_for(node, wallet, make_rich(), make_wish())
    await send(node, application)
    with capture_logs() as logs:
        async with attesting(node, "harbour"):
            assert await watch(node, logs, "application_attested")
    (found,) = node.ledger.books.state.need(APPLICATIONS, application.application).attestations
    assert found.capacity30 == CAPACITY_MAX == 9_000_000_000_000_000
    assert is_capacity_floored(CAPACITY_MAX)


async def test_what_the_door_will_never_take_is_refused_once(node: DevNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attestation that is malformed today is so tomorrow: the statement is opened once, not every few seconds."""
    appraise = attester.appraise
    monkeypatch.setattr(attester, "appraise", lambda *asked: appraise(*asked)._replace(capacity30=2**53))
    monkeypatch.setattr(attester, "RETRY_S", (0.01,))
    application = apply_for(node, await node.open_borrower("li-na"), read_sample(), make_wish())
    await send(node, application)
    assert await refuse(node, application) == "malformed"
    assert len(await node.vault.read_access_log(application.data)) == 1


@pytest.mark.parametrize("format", [Format.OFX, Format.MT940, Format.CSV, Format.ALIPAY, Format.WECHAT])
@pytest.mark.parametrize("profile", [Profile.SALARIED_STEADY, Profile.SHOPKEEPER])
def test_what_ingest_reads_can_be_opened_and_believed(
    profile: Profile,
    format: Format,  # noqa: A002
) -> None:
    """Every format's own grade survives the checks made on opening: an honest borrower is never refused for it."""
    assert check_plain(read_sample(profile, format).plain) is None


def test_the_anchor_check_names_the_first_difference(tmp_path: Path) -> None:
    """Owner before document before rows: one order, so that every attester logs the same reason."""
    node_keys = make_keys("harbour")
    prepared = read_sample()
    sealed, data = _seal_for(prepared)
    plain = open_document(sealed.envelope, account=sealed.envelope.grants[0].recipient, key=node_keys.enc)
    owner = AccountId(data.owner)
    assert check_anchor(plain, sealed.envelope, data, owner) is None
    stranger = AccountId(bytes(32))
    assert check_anchor(plain, sealed.envelope, data, stranger) == "owner_differs"
    moved = msgspec.structs.replace(data, anchor=msgspec.structs.replace(data.anchor, document=Digest(bytes(32))))
    assert check_anchor(plain, sealed.envelope, moved, owner) == "document_differs"
    dollars = msgspec.structs.replace(data, anchor=msgspec.structs.replace(data.anchor, currency="USD"))
    assert check_anchor(plain, sealed.envelope, dollars, owner) == "currency_differs"


def _seal_for(prepared: Prepared) -> tuple[Sealed, Data]:
    owner, keys = KeySigner(bytes([7]) * 32), make_keys("harbour")
    sealed = seal_document(
        prepared.plain,
        owner=owner,
        recipients=[Recipient(calculate_account_id(owner.public_key), keys.enc_key)],
        purpose=Purpose.UNDERWRITE,
        until_ms=TimeMs(1),
    )
    anchor = DataAnchor(
        rows_root=sealed.envelope.root,
        document=sealed.envelope.digest,
        currency=prepared.plain.currency,
        first_day=prepared.plain.first_day,
        last_day=prepared.plain.last_day,
        provenance=prepared.plain.provenance,
    )
    return sealed, Data(owner=calculate_account_id(owner.public_key), anchor=anchor, anchored_ms=TimeMs(1))


async def test_an_engine_that_is_not_exact_attests_nothing(node: DevNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the golden vectors come out differently, the attester says so and stays silent; the node lives on."""

    def fail() -> None:
        raise AssertionError("case one: features differ")

    monkeypatch.setattr(attester, "run_selftest", fail)
    with capture_logs() as logs:
        await attester.Attester(node, make_keys("harbour"), now_ms=node.now_ms).run()
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("attester_stayed_silent", "case one: features differ")
    ]
