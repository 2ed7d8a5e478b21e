"""Whole ways by commands over the real books: lines, amendments, disputes, pools, sales of loans, leases."""

from pathlib import Path
from typing import Any

from node.cli.common import EXIT_OK
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs
from protocol.ledger.state import AMENDMENTS, ASSETS, LINES, LOANS
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk

LENT = 2_000_000


async def borrow(desk: Desk, amount: int = LENT, *more: str) -> dict[str, Any]:
    """Apply with the statement and take the cheapest offer."""
    periods = "3" if "--wish" in more else "12"
    async with attesting(desk.node):
        made = await desk.sign(
            "apply", str(desk.statement), "--amount-minor", str(amount), "--periods", periods, "--yes", *more
        )
        for _ in range(100):
            told = await desk.read("offers", made["application"])
            if told["offers"]:
                break
    assert told["offers"], [(one["reasons"], one["rule"]) for one in told["decisions"]]
    return {"application": made["application"], "offer": told["offers"][0]["id"]}


async def take_loan(desk: Desk) -> str:
    """A personal loan of harbour."""
    found = await borrow(desk)
    return str((await desk.sign("accept", found["offer"], "--yes"))["loan"])


async def publish(desk: Desk, kind: str, **changes: str) -> str:
    """A product of harbour from the template of its kind."""
    path = desk.folder / f"{kind}.toml"
    await desk.run("product", "template", "--kind", kind, "--out", str(path))
    text = path.read_text().replace("attestations_min = 2", "attestations_min = 1")
    for line in text.splitlines():
        if line.startswith("expires_on"):
            text = text.replace(line, "expires_on = 2027-01-01")
    for old, new in changes.items():
        text = text.replace(f'{old} = "small_business"', f'{old} = "{new}"')
    path.write_text(text)
    return str((await desk.order("harbour", "product", "publish", str(path)))["product"])


async def pass_days(desk: Desk, days: int) -> None:
    """Let days go by."""
    desk.node.clock_ms = TimeMs(desk.node.clock_ms + days * DAY_MS)
    await desk.node.make_block()


async def type_as(desk: Desk, *words: str) -> str:
    """What a command of the borrower says on its way."""
    keys = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url, "--yes")
    done = await desk.run(*words, *keys)
    assert done.exit_code == EXIT_OK, done.output
    return done.output


async def fund(desk: Desk, amount: int) -> None:
    """Money from the bank for the borrower."""
    account = (await desk.read("account", "show", "--key", str(desk.key)))["id"]
    office = str(desk.open_office("clearing"))
    await desk.read(
        "money", "mint", "--agent-dir", office, "--to", account, "--amount-minor", str(amount), "--ref", "B-1", "--yes"
    )


async def test_a_line_is_opened_drawn_on_and_closed(desk: Desk) -> None:
    """The whole cost of a draw is shown before it is signed, and what is undrawn is given up."""
    product = await publish(desk, "line")
    found = await borrow(desk, 1_000_000, "--product", product)
    line = (await desk.sign("accept", found["offer"], "--yes"))["line"]
    told = await desk.read("line", "show", line)
    assert (told["limit"], told["undrawn"]) == (1_000_000, 1_000_000)
    said = await type_as(desk, "draw", line, "--amount-minor", "300000", "--instalments", "6")
    for words in ("For today:", "3,000.00 CNY", "drawn on line", "whole cost", "loan  "):
        assert words in said
    assert len([one for one in said.splitlines() if one.endswith("CNY") and "-" in one.split()[1]]) == 6
    after = await desk.read("line", "show", line)
    assert (after["undrawn"], len(after["draws"])) == (700_000, 1)
    await desk.sign("line", "close", line, "--yes")
    assert (await desk.read("line", "list"))["items"][0]["closed"]
    assert desk.node.ledger.books.state.need(LINES, bytes.fromhex(line)).closed


