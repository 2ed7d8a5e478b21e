"""Whole ways in which somebody else has a say: officers, guarantors, settlement agents, issuers, merchants."""

from pathlib import Path
from typing import Any

from node.cli.common import EXIT_OK
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs
from protocol.ledger.state import OFFERS
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk

APPLY = ("--amount-minor", "1000000", "--periods", "6", "--yes")


async def apply(desk: Desk, *more: str, count: int = 1) -> dict[str, Any]:
    """An application that the lenders have read; its offers and decisions once there are so many."""
    async with attesting(desk.node):
        made = await desk.sign("apply", str(desk.statement), *APPLY, *more)
        for _ in range(100):
            told: dict[str, Any] = await desk.read("offers", made["application"])
            if len(told["attestations"]) == 2 and len(told["decisions"]) >= count:
                break
    return told


async def open_person(desk: Desk, name: str, subject: str, *, kind: str = "person") -> tuple[Path, str]:
    """Another key file with an account; its passphrase is the borrower's."""
    key, secret = desk.folder / f"{name}.key", str(desk.secret)
    assert (await desk.run("keys", "new", "--out", str(key), "--passphrase-file", secret)).exit_code == EXIT_OK
    told = await desk.read(
        "account", "open", "--key", str(key), "--passphrase-file", secret, "--issuer-dir",
        str(desk.open_office("identity")), "--kind", kind, "--subject", subject, "--yes",
    )  # fmt: skip
    return key, str(told["account"])


async def test_a_person_decides_where_the_borrower_wants_one(desk: Desk) -> None:
    """No automated decision; an officer offers, takes it back, offers again, and the borrower accepts."""
    asked = await apply(desk, "--no-automation", count=0)
    assert asked["decisions"] == []
    products = (await desk.read("product", "list"))["items"]
    product = next(one["id"] for one in products if one["lender_name"] == "harbour")
    terms = ("--product", product, "--principal-minor", "900000", "--instalments", "6", "--rate-ppm", "90000")
    first = await desk.order("harbour", "offer", "post", asked["id"], *terms)
    await desk.order("harbour", "offer", "cancel", first["offer"])
    again = await desk.order("harbour", "offer", "post", asked["id"], *terms)
    row = desk.node.ledger.books.state.need(OFFERS, bytes.fromhex(again["offer"]))
    assert (row.officer, row.disclosure.schedule.principal) == (True, 900_000)
    taken = await desk.sign("accept", again["offer"], "--yes")
    assert taken["net_proceeds"] == 895_500


async def test_an_officer_declines_with_reasons(desk: Desk) -> None:
    """The borrower reads the reasons in words."""
    asked = await apply(desk, "--no-automation", count=0)
    product = (await desk.read("product", "list"))["items"][0]
    reasons = ("--reason", "debt", "--reason", "spending")
    await desk.order(product["lender_name"], "offer", "decline", asked["id"], "--product", product["id"], *reasons)
    shown = await desk.run("offers", asked["id"], "--node", desk.url)
    assert f"declined by {product['lender_name']}: Repayments to other lenders" in shown.stdout


async def test_a_guarantor_signs_the_acceptance(desk: Desk) -> None:
    """Without the guarantor's signature the ledger refuses and says how; with it the loan has a guarantor."""
    key, account = await open_person(desk, "wang", "110101199003071240")
    told = await apply(desk, "--guarantor", account)
    offer = told["offers"][0]["id"]
    own = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url, "--yes")
    alone = await desk.run("accept", offer, *own)
    assert "[guarantor_missing]" in alone.stderr
    assert "--cosign-key" in alone.stderr
    draft = desk.folder / "loan.draft"
    await desk.sign("accept", offer, "--yes", "--cosigner", account, "--draft", str(draft))
    done = await desk.run("tx", "cosign", str(draft), "--key", str(key), "--passphrase-file", str(desk.secret), "--yes")
    assert done.exit_code == EXIT_OK, done.output
    made = await desk.read("tx", "submit", str(draft), "--yes")
    assert (await desk.read("loan", "show", made["loan"]))["guarantors"] == [account]


async def test_both_keys_on_one_machine_sign_at_once(desk: Desk) -> None:
    """--cosign-key with its own passphrase: one command, two signatures."""
    key, account = await open_person(desk, "wang", "110101199003071240")
    offer = (await apply(desk, "--guarantor", account))["offers"][0]["id"]
    more = ("--cosign-key", str(key), "--cosign-passphrase-file", str(desk.secret), "--autopay")
    made = await desk.sign("accept", offer, "--yes", *more)
    shown = await desk.read("loan", "show", made["loan"])
    assert (shown["guarantors"], shown["autopay"]) == ([account], True)


async def test_an_agent_pays_a_loan_out(desk: Desk) -> None:
    """accept --agent waits for the agent, who says that the bank has paid."""
    offer = (await apply(desk))["offers"][0]["id"]
    loan = (await desk.sign("accept", offer, "--yes", "--agent", "clearing"))["loan"]
    assert (await desk.read("loan", "show", loan))["loan"]["state"] == "funded"
    await desk.order("clearing", "loan", "settle", loan, "disbursed", "--ref", "BANK-9")
    assert (await desk.read("loan", "show", loan))["loan"]["state"] == "active"


async def test_a_lost_key_is_replaced_unless_its_owner_objects(desk: Desk) -> None:
    """An issuer asks for another key; the present key objects; asked again, it changes after the days."""
    account = (await desk.read("account", "show", "--key", str(desk.key)))["id"]
    new, secret = desk.folder / "new.key", str(desk.secret)
    await desk.run("keys", "new", "--out", str(new), "--passphrase-file", secret)
    recover = ("keys", "recover", account, "--to", str(new), "--to-passphrase-file", secret)
    await desk.order("identity", *recover)
    assert (await desk.read("account", "show", account))["recovery"] is not None
    await desk.sign("keys", "object", "--yes")
    assert (await desk.read("account", "show", account))["recovery"] is None
    await desk.order("identity", *recover)
    desk.node.clock_ms = TimeMs(desk.node.clock_ms + 4 * DAY_MS)
    await desk.node.make_block()
    assert (await desk.read("account", "show", "--key", str(new)))["id"] == account


async def test_a_purchase_pays_the_merchant(desk: Desk) -> None:
    """apply --wish merchant: the money goes to the shop, less its discount."""
    _, shop = await open_person(desk, "shop", "91110105MA01", kind="merchant")
    path = desk.folder / "merchant.toml"
    await desk.run("product", "template", "--kind", "merchant", "--out", str(path))
    text = path.read_text().replace('"consumer"', '"personal"').replace("attestations_min = 2", "attestations_min = 1")
    expires = next(line for line in text.splitlines() if line.startswith("expires_on"))
    path.write_text(text.replace(expires, "expires_on = 2027-01-01"))
    await desk.order("harbour", "product", "publish", str(path))
    told = await apply(desk, "--wish", f"merchant:{shop}")
    offer = told["offers"][0]
    assert offer["kind"] == "purchase"
    await desk.sign("accept", offer["id"], "--yes")
    (cash,) = [
        one["amount"] for one in (await desk.read("money", "balance", shop))["balances"] if one["book"] == "cash"
    ]
    assert cash == 1_000_000 - 5_000 - 30_000
