"""What readers see of loans of every kind: terms before they are signed, standing, trouble, and what money moved."""

from collections.abc import Iterator
from typing import Any

import pytest

from node.client.http import ApiError
from node.client.offers import check_offer
from protocol.codec import decode
from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.contracts import Disclosure
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.reports import name_kind
from protocol.money import Amount, Ppm
from protocol.transactions.lending import Purchase
from protocol.transactions.pools import PoolExit
from protocol.transactions.products import BandPrice, MerchantKind
from protocol.transactions.servicing import (
    AmendPropose,
    DisputeCode,
    DisputeOpen,
    Treatment,
)
from tests.node.api.worldnode import serving
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.kinds import Kinds, lawful_kinds
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, give_cover, lend, set_pool
from tests.protocol.ledger.world import make_signer


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders, two persons, a merchant."""
    with lawful() as made:
        yield made


@pytest.fixture
def kinds() -> Iterator[Kinds]:
    """The same, with rates high enough for lines and shares of sales."""
    with lawful_kinds() as made:
        yield made


def propose(loan: ObjectId, **fields: Any) -> AmendPropose:
    plain: dict[str, Any] = {
        "loan": loan,
        "instalments": 20,
        "rate_ppm": Ppm(50_000),
        "forgiven": Amount(0),
        "interest": Treatment.CAPITALISE,
        "fees": Treatment.CARRY,
        "penalties": Treatment.WAIVE,
        "valid_days": 10,
    }
    return AmendPropose(**{**plain, **fields})


async def test_an_offer_tells_its_lease(world: Goods) -> None:
    """Thing, supplier, deposit, residual and end options stand beside the whole cost; the hash is over the same."""
    asset = world.register("shop", "A-1")
    offer = world.ask_lease("ann", world.publish_lease(), asset)
    assert offer is not None
    async with serving(world) as client:
        view = await client.get(f"/v1/offers/{offer.hex()}")
        lease = view["special"]["lease"]
        assert (view["kind"], view["instalments"], len(view["schedule"])) == ("lease", 4, 4)
        assert (lease["asset"], lease["supplier"]) == (asset.hex(), world.account("shop").hex())
        assert (lease["deposit"], lease["residual"]) == (60_000, 300_000)
        assert (lease["may_return"], lease["may_buy"], lease["extend_instalments"]) == (True, True, 6)
        assert view["special"]["purchase"] is None
        assert check_offer(view) == calculate_terms_hash(decode(bytes.fromhex(view["disclosure"]), Disclosure))
        for name in ("kind", "default_days", "materiality"):
            assert check_offer({**view, name: "other"}) == name


async def test_an_offer_tells_its_merchant_partners_and_guarantors(world: Goods) -> None:
    """A purchase names who is paid; a shared loan its partners; a guaranteed and secured one both."""
    free = (BandPrice(rate_ppm=Ppm(0), amount_max=Amount(2_000_000)),) * 4
    product = world.publish(
        "harbour",
        kind=MerchantKind(discount_ppm=Ppm(30_000)),
        bands=free,
        period_every=2,
        origination_fee_ppm=Ppm(0),
        late_rate_ppm=Ppm(0),
    )
    wish = Purchase(merchant=world.account("shop"))
    offer = world.ask("ann", product, amount=300_000, wish=wish, instalments=4, period_every=2)
    asset = world.register("bob", "B-1")
    pledged = world.ask("bob", world.products["jade"], collateral=(asset,), guarantors=(world.account("ann"),))
    assert offer is not None
    assert pledged is not None
    loan = lend(world, partner_ppm=400_000)
    async with serving(world) as client:
        view = await client.get(f"/v1/offers/{offer.hex()}")
        assert view["special"]["purchase"] == {"merchant": world.account("shop").hex(), "discount": 9_000}
        assert (view["kind"], view["fees"], view["total_cost"]) == ("purchase", [], 0)
        view = await client.get(f"/v1/offers/{pledged.hex()}")
        assert (view["collateral"], view["guarantors"]) == ([asset.hex()], [world.account("ann").hex()])
        assert view["fees"] == [{"kind": "origination", "amount": 3_000}]
        shared = await client.get(f"/v1/loans/{loan.hex()}")
        view = await client.get(f"/v1/offers/{shared['offer']}")
        (partner,) = view["partners"]
        assert (partner["lender_name"], partner["share_ppm"]) == ("jade", 400_000)
        held = [(one["lender_name"], one["share_ppm"], one["principal"]) for one in shared["holdings"]]
        assert held == [("harbour", 600_000, 360_000), ("jade", 400_000, 240_000)]
        by_jade = await client.get("/v1/loans", lender=world.account("jade").hex())
        assert [one["id"] for one in by_jade["items"]] == [loan.hex()]


async def test_a_loan_that_is_late_says_so(world: Goods) -> None:
    """Forty days: 33 past due, of stage 2, with what is overdue, due next, and what closes it; parts of each row."""
    loan = lend(world)
    world.pass_days(40)
    async with serving(world) as client:
        view = await client.get(f"/v1/loans/{loan.hex()}")
    one = view["loan"]
    assert (one["state"], one["kind"], one["days_past_due"], one["bucket"]) == ("active", "term", 33, "to_60")
    assert (one["asset_class"], one["stage"], one["on_hold"]) == ("special_mention", 2, False)
    late = [row for row in view["schedule"] if row["due_on"] < one["today"]]
    assert one["overdue"] == sum(row["unpaid"] for row in late) > 0
    assert one["next_due"] == one["overdue"] + view["schedule"][len(late)]["unpaid"]
    for row in view["schedule"]:
        assert row["due"] == sum(row[f"{part}_due"] for part in ("principal", "interest", "fee", "penalty"))
        assert row["paid"] == sum(row[f"{part}_paid"] for part in ("principal", "interest", "fee", "penalty")) == 0
    assert (view["default"], view["dispute"], view["amendments"], view["autopay"]) == (None, None, [], False)


async def test_a_defaulted_loan_tells_its_facts(world: Goods) -> None:
    """Cover, loss, claim and what came back; the claim is what closes it, and nothing falls due any more."""
    set_pool(world, rate=100_000)
    give_cover(world, 60_000)
    loan = lend(world)
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loan))
    world.mint("ann", 100_000)
    assert world.pay("ann", loan, 100_000).rejection is None
    world.pass_days(10)
    async with serving(world) as client:
        view = await client.get(f"/v1/loans/{loan.hex()}")
    one, told = view["loan"], view["default"]
    assert (one["state"], one["days_past_due"], one["asset_class"], one["stage"]) == (
        "defaulted",
        100,
        "substandard",
        3,
    )
    assert (told["days_past_due"], told["arbiter"], told["recovered"]) == (90, None, 100_000)
    assert (told["covered"], told["lost"], told["costs"]) == (60_000, 440_000, 0)
    assert one["payoff"] == one["overdue"] == sum(row["unpaid"] for row in view["schedule"])
    assert (one["next_due_on"], one["next_due"]) == (None, 0)


async def test_history_comes_page_by_page_with_its_postings(world: Goods) -> None:
    """Two events a page cover all of them once; each entry of money balances."""
    loan = lend(world)
    for _ in range(3):
        world.mint("ann", 10_000)
        assert world.pay("ann", loan, 10_000).rejection is None
    async with serving(world) as client:
        whole = (await client.get(f"/v1/loans/{loan.hex()}"))["history"]
        found: list[Any] = []
        after: dict[str, str] = {}
        while True:
            page = await client.get(f"/v1/loans/{loan.hex()}/history", limit="2", **after)
            found += page["items"]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert found == whole
        assert sum(one["kind"] == "paid" for one in found) == 3
        for one in found:
            sides = one["data"].get("postings", [])
            assert sum(side["debit"] - side["credit"] for side in sides) == 0
        for query, code in (({"after": "x"}, "malformed_request"), ({"limit": "0"}, "malformed_request")):
            with pytest.raises(ApiError) as caught:
                await client.get(f"/v1/loans/{loan.hex()}/history", **query)
            assert caught.value.code == code


async def test_disputes_and_amendments_stand_under_their_loan(world: Goods) -> None:
    """A dispute holds, an amendment waits and can be quoted: its bytes hash to what accepting it would sign."""
    loan = lend(world)
    world.pass_days(20)
    world.must(
        "ann",
        DisputeOpen(loan=loan, code=DisputeCode.SERVICE, amount=Amount(5_000), evidence=calculate_hash("letter")),
    )
    dispute = world.made("dispute", "ann")
    world.must("harbour", propose(loan))
    amendment = world.made("amendment", "harbour")
    world.must("ann", propose(loan, settle=Amount(100_000)))
    settlement = world.made("amendment", "ann")
    async with serving(world) as client:
        view = await client.get(f"/v1/loans/{loan.hex()}")
        assert (view["dispute"], view["loan"]["on_hold"]) == (dispute.hex(), True)
        assert view["amendments"] == [amendment.hex(), settlement.hex()]
        (told,) = (await client.get(f"/v1/loans/{loan.hex()}/disputes"))["items"]
        assert told == await client.get(f"/v1/disputes/{dispute.hex()}")
        assert (told["side"], told["code"], told["amount"], told["resolved"]) == ("borrower", "service", 5_000, False)
        both = (await client.get(f"/v1/loans/{loan.hex()}/amendments"))["items"]
        assert {one["id"] for one in both} == {amendment.hex(), settlement.hex()}
        assert {one["state"] for one in both} == {"open"}
        told = await client.get(f"/v1/amendments/{amendment.hex()}")
        assert (told["proposer_name"], told["instalments"], told["penalties"]) == ("harbour", 20, "waive")
        quote = await client.get(f"/v1/amendments/{amendment.hex()}/quote")
        disclosure = decode(bytes.fromhex(quote["disclosure"]), Disclosure)
        assert (len(disclosure.instalments), calculate_terms_hash(disclosure).hex()) == (20, quote["terms_hash"])
        for path in (f"/v1/amendments/{settlement.hex()}/quote", f"/v1/loans/{loan.hex()}/extension"):
            with pytest.raises(ApiError) as caught:
                await client.get(path)
            assert (caught.value.status, caught.value.code) == (409, "no_terms")
        world.pass_days(11)
        assert (await client.get(f"/v1/amendments/{amendment.hex()}"))["state"] == "gone"


async def test_a_leases_extension_can_be_quoted(world: Goods) -> None:
    """The residual over six fortnights from today, as bytes whose hash a lessee signs."""
    loan = world.lease()
    async with serving(world) as client:
        quote = await client.get(f"/v1/loans/{loan.hex()}/extension")
    disclosure = decode(bytes.fromhex(quote["disclosure"]), Disclosure)
    assert (len(disclosure.instalments), disclosure.schedule.principal) == (6, 300_000)
    assert (name_kind(disclosure), calculate_terms_hash(disclosure).hex()) == ("lease", quote["terms_hash"])


async def test_things_can_be_read_as_loans_can(world: Goods) -> None:
    """A leased car: title with the lessor, tied to its loan; listed by owner; no serial number in clear."""
    loan = world.lease()
    asset = world.leased(loan)
    async with serving(world) as client:
        view = await client.get(f"/v1/assets/{asset.hex()}")
        assert (view["owner_name"], view["lien"], view["value"]) == ("harbour", loan.hex(), 700_000)
        assert (view["held"], view["retired"]) == ([], False)
        listed = await client.get("/v1/assets", owner=world.account("harbour").hex())
        assert listed["items"] == [view]
        assert (await client.get("/v1/assets", owner=world.account("ann").hex()))["items"] == []


async def test_a_line_shows_what_may_be_drawn(kinds: Kinds) -> None:
    """Limit, undrawn and draws; exposure counts it all; a draw can be quoted, and names its line."""
    line = kinds.open_line()
    loan = kinds.drawn(line, 200_000)
    tag = calculate_hash("tag", b"ann").hex()
    async with serving(kinds) as client:
        view = await client.get(f"/v1/lines/{line.hex()}")
        assert (view["limit"], view["undrawn"], view["closed"]) == (600_000, 400_000, False)
        assert (view["lender_name"], view["draw_min"], view["draws"]) == ("harbour", 10_000, [loan.hex()])
        assert (await client.get("/v1/lines", borrower=kinds.account("ann").hex()))["items"] == [view]
        assert (await client.get("/v1/lines", borrower=kinds.account("bob").hex()))["items"] == []
        seen = await client.get_signed(f"/v1/exposure/{tag}", make_signer("eye"), lambda: kinds.now_ms)
        assert (seen["principal_open"], seen["undrawn"], seen["debt"]) == (200_000, 400_000, 600_000)
        assert (seen["lines"], seen["loans"], seen["lenders"]) == ([line.hex()], [loan.hex()], ["harbour"])
        offered = await client.get(f"/v1/offers/{view['offer']}")
        assert (offered["kind"], offered["special"]["line"]) == ("line", {"days": 90, "draw_min": 10_000})
        drawn = await client.get(f"/v1/loans/{loan.hex()}")
        assert (drawn["loan"]["kind"], drawn["special"]["drawn_on"]) == ("line_draw", line.hex())
        path = f"/v1/lines/{line.hex()}/quote"
        quote = await client.get(path, amount="100000", instalments="12")
        disclosure = decode(bytes.fromhex(quote["disclosure"]), Disclosure)
        assert (disclosure.schedule.principal, calculate_terms_hash(disclosure).hex()) == (100_000, quote["terms_hash"])
        for query, code in (
            ({"amount": "100000"}, "malformed_request"),
            ({"amount": "0", "instalments": "12"}, "malformed_request"),
            ({"amount": "100000", "instalments": "481"}, "malformed_request"),
        ):
            with pytest.raises(ApiError) as caught:
                await client.get(path, **query)
            assert caught.value.code == code


async def test_an_advance_tells_how_sales_go(kinds: Kinds) -> None:
    """Share, price and floor before it is taken; reports, payments and a breach afterwards."""
    loan = kinds.advance()
    kinds.pass_days(3)
    assert kinds.report("harbour", loan, gross=30_000) is None
    async with serving(kinds) as client:
        view = await client.get(f"/v1/loans/{loan.hex()}")
        told = view["special"]["revenue_share"]
        assert (view["loan"]["kind"], told["discount"], told["payment"]) == ("revenue_share", 100_000, 5_000)
        assert (told["share_ppm"], told["floor_ppm"], told["term_days_max"]) == (180_000, 300_000, 360)
        assert (view["sales"]["gross"], view["sales"]["shared"], view["sales"]["breached_on"]) == (30_000, 5_400, None)
        kinds.pass_days(40)
        view = await client.get(f"/v1/loans/{loan.hex()}")
        assert view["sales"]["breached_on"] is not None
        assert view["loan"]["days_past_due"] > 0
        assert view["loan"]["days_past_due"] == (await client.get("/v1/loans"))["items"][0]["days_past_due"]
        portfolio = await client.get("/v1/portfolio")
        assert portfolio["by_kind"] == {"revenue_share": {"loans": 1, "principal": 900_000}}


async def test_a_guarantors_exposure_names_what_is_guaranteed(world: Goods) -> None:
    """Half of 600,000 weighs on the guarantor, who owes nothing."""
    offer = world.ask("ann", world.products["harbour"], guarantors=(world.account("bob"),))
    assert world.take("ann", offer, cosigners=("bob",)).rejection is None
    loan, tag = world.made("loan", "ann"), calculate_hash("tag", b"bob")
    async with serving(world) as client:
        seen = await client.get_signed(f"/v1/exposure/{tag.hex()}", make_signer("eye"), lambda: world.now_ms)
    assert (seen["principal_open"], seen["guaranteed"], seen["debt"]) == (0, 600_000, 300_000)
    assert seen["guarantees"] == [loan.hex()]


async def test_a_pool_shows_both_prices_and_its_cover(world: Goods) -> None:
    """Haircuts lower what leaving pays; cover above what is needed could be taken out; shares that wait are told."""
    set_pool(world, rate=100_000, fee=50_000)
    give_cover(world, 80_000)
    lend(world)
    world.must("harbour", PoolExit(pool=world.pool_id("harbour"), shares=1_000_000))
    leaving = world.made("exit", "harbour")
    async with serving(world) as client:
        pool = await client.get(f"/v1/pools/{world.pool_id('harbour').hex()}")
        (waits,) = (await client.get(f"/v1/accounts/{world.account('harbour').hex()}/exits"))["items"]
    assert pool["net_asset_value"] == pool["cash"] + 600_000
    assert (pool["haircut"], pool["net_asset_value"] - pool["net_asset_value_out"]) == (6_000, 6_000)
    # A tenth of 600,000 lent and of the fee that is kept ready for a withdrawal.
    assert (pool["cover"], pool["cover_needed"], pool["reserved"]) == (80_000, 60_300, 3_000)
    assert (pool["cover_rate_ppm"], pool["fee_ppm"], pool["exiting"]) == (100_000, 50_000, 1_000_000)
    assert pool["exits_due_ms"] == waits["due_ms"]
    assert (waits["id"], waits["shares"], waits["paid"]) == (leaving.hex(), 1_000_000, 0)


@pytest.mark.parametrize("kind", ["lines", "assets", "disputes", "amendments"])
async def test_what_is_not_there_is_not_found(world: Goods, kind: str) -> None:
    """404 for an id that nothing has, 400 for what is no id."""
    async with serving(world) as client:
        for given, code in (("ab" * 32, "not_found"), ("x", "malformed_id")):
            with pytest.raises(ApiError) as caught:
                await client.get(f"/v1/{kind}/{given}")
            assert caught.value.code == code
