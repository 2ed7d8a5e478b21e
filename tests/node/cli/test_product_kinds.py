"""Product files of every kind: the example of each can be published, and each mistake in it names its key."""

from datetime import date
from pathlib import Path

import pytest

from node.cli.productfile import ProductFileError, find_product_faults, make_product, read_product_file
from node.cli.producttemplate import KINDS, format_template
from protocol.ids import Day, ModelId, ObjectId
from protocol.ledger.state import PRODUCTS
from protocol.transactions.products import LeaseKind, LineKind, MerchantKind, Partner, RevenueKind, TermKind
from tests.node.api.harness import make_genesis
from tests.node.cli.terminal import Desk

EXPIRES = date(2030, 1, 1)
TODAY = Day(date(2029, 1, 1).toordinal())
KIND_OF = {
    "term": TermKind(),
    "revenue": RevenueKind(
        share_ppm=100_000, volume_days=360, floor_ppm=500_000, warning_ppm=800_000, term_days_max=365  # type: ignore[arg-type]
    ),
    "line": LineKind(days=365, draw_min=50_000),  # type: ignore[arg-type]
    "lease": LeaseKind(
        residual_ppm=300_000, deposit_ppm=100_000, may_return=True, may_buy=True, extend_instalments=12  # type: ignore[arg-type]
    ),
    "merchant": MerchantKind(discount_ppm=30_000),  # type: ignore[arg-type]
}  # fmt: skip


def find_faults(folder: Path, text: str) -> list[str]:
    """What reading a file, or the network, has against it."""
    path = folder / "product.toml"
    path.write_text(text, encoding="utf-8")
    try:
        return find_product_faults(read_product_file(path), make_genesis(), TODAY)
    except ProductFileError as error:
        return str(error).splitlines()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_example_of_each_kind_is_taken_by_the_ledger(desk: Desk, kind: str) -> None:
    """Template, publish, done: the ledger takes each kind as it stands, and every figure reaches the terms."""
    path = desk.folder / f"{kind}.toml"
    made = await desk.run("product", "template", "--kind", kind, "--out", str(path))
    assert made.exit_code == 0, made.output
    # The template is on sale for a year from the clock on the wall; the network here lives in another one.
    path.write_text(path.read_text().replace(read_product_file(path).expires_on.isoformat(), "2027-01-01"))
    told = await desk.order("harbour", "product", "publish", str(path))
    product = desk.node.ledger.books.state.need(PRODUCTS, bytes.fromhex(told["product"]))
    assert product.terms.kind == KIND_OF[kind]
    assert product.terms.default_days == 90


@pytest.mark.parametrize(
    ("kind", "old", "new", "key"),
    [
        ("lease", 'amortisation = "balloon"', 'amortisation = "level"', "amortisation"),
        ("lease", "\nresidual_ppm = 300_000", "\nresidual_ppm = 0", "lease.residual_ppm"),
        ("lease", "\ndeposit_ppm = 100_000", "\ndeposit_ppm = 1_000_000", "lease.deposit_ppm"),
        ("lease", "\nmay_buy = true", "\nmay_buy = 1", "lease.may_buy"),
        ("lease", "\nmay_buy = true", "\nmay_sell = true", "lease.may_sell"),
        ("lease", "\nmay_buy = true", "", "lease.may_buy"),
        ("lease", "\nextend_instalments = 12", "\nextend_instalments = 481", "lease.extend_instalments"),
        ("revenue", 'every = "1d"', 'every = "1m"', "every"),
        ("revenue", 'amortisation = "bullet"', 'amortisation = "level"', "amortisation"),
        ("revenue", "instalments_max = 1\n", "instalments_max = 2\n", "instalments_max"),
        ("revenue", "\nshare_ppm = 100_000", "\nshare_ppm = 0", "revenue.share_ppm"),
        ("revenue", "\nfloor_ppm = 500_000", "\nfloor_ppm = 900_000", "revenue.warning_ppm"),
        ("revenue", "\nvolume_days = 360", "\nvolume_days = 30", "revenue.volume_days"),
        ("line", "\ndraw_min_minor = 50_000", "\ndraw_min_minor = 200_000", "line.draw_min_minor"),
        ("line", 'amortisation = "level"', 'amortisation = "balloon"', "amortisation"),
        ("merchant", "\ndiscount_ppm = 30_000", "\ndiscount_ppm = 1_000_000", "merchant.discount_ppm"),
        ("merchant", "# [line] ", "[line] ", "line.days"),
        ("term", "# [term] ", "[term] ", None),
        ("term", "# [term] ", "[term]\nresidual_ppm = 5 #", "term.residual_ppm"),
        ("term", "# [merchant] ", "[merchant]\ndiscount_ppm = 5\n[line]\ndays = 5\ndraw_min_minor = 5 #", "merchant"),
    ],
)
def test_what_does_not_fit_the_kind_names_its_key(
    tmp_path: Path, kind: str, old: str, new: str, key: str | None
) -> None:
    """A table's wrong, missing and unknown keys, and common keys that do not go with it."""
    text = format_template(EXPIRES, kind)
    assert old in text
    faults = find_faults(tmp_path, text.replace(old, new, 1))
    if key is None:
        assert faults == []
    else:
        assert any(one.startswith(f"{key}:") for one in faults), faults


