"""Figures of all loans through the API: who may read them, in which form, and that nobody else waits meanwhile."""

import asyncio
import csv
import io
import time
from collections.abc import Iterator

import msgspec
import pytest

from node.api import reports
from node.api.reports import CSV_TITLES, PortfolioView, RegulatorReportView, TrialBalanceView
from node.client.http import ApiError, NodeClient
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import ObjectId, TimeMs
from protocol.ledger.state import CONTRACTS, EXPOSURES, LOANS, replace
from tests.node.api.worldnode import serving
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import lend
from tests.protocol.ledger.world import World, make_signer

MANY = 20_000


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders, two persons, a merchant."""
    with lawful() as made:
        yield made


def lend_two(world: Goods) -> None:
    """Ann owes Harbour 600,000 and is 31 days late; Bob owes Harbour and Jade 300,000 since yesterday."""
    lend(world)
    world.pass_days(37)
    lend(world, "bob", amount=300_000, partner_ppm=400_000)
    world.pass_days(1)


def copy_loans(world: Goods, count: int) -> None:
    """As many further loans, equal but for their borrowers, in rows alone."""
    state = world.ledger.books.state
    (loan_id, loan), *_ = state.items(LOANS)
    contract = state.need(CONTRACTS, loan_id)
    exposure = state.need(EXPOSURES, contract.subject_tag)
    for index in range(count):
        number = index.to_bytes(8, "big")
        copy_id, tag = ObjectId(calculate_hash("copy", number)), calculate_hash("copy-tag", number)
        state.put(CONTRACTS, copy_id, replace(contract, subject_tag=tag))
        state.put(LOANS, copy_id, loan)
        state.put(EXPOSURES, tag, replace(exposure, loans=(copy_id,)))
    state.keep()


async def read_report(client: NodeClient, world: World, signer: KeySigner) -> bytes:
    return await client.call("GET", "/v1/regulator/report", signer=signer, now_ms=lambda: TimeMs(world.now_ms))


# ---------------------------------------------------------------------- figures


async def test_a_portfolio_of_all_of_a_lender_and_of_a_pool(world: Goods) -> None:
    """The figures of the ledger's own test, by the names of the API; buckets without loans are there with zeros."""
    lend_two(world)
    jade, pool = world.account("jade").hex(), world.pool_id("jade").hex()
    async with serving(world) as client:
        whole = msgspec.json.decode(await client.call("GET", "/v1/portfolio"), type=PortfolioView)
        assert (whole.held.loans, whole.held.principal) == (2, 900_000)
        assert (len(whole.by_bucket), len(whole.by_class), len(whole.by_state)) == (9, 5, 9)
        assert whole.by_bucket["to_60"].principal == 600_000
        assert (whole.by_bucket["above_360"].loans, whole.by_stage["2"].principal) == (0, 600_000)
        assert [one.principal for one in whole.vintages] == [600_000, 300_000]
        assert whole.height == world.ledger.height
        for query, name in (({"lender": jade}, "jade"), ({"pool": pool}, None)):
            part = await client.get("/v1/portfolio", **query)
            assert (part["held"], part["lender_name"]) == ({"loans": 1, "principal": 120_000}, name)
        nothing = await client.get("/v1/portfolio", lender=world.account("ann").hex())
        assert (nothing["held"], nothing["vintages"]) == ({"loans": 0, "principal": 0}, [])