async def test_a_loan_gets_other_terms_that_both_have_signed(desk: Desk) -> None:
    """The lender proposes, the borrower sees the new schedule and signs it; the loan has it."""
    loan = await take_loan(desk)
    await pass_days(desk, 10)
    told = await desk.order("harbour", "amend", "propose", loan, "--instalments", "18", "--interest", "capitalise")
    assert [one["state"] for one in (await desk.read("amend", "list", loan))["items"]] == ["open"]
    said = await type_as(desk, "amend", "answer", told["amendment"], "accept")
    for words in ("in 18 instalments", "proposed by", "harbour", "new instalments"):
        assert words in said
    assert len((await desk.read("loan", "schedule", loan))["schedule"]) == 18
    other = await desk.sign("amend", "propose", loan, "--instalments", "20", "--yes")
    await desk.order("harbour", "amend", "answer", other["amendment"], "reject")
    assert desk.node.ledger.books.state.need(AMENDMENTS, bytes.fromhex(other["amendment"])).accepted is False


async def test_a_loan_is_settled_for_less(desk: Desk) -> None:
    """A settlement has no schedule: what is signed is the amount, and the loan is over."""
    loan = await take_loan(desk)
    await pass_days(desk, 130)
    told = await desk.order("harbour", "amend", "propose", loan, "--settle-minor", "1500000")
    said = await type_as(desk, "amend", "answer", told["amendment"], "accept")
    assert "settles the loan for" in said
    assert desk.node.ledger.books.state.need(LOANS, bytes.fromhex(loan)).closed_ms is not None


async def test_a_dispute_is_opened_answered_and_given_up(desk: Desk) -> None:
    """Each step shows what is contested; who opened it may give it up."""
    loan = await take_loan(desk)
    papers = desk.folder / "letter.txt"
    papers.write_text("I was charged twice.")
    about = ("--code", "amount", "--amount-minor", "5000", "--evidence", str(papers), "--yes")
    dispute = (await desk.sign("dispute", "open", loan, *about))["dispute"]
    await desk.order("harbour", "dispute", "answer", dispute, "--evidence", str(papers))
    said = await type_as(desk, "dispute", "resolve", dispute)
    for words in ("the borrower, on", "50.00 CNY", "harbour"):
        assert words in said
    (one,) = (await desk.read("dispute", "list", loan))["items"]
    assert (one["resolved"], one["answer"] == one["evidence"]) == (True, True)
    office = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    refused = await desk.run("dispute", "answer", dispute, "--evidence", str(papers), *office)
    assert "[dispute_closed]" in refused.stderr
    assert "liushui dispute list LOAN" in refused.stderr


async def test_a_pool_is_secured_left_and_stayed_in(desk: Desk) -> None:
    """Cover in and out, limits changed, shares that wait and are taken back."""
    told = await desk.order("harbour", "pool", "open", "--borrower-max-minor", "500", "--cover-rate-ppm", "50000")
    pool = told["pool"]
    await desk.order("harbour", "pool", "deposit", "--pool", pool, "--amount-minor", "100000")
    await desk.order("harbour", "pool", "cover", "in", "--pool", pool, "--amount-minor", "6000")
    await desk.order("harbour", "pool", "cover", "out", "--pool", pool, "--amount-minor", "1000")
    await desk.order("harbour", "pool", "set", "--pool", pool, "--fee-ppm", "10000")
    shown = await desk.read("pool", "show", pool)
    assert (shown["cover"], shown["cover_rate_ppm"], shown["fee_ppm"], shown["borrower_max"]) == (
        5_000,
        50_000,
        10_000,
        500,
    )
    left = await desk.order("harbour", "pool", "withdraw", "--pool", pool, "--all")
    (waits,) = (await desk.read("pool", "exits", "harbour"))["items"]
    assert (waits["id"], waits["pool"]) == (left["exit"], pool)
    await desk.order("harbour", "pool", "cancel", left["exit"])
    assert (await desk.read("pool", "exits", "harbour"))["items"][0]["shares"] == 0