def write_partners(*partners: tuple[str, int]) -> str:
    tables = "".join(f'\n[[partners]]\npool = "{pool}"\nshare_ppm = {share}\n' for pool, share in partners)
    return format_template(EXPIRES) + tables


@pytest.mark.parametrize(
    ("partners", "key"),
    [
        ([("ab" * 32, 300_000), ("ab" * 32, 1)], "partners[1].pool"),
        ([("ab" * 32, 0)], "partners[0].share_ppm"),
        ([("ab" * 32, 600_000), ("cd" * 32, 400_000)], "partners"),
        ([("xy" * 32, 300_000)], "partners[0].pool"),
        ([("ab" * 32, 1_000_001)], "partners[0].share_ppm"),
    ],
)
def test_partners_that_cannot_be_name_their_key(tmp_path: Path, partners: list[tuple[str, int]], key: str) -> None:
    """A pool named twice, no share, and shares that leave the lead nothing."""
    faults = find_faults(tmp_path, write_partners(*partners))
    assert any(one.startswith(f"{key}:") for one in faults), faults


def test_partners_stand_in_the_order_of_their_pools(tmp_path: Path) -> None:
    """The ledger wants them by pool id; a file may name them as it likes."""
    path = tmp_path / "product.toml"
    path.write_text(write_partners(("cd" * 32, 100_000), ("ab" * 32, 200_000)))
    terms = make_product(read_product_file(path), pool=ObjectId(bytes(32)), model=ModelId(bytes(32)))
    assert terms.partners == (
        Partner(pool=ObjectId(b"\xab" * 32), share_ppm=200_000),  # type: ignore[arg-type]
        Partner(pool=ObjectId(b"\xcd" * 32), share_ppm=100_000),  # type: ignore[arg-type]
    )


async def test_a_shared_product_is_published_by_a_draft(desk: Desk) -> None:
    """The partner's owner signs elsewhere: draft, cosign, submit."""
    pools = (await desk.read("pool", "show"))["items"]
    jade = next(one["id"] for one in pools if one["lender_name"] == "jade")
    path, draft = desk.folder / "product.toml", desk.folder / "product.draft"
    path.write_text(write_partners((jade, 300_000)).replace("2030-01-01", "2027-01-01"))
    told = await desk.order("harbour", "product", "publish", str(path), "--cosigner", "jade", "--draft", str(draft))
    assert told["missing"] == ["jade"]
    done = await desk.run("tx", "cosign", str(draft), "--officer-dir", str(desk.open_office("jade")), "--yes")
    assert done.exit_code == 0, done.output
    assert jade in done.stderr
    await desk.read("tx", "submit", str(draft), "--yes")
    assert len((await desk.read("product", "list"))["items"]) == 3