async def test_a_portfolio_as_a_table(world: Goods) -> None:
    """Every figure of the JSON is a line of the CSV (RFC 4180), under the same names."""
    lend_two(world)
    async with serving(world) as client:
        view = await client.get("/v1/portfolio")
        raw = await client.call("GET", "/v1/portfolio", query={"format": "csv"})
    titles, *lines = list(csv.reader(io.StringIO(raw.decode())))
    assert tuple(titles) == CSV_TITLES
    table = {(line[0], line[1]): line[2:] for line in lines}
    assert table["held", "all"][:3] == ["CNY", "2", "900000"]
    for name in ("bucket", "class", "stage", "kind", "product", "state"):
        for label, figure in view[f"by_{name}"].items():
            assert table[name, label][1:3] == [str(figure["loans"]), str(figure["principal"])]
    for one in view["vintages"]:
        late = one["late_30"]
        figures = (one["loans"], one["principal"], one["disbursed"], late["loans"], late["principal"])
        assert table["vintage", one["month"]][1:] == [*map(str, figures), str(one["ever_late_30"])]
    assert raw.count(b"\r\n") == len(lines) + 1


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"format": "xml"}, 400, "malformed_request"),
        ({"lender": "x"}, 400, "malformed_id"),
        ({"pool": "AB" * 32}, 400, "malformed_id"),
        ({"lender": "ab" * 32, "pool": "ab" * 32}, 400, "malformed_request"),
        ({"lender": "ab" * 32}, 404, "not_found"),
        ({"pool": "ab" * 32}, 404, "not_found"),
    ],
)
async def test_wrong_parameters_are_problems(world: Goods, query: dict[str, str], status: int, code: str) -> None:
    """Nothing but an answer or a problem of the table."""
    async with serving(world) as client:
        with pytest.raises(ApiError) as caught:
            await client.get("/v1/portfolio", **query)
    assert (caught.value.status, caught.value.code) == (status, code)


async def test_the_supervisors_report(world: Goods) -> None:
    """Shares at risk, concentration and borrowers of several lenders, in all and by lender, largest first."""
    lend_two(world)
    async with serving(world) as client:
        raw = await read_report(client, world, make_signer("eye"))
    told = msgspec.json.decode(raw, type=RegulatorReportView)
    total = told.total
    assert (total.held.principal, total.par30.principal, total.par30_ppm) == (900_000, 600_000, 666_666)
    assert (total.par60_ppm, total.par90_ppm, total.npl_ppm, total.restructured_ppm) == (0, 0, 0, 0)
    assert (total.borrowers, total.top_borrowers_ppm, total.borrower_hhi_ppm) == (2, 1_000_000, 555_555)
    assert [(one.lender_name, one.share_ppm) for one in told.lenders] == [("harbour", 866_666), ("jade", 133_333)]
    assert (told.largest_lender_ppm, told.lender_hhi_ppm) == (866_666, 768_888)
    assert told.lenders[0].figures.par30_ppm == 769_230
    assert (told.owe_several.loans, told.debt_cap) == (0, 1_500_000)
    assert [(step.from_ppm, step.to_ppm, step.borrowers) for step in told.exposure] == [
        (0, 250_000, 1),
        (250_000, 500_000, 1),
        (500_000, 750_000, 0),
        (750_000, 900_000, 0),
        (900_000, 1_000_000, 0),
        (1_000_000, None, 0),
    ]


async def test_the_report_is_for_validators_and_observers(world: Goods) -> None:
    """A validator and the observer read it; an agent, a borrower, a stranger and nobody do not."""
    async with serving(world) as client:
        for name in ("harbour", "jade/node", "plum/validator", "eye"):
            assert await read_report(client, world, make_signer(name))
        for name in ("agent", "issuer", "court", "ann", "stranger"):
            with pytest.raises(ApiError) as caught:
                await read_report(client, world, make_signer(name))
            assert (caught.value.status, caught.value.code) == (403, "not_permitted")
        with pytest.raises(ApiError) as caught:
            await client.get("/v1/regulator/report")
        assert caught.value.code == "signature_missing"


async def test_no_report_names_a_borrower(world: Goods) -> None:
    """Neither accounts nor subject tags of borrowers stand in any of them."""
    lend_two(world)
    async with serving(world) as client:
        texts = [
            await client.call("GET", "/v1/portfolio"),
            await client.call("GET", "/v1/portfolio", query={"format": "csv"}),
            await read_report(client, world, make_signer("eye")),
        ]
    for name in ("ann", "bob"):
        for found in (world.account(name), calculate_hash("tag", name.encode())):
            assert all(found.hex().encode() not in text for text in texts)


