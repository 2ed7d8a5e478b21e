"""Features granted apart from rows, at terminals: given with an application or later, shown verified, withdrawn."""

from typing import Any

import msgspec
import pytest

from node.cli.common import EXIT_OK
from node.client.features import FeaturesFault, check_view, read_features
from node.client.http import NodeClient
from node.keystore import write_key
from protocol.codec import decode
from protocol.crypto import KeySigner
from protocol.ids import Digest, ObjectId
from protocol.ledger.state import APPLICATIONS, CONSENTS
from protocol.transactions.data import Purpose, Scope
from protocol.vault import VaultEnvelope
from scoring.features import FEATURES
from tests.node.api.harness import make_keys, make_seed
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk


async def apply(desk: Desk, *options: str) -> Any:
    """An application that harbour has attested; jade's node sees it as well."""
    asked = ("--amount-minor", "2000000", "--periods", "12", "--yes")
    async with attesting(desk.node):
        return await desk.sign("apply", str(desk.statement), *asked, *options)


def office(desk: Desk, name: str) -> str:
    """The directory of a member that can open what was sealed to it."""
    directory = desk.open_office(name)
    if not (directory / "keys" / "enc.key").exists():
        write_key(directory, "enc", make_seed(f"{name}/enc"))
    return str(directory)


async def read_view(desk: Desk, application: str) -> tuple[Any, Any]:
    async with NodeClient(desk.url) as client:
        return await client.get(f"/v1/applications/{application}"), await client.get("/v1/network")


async def test_an_officer_sees_what_was_granted_with_its_definitions_verified(desk: Desk) -> None:
    """All features of the table, and who confirmed them from the rows; no row, and nothing for others."""
    made = await apply(desk, "--features-to", "jade")
    told = await desk.read("offer", "features", made["application"], "--officer-dir", office(desk, "jade"))
    assert [one["name"] for one in told["features"]] == [one.name for one in FEATURES]
    assert [one["definition"] for one in told["features"]] == [one.definition for one in FEATURES]
    assert (told["verified"], told["confirmed_by"]) == (True, ["harbour"])
    view, _ = await read_view(desk, made["application"])
    assert told["root"] == view["features"]["root"]
    shown = await desk.run(
        "offer", "features", made["application"], "--officer-dir", office(desk, "jade"), "--node", desk.url
    )
    assert shown.exit_code == EXIT_OK
    assert "against the root of the application" in shown.stdout
    assert "bal_cv" in shown.stdout
    at_node = ("--node", desk.url, "--officer-dir")
    rows = ("gov", "evidence", "open", made["application"], "--out", str(desk.folder / "rows"))
    assert await desk.refuse(*rows, *at_node, office(desk, "jade")) == "not_found"
    features = ("offer", "features", made["application"])
    assert await desk.refuse(*features, *at_node, office(desk, "harbour")) == "not_granted"
    items = (await desk.sign("consent", "list"))["items"]
    assert {(one["scope"], *one["grantee_names"]) for one in items} == {("raw", "harbour"), ("features", "jade")}
    (apart,) = [one["id"] for one in items if one["scope"] == "features"]
    await desk.sign("consent", "revoke", apart, "--yes")
    assert await desk.refuse(*features, *at_node, office(desk, "jade")) == "not_granted"


async def test_features_are_granted_later_for_another_purpose(desk: Desk) -> None:
    """A key in the vector alone, a consent of that scope with the words of that scope; the statement is untouched."""
    made = await apply(desk, "--lender", "harbour")
    rights = ("consent", "grant", made["data"], "--reader", "jade", "--purpose", "research", "--yes")
    given = await desk.sign(*rights, "--scope", "features")
    assert given["opens"] == "features"
    grant = desk.node.ledger.books.state.need(CONSENTS, bytes.fromhex(given["consent"])).grant
    assert (grant.scope, grant.purpose) == (Scope.FEATURES, Purpose.RESEARCH)
    row = desk.node.ledger.books.state.need(APPLICATIONS, bytes.fromhex(made["application"]))
    assert row.request.features is not None
    envelopes = [
        decode(raw, VaultEnvelope)
        for one in await desk.node.vault.list_documents()
        if (raw := await desk.node.vault.get(one)) is not None
    ]
    readers = {one.scope: {grant.recipient for grant in one.grants} for one in envelopes}
    (jade,) = grant.grantees
    assert jade in readers[Scope.FEATURES]
    assert jade not in readers[Scope.RAW]
    told = await desk.read("offer", "features", made["application"], "--officer-dir", office(desk, "jade"))
    assert told["verified"] is True
    assert await desk.node.vault.erase(Digest(row.request.features.document))
    signed = ("--node", desk.url, "--key", str(desk.key), "--passphrase-file", str(desk.secret))
    assert await desk.refuse(*rights, "--scope", "features", *signed) == "document_missing"


async def test_a_reader_is_named_once_and_known(desk: Desk) -> None:
    """Whoever reads rows reads what follows from them; a stranger reads nothing."""
    asked = ("apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes", "--node", desk.url)
    key = ("--key", str(desk.key), "--passphrase-file", str(desk.secret))
    assert await desk.refuse(*asked, *key, "--lender", "jade", "--features-to", "jade") == "reader_twice"
    assert await desk.refuse(*asked, *key, "--product", "abc") == "malformed_id"
    assert await desk.refuse(*asked, *key, "--product", "ab" * 32) == "no_product"
    assert await desk.refuse(*asked, *key, "--features-to", "nobody") == "member_unknown"


async def test_what_a_node_shows_must_fit_the_vector(desk: Desk) -> None:
    """Another root, another score, a value more or less: each is caught by its name."""
    made = await apply(desk, "--features-to", "jade")
    view, network = await read_view(desk, made["application"])
    application = ObjectId(bytes.fromhex(made["application"]))
    officer, key = KeySigner(make_seed("jade/officer")), make_keys("jade").enc
    async with NodeClient(desk.url) as client:
        read = await read_features(client, application, officer=officer, key=key, now_ms=desk.node.now_ms())
    check_view(read.vector, view, network)
    first, *rest = read.vector.values
    edited = msgspec.structs.replace(first, value=(first.value or 0) + 1)
    lies = [
        (msgspec.structs.replace(read.vector, values=(edited, *rest)), view, network, "features_root_differs"),
        (read.vector, {**view, "features": {"root": "00" * 32}}, network, "features_root_differs"),
        (read.vector, view, {"models": []}, "model_unknown"),
        (
            read.vector,
            {**view, "assessed": [{**one, "pd_ppm": one["pd_ppm"] - 1} for one in view["assessed"]]},
            network,
            "score_differs",
        ),
    ]
    for vector, told, models, code in lies:
        with pytest.raises(FeaturesFault) as caught:
            check_view(vector, told, models)
        assert caught.value.code == code
