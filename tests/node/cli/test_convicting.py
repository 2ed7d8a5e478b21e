"""A member is convicted of a false attestation at two validators' terminals; everybody can see what it did."""

import hashlib

import msgspec

from node.client.http import NodeClient
from node.client.judging import decode_shown, encode_shown, judge, read_models
from node.keystore import write_key
from protocol.genesis import DAY_MS
from protocol.ids import ObjectId, TimeMs
from protocol.ledger.state import APPLICATIONS
from protocol.ledger.verdicts import is_convicted
from protocol.money import Amount
from protocol.transactions.lending import Attest
from tests.node.api.harness import make_seed
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk

EVIDENCE = "ab" * 32


async def apply(desk: Desk) -> str:
    """An application that both lenders have attested."""
    async with attesting(desk.node):
        applied = await desk.sign("apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes")
    return str(applied["application"])


async def test_an_opened_statement_shows_who_lied(desk: Desk) -> None:
    """Jade attested another cash flow: its file is judged false, harbour's true; another's rows prove nothing."""
    application = await apply_with_a_lie(desk)
    office, shown = desk.open_office("harbour"), desk.folder / "shown.lsev"
    write_key(office, "enc", make_seed("harbour/enc"))
    opened = await desk.read("gov", "evidence", "open", application, "--officer-dir", str(office), "--out", str(shown))
    assert opened["evidence"] == hashlib.sha256(shown.read_bytes()).hexdigest()
    assert shown.stat().st_mode & 0o077 == 0
    found = (await desk.read("gov", "evidence", "judge", str(shown)))["attestations"]
    verdicts = {one["name"]: one["verdict"] for one in found}
    assert verdicts == {"harbour": "true", "jade": "false_cash_flow"}
    plain = decode_shown(shown.read_bytes())
    async with NodeClient(desk.url) as client:
        view = await client.get(f"/v1/applications/{application}")
        anchor, network = await client.get(f"/v1/data/{view['data'][0]}"), await client.get("/v1/network")
    view["assessed"][0]["points"] += 1  # as if the borrower had committed to better bins
    view["attestations"][1]["own"] = False
    judged = judge(plain, view, anchor, read_models(network))
    assert [one.verdict for one in judged] == ["false_bins", "dissenting"]
    view["assessed"][0]["points"] -= 1
    view["features"]["root"] = "00" * 32  # as if it had committed to features that the rows do not give
    judged = judge(plain, view, anchor, read_models(network))
    assert [one.verdict for one in judged] == ["false_features", "dissenting"]
    view["features"] = None
    assert judge(plain, view, anchor, read_models(network))[0].verdict == "true", "no root claims nothing"
    rows = plain.plain.rows
    edited = (*rows[:-1], msgspec.structs.replace(rows[-1], amount=rows[-1].amount + 1))
    forged = msgspec.structs.replace(plain, plain=msgspec.structs.replace(plain.plain, rows=edited))
    shown.write_bytes(encode_shown(forged))
    assert await desk.refuse("gov", "evidence", "judge", str(shown), "--node", desk.url) == "rows_root_differs"
    shown.write_bytes(b"nothing")
    assert await desk.refuse("gov", "evidence", "judge", str(shown), "--node", desk.url) == "evidence_malformed"


async def apply_with_a_lie(desk: Desk) -> str:
    """An application that harbour attested truly and jade by hand, with a tenth of the cash flow."""
    async with attesting(desk.node, "harbour"):
        applied = await desk.sign("apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes")
    application = ObjectId(bytes.fromhex(applied["application"]))
    row = desk.node.ledger.books.state.need(APPLICATIONS, application)
    (true,) = row.attestations
    lie = Attest(
        application=application,
        model=true.model,
        commitment=true.commitment,
        capacity30=Amount(77),
        rows_mark=true.rows_mark,
    )
    await desk.node.do(desk.node.make_officer("jade").build(lie))
    return str(applied["application"])


async def test_a_conviction_is_proposed_voted_and_shown(desk: Desk) -> None:
    """Harbour proposes, jade votes, and on its day jade's word is struck; who attested nothing cannot be named."""
    application = await apply(desk)
    terms = ("--application", application, "--reporter", "harbour", "--evidence-hash", EVIDENCE)
    office = str(desk.open_office("harbour"))
    refused = await desk.refuse(
        "gov", "propose", "convict", "regulator", *terms, "--officer-dir", office, "--node", desk.url, "--yes"
    )
    assert refused == "attestation_unknown"
    await desk.order("harbour", "gov", "propose", "convict", "jade", *terms)
    (proposal,) = (await desk.read("gov", "list", "--state", "open"))["items"]
    assert "attester_convict" in str(proposal)
    await desk.order("jade", "gov", "vote", proposal["id"], "yes")
    desk.node.clock_ms = TimeMs(desk.node.clock_ms + 10 * DAY_MS)
    await desk.node.make_block()
    assert is_convicted(desk.node.ledger.books, desk.node.make_officer("jade").account)
    async with NodeClient(desk.url) as client:
        members = (await client.get("/v1/network"))["members"]
    assert [one["name"] for one in members if one["convicted"]] == ["jade"]
    shown = await desk.read("offers", application)
    assert {one["attester_name"]: one["struck"] for one in shown["attestations"]} == {"harbour": False, "jade": True}
