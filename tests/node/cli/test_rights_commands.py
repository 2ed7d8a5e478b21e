"""A borrower's rights by commands: grant, list, withdraw; take away, correct, erase; each on a running node."""

import base64
import json
from typing import Any

from node.cli.common import EXIT_OK
from node.client.rights import _show_plain
from protocol.codec import decode
from protocol.ids import Digest, ObjectId
from protocol.ledger.state import CONSENTS, DATA, ERASURES
from protocol.transactions.data import Purpose
from protocol.vault import VaultEnvelope, calculate_rows_root
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk
from tests.node.vault.test_vault_store import make_plain


async def apply(desk: Desk, *options: str) -> Any:
    """An application that harbour has attested."""
    async with attesting(desk.node, "harbour"):
        made = await desk.sign(
            "apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes", *options
        )
        for _ in range(100):
            if (await desk.read("offers", made["application"]))["offers"]:
                break
    return made


async def test_everything_about_data_is_taken_away_in_one_file(desk: Desk) -> None:
    """Rows that prove their root, the scores computed from them again, reasons, models, consents and readers."""
    made = await apply(desk)
    await desk.node.make_block()
    path = desk.folder / "mine.json"
    told = await desk.sign("data", "export", made["data"], "-o", str(path))
    assert (told["committed"], told["applications"], told["scores_equal"]) == (True, 1, True)
    assert path.stat().st_mode & 0o077 == 0
    file = json.loads(path.read_text())
    assert len(file["statement"]["rows"]) == told["rows"] > 100
    assert file["statement"]["rows_root"] == file["data"]["rows_root"]
    (one,) = file["applications"]
    (score,) = one["scores"]
    assert score["equal"] is True
    assert score["model"] in file["models"]
    assert len(score["bins"]) == len(json.loads(file["models"][score["model"]])["table"])
    assert one["features"]["hist_days"] > 0
    assert (told["receipts"], one["receipt"]["transaction"]) == (1, made["transaction"])
    proof = desk.folder / "mine.lsr"
    proof.write_bytes(base64.b64decode(one["receipt"]["file"]))
    proved = await desk.run("verify", str(proof), "--genesis", str(desk.genesis), "--json")
    assert (proved.exit_code, json.loads(proved.stdout)["type"]) == (0, "Apply")
    for language, said in (("en", " points: an estimated chance"), ("zh", "估计违约概率")):
        sentences = one["explanation"][language]
        assert said in sentences[0]
        assert len(sentences) == len(one["application"]["assessed"]) + len(one["application"]["decisions"])
    assert (one["features_root"], one["features_committed"]) == (one["application"]["features"]["root"], True)
    assert [entry["reader_name"] for entry in file["access_log"]["node"]["entries"]] == ["harbour"]
    assert file["access_log"]["holds"] is True
    assert [consent["purpose"] for consent in file["consents"]] == ["underwrite"]
    assert await desk.refuse(
        "data", "export", made["data"], "-o", str(path), "--node", desk.url,
        "--key", str(desk.key), "--passphrase-file", str(desk.secret),
    ) == "file_exists"  # fmt: skip


async def test_rows_that_were_not_committed_to_are_said_to_be_others() -> None:
    """The file does not call proved what is not."""
    plain = make_plain()
    root = calculate_rows_root(plain.rows, Digest(plain.salt_key)).hex()
    assert _show_plain(plain, {"rows_root": root})["is_committed"]
    assert not _show_plain(plain, {"rows_root": "00" * 32})["is_committed"]


async def test_more_readers_are_granted_listed_and_withdrawn(desk: Desk) -> None:
    """A key in the document and a consent on the ledger, both for one purpose; withdrawn it no longer holds."""
    made = await apply(desk)
    given = await desk.sign(
        "consent", "grant", made["data"], "--reader", "jade", "--purpose", "research", "--days", "5", "--yes"
    )
    items = (await desk.sign("consent", "list"))["items"]
    assert {(one["purpose"], one["scope"]) for one in items} == {("underwrite", "raw"), ("research", "raw")}
    consent = ObjectId(bytes.fromhex(given["consent"]))
    row = desk.node.ledger.books.state.need(CONSENTS, consent)
    assert row.grant.purpose is Purpose.RESEARCH
    anchor = desk.node.ledger.books.state.need(DATA, bytes.fromhex(made["data"])).anchor
    raw = await desk.node.vault.get(Digest(anchor.document))
    assert raw is not None
    purposes = {one.purpose for one in decode(raw, VaultEnvelope).grants if one.recipient == row.grant.grantees[0]}
    assert purposes == {Purpose.RESEARCH}
    await desk.sign("consent", "revoke", given["consent"], "--yes")
    (gone,) = [one for one in (await desk.sign("consent", "list"))["items"] if one["id"] == given["consent"]]
    assert gone["live"] is False
    shown = await desk.run(
        "consent", "list", "--node", desk.url, "--key", str(desk.key), "--passphrase-file", str(desk.secret)
    )
    assert shown.exit_code == EXIT_OK
    assert "research" in shown.stdout


async def test_a_correction_takes_the_old_ones_place_for_the_same_readers(desk: Desk) -> None:
    """New data, the consents again, the erasure of the old, in one group; the old serves nothing new."""
    made = await apply(desk)
    done = await desk.sign("data", "rectify", made["data"], str(desk.statement), "--yes")
    assert done["consents"] == 1
    order = await desk.read("data", "status", made["data"])
    assert order["successor"] == done["data"]
    assert order["state"] == "waiting", "its application is open"
    states = {one["id"]: (one["erasure"] or {}).get("state") for one in (await desk.sign("data", "list"))["items"]}
    assert states == {made["data"]: "waiting", done["data"]: None}
    live = [one for one in (await desk.sign("consent", "list"))["items"] if one["data"] == [done["data"]]]
    assert [one["purpose"] for one in live] == ["underwrite"]


async def test_an_order_is_followed_to_the_receipts(desk: Desk) -> None:
    """Waiting while the application is open, due once it is withdrawn, with the members that owe a receipt by name."""
    made = await apply(desk)
    assert await desk.refuse("data", "status", made["data"], "--node", desk.url) == "erasure_unknown"
    await desk.sign("data", "erase", made["data"], "--yes")
    assert (await desk.read("data", "status", made["data"]))["state"] == "waiting"
    await desk.sign("withdraw", made["application"], "--yes")
    await desk.node.make_block()
    assert (await desk.read("data", "status", made["data"]))["state"] == "due"
    await desk.order("harbour", "data", "receipt", made["data"], "--documents", "1", "--sidecars", "1")
    told = await desk.run("data", "status", made["data"], "--node", desk.url)
    assert told.exit_code == EXIT_OK, told.output
    assert "jade" in told.stdout.split("missing")[1].splitlines()[0]
    assert "harbour" not in told.stdout.split("missing")[1].splitlines()[0]
    row = desk.node.ledger.books.state.need(ERASURES, bytes.fromhex(made["data"]))
    assert [one.sidecars for one in row.receipts] == [1]