async def test_all_books_balance(world: Goods) -> None:
    """Debits equal credits in every currency, loans, cover and pools included."""
    lend_two(world)
    async with serving(world) as client:
        view = msgspec.json.decode(await client.call("GET", "/v1/trial-balance"), type=TrialBalanceView)
    assert view.balanced
    assert sum(line.debit - line.credit for line in view.lines) == 0
    sums = {line.book: line.debit - line.credit for line in view.lines}
    assert sums["principal"] == 900_000


# ---------------------------------------------------------------------- time


async def test_a_survey_follows_the_books(world: Goods) -> None:
    """What a block changed is in the next report, once the last one has served its time."""
    async with serving(world) as client:
        assert (await client.get("/v1/portfolio"))["held"]["loans"] == 0
        lend(world)
        for _ in range(100):
            view = await client.get("/v1/portfolio")
            if view["held"]["loans"]:
                break
            await asyncio.sleep(0.01)
        assert (view["held"]["principal"], view["height"]) == (600_000, world.ledger.height)


async def test_nobody_waits_for_a_report_over_many_loans(world: Goods, monkeypatch: pytest.MonkeyPatch) -> None:
    """While 20,000 loans are surveyed others wait for 100 ms of work at most; all askers share one survey."""
    lend(world)
    copy_loans(world, MANY)
    begun: list[int] = []
    make = reports._make_survey

    def counted(books: reports.Books) -> object:
        begun.append(books.height)
        return make(books)

    monkeypatch.setattr(reports, "_make_survey", counted)
    async with serving(world) as client:
        await client.get("/v1/status")
        asked = [asyncio.create_task(client.get("/v1/portfolio")) for _ in range(3)]
        asked.append(asyncio.create_task(client.call("GET", "/v1/portfolio", query={"format": "csv"})))
        waits: list[float] = []
        while not all(one.done() for one in asked):
            sent = time.thread_time()
            await client.get("/v1/status")
            waits.append(time.thread_time() - sent)
        view = await asked[0]
        assert view["held"] == {"loans": MANY + 1, "principal": 600_000 * (MANY + 1)}
        assert [await one == view for one in asked[1:3]] == [True, True]
    assert len(begun) == 1
    assert len(waits) > 3, "requests came in between"
    # One slow turn of a shared machine is no proof against it.
    assert sorted(waits)[-2] < 0.1, sorted(waits)[-3:]
    take_back(world)


async def test_books_go_on_under_a_survey(world: Goods) -> None:
    """Blocks that are executed while it is made do not reach it: it is of the height it names."""
    lend(world)
    copy_loans(world, 5_000)
    height = world.ledger.height
    async with serving(world) as client:
        asked = asyncio.create_task(client.get("/v1/portfolio"))
        await asyncio.sleep(0.03)
        assert not asked.done()
        world.must("harbour", world.product(world.pool_id("harbour"), name="later"))
        lend(world, "bob")
        view = await asked
    assert (view["height"], view["held"]["loans"]) == (height, 5_001)
    take_back(world)


async def test_who_goes_away_ends_no_survey(world: Goods) -> None:
    """The first asker's deadline passes; the second gets the report that the first began."""
    lend(world)
    copy_loans(world, 5_000)
    async with serving(world) as client:
        first = asyncio.create_task(client.get("/v1/portfolio"))
        await asyncio.sleep(0.03)
        first.cancel()
        assert (await client.get("/v1/portfolio"))["held"]["loans"] == 5_001
    take_back(world)


def take_back(world: Goods) -> None:
    """Leave only loans that were really made, so that the laws hold in the end."""
    state = world.ledger.books.state
    for index in range(MANY):
        number = index.to_bytes(8, "big")
        copy_id, tag = ObjectId(calculate_hash("copy", number)), calculate_hash("copy-tag", number)
        if state.get(LOANS, copy_id) is None:
            break
        state.delete(LOANS, copy_id)
        state.delete(CONTRACTS, copy_id)
        state.delete(EXPOSURES, tag)
    state.keep()
