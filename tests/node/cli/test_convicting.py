"""A member is convicted of a false attestation at two validators' terminals; everybody can see what it did."""

from node.client.http import NodeClient
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs
from protocol.ledger.verdicts import is_convicted
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk

EVIDENCE = "ab" * 32


async def apply(desk: Desk) -> str:
    """An application that both lenders have attested."""
    async with attesting(desk.node):
        applied = await desk.sign("apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes")
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