async def test_a_loan_is_sold_to_another_pool_by_a_draft(desk: Desk) -> None:
    """Seller drafts, buyer signs elsewhere: the loan's lender is the buyer."""
    loan = await take_loan(desk)
    await pass_days(desk, 5)
    pools = {one["lender_name"]: one["id"] for one in (await desk.read("pool", "show"))["items"]}
    draft = desk.folder / "sale.draft"
    told = await desk.order(
        "harbour", "assign", loan, "--seller-pool", pools["harbour"], "--buyer-pool", pools["jade"], "--price-minor",
        "1900000", "--cosigner", "jade", "-o", str(draft),
    )  # fmt: skip
    assert told["missing"] == ["jade"]
    await cosign(desk, draft, "jade")
    await desk.read("tx", "submit", str(draft), "--yes")
    assert (await desk.read("loan", "show", loan))["loan"]["lender_name"] == "jade"


async def cosign(desk: Desk, draft: Path, office: str) -> None:
    done = await desk.run("tx", "cosign", str(draft), "--officer-dir", str(desk.open_office(office)), "--yes")
    assert done.exit_code == EXIT_OK, done.output


async def test_a_lease_from_the_thing_to_its_extension(desk: Desk) -> None:
    """The supplier signs the acceptance, title passes to the lessor, and the residual is paid on after being shown."""
    identity = str(desk.open_office("identity"))
    await desk.order(
        "jade", "asset", "register", "--class", "vehicle", "--serial", "VIN-0001", "--issuer-dir", identity,
        "--value-minor", "3000000",
    )  # fmt: skip
    ((asset, _),) = desk.node.ledger.books.state.items(ASSETS)
    await publish(desk, "lease", segment="personal")
    found = await borrow(desk, 600_000, "--wish", f"asset:{asset.hex()}")
    taken = await desk.sign("accept", found["offer"], "--cosign-dir", str(desk.open_office("jade")), "--yes")
    loan = taken["loan"]
    shown = await desk.read("asset", "show", asset.hex())
    assert (shown["owner_name"], shown["lien"]) == ("harbour", loan)
    early = await desk.run(
        "lease", "end", loan, "extend", "--key", str(desk.key), "--passphrase-file", str(desk.secret), "--yes",
        "--node", desk.url,
    )  # fmt: skip
    assert "[option_unfit]" in early.stderr
    await fund(desk, 1_000_000)
    for _ in range(2):
        await pass_days(desk, 31)
        due = (await desk.read("loan", "show", loan))["loan"]["overdue"]
        await desk.sign("repay", loan, "--amount-minor", str(due), "--yes")
    said = await type_as(desk, "lease", "end", loan, "extend")
    assert "in 12 instalments" in said
    assert len((await desk.read("loan", "schedule", loan))["schedule"]) == 12


async def test_an_advance_takes_sales_reports(desk: Desk) -> None:
    """An advance repaid by sales is taken by its wish, and the lender reports whole days."""
    await publish(desk, "revenue", segment="personal")
    found = await borrow_advance(desk)
    loan = (await desk.sign("accept", found["offer"], "--yes"))["loan"]
    await pass_days(desk, 3)
    report = desk.folder / "sales.csv"
    report.write_text("day,gross\n")
    stood = await desk.read("loan", "show", loan)
    first = stood["sales"]["reported_to"]
    await desk.order(
        "harbour", "sales", "report", loan, "--from", _next_day(first), "--to", _next_day(first), "--gross-minor",
        "90000", "--report", str(report),
    )  # fmt: skip
    assert (await desk.read("loan", "show", loan))["sales"]["gross"] == 90_000


async def borrow_advance(desk: Desk) -> dict[str, Any]:
    async with attesting(desk.node):
        made = await desk.sign(
            "apply", str(desk.statement), "--amount-minor", "600000", "--periods", "1", "--every", "1d", "--wish",
            "sales:7200000", "--yes",
        )  # fmt: skip
        for _ in range(100):
            told = await desk.read("offers", made["application"])
            if told["offers"]:
                break
    assert told["offers"], [(one["reasons"], one["rule"]) for one in told["decisions"]]
    return {"offer": told["offers"][0]["id"]}


def _next_day(day: str) -> str:
    from datetime import date, timedelta

    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
