"""Each verb signs the payload that its words say, and shows it before. The ledger's answer is other tests' matter."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from node.cli import sign
from node.cli.common import EXIT_OK, EXIT_USAGE
from node.client.subject import calculate_serial_tag
from node.client.wallet import Intent
from protocol.codec import decode
from protocol.crypto import KeySigner, calculate_account_id, calculate_hash
from protocol.ids import ZERO_DIGEST, Day, Digest, ObjectId, PublicKey
from protocol.ledger.assets import calculate_asset_id
from protocol.loans.delinquency import AssetClass
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Currency, Ppm
from protocol.transactions.accounts import CredentialOperation, CredentialSet, KeyRecoverCancel
from protocol.transactions.assets import (
    AssetRegister,
    AssetRetire,
    AssetSeize,
    AssetSell,
    AssetTransfer,
    LeaseEnd,
    LeaseEndOption,
)
from protocol.transactions.data import ConsentRevoke, DataErase, ErasureReceipt
from protocol.transactions.envelope import SignedTransaction, TransactionBody
from protocol.transactions.governance import Freeze, ModelRetire, PauseSet, Propose
from protocol.transactions.lending import ApplyWithdraw, OfferCancel, OfferDecline
from protocol.transactions.pools import CoverDeposit, CoverWithdraw, PoolExit, PoolExitCancel, PoolSet
from protocol.transactions.servicing import (
    AdjustKind,
    AmendPropose,
    Assign,
    AutopaySet,
    DisputeCode,
    DisputeOpen,
    DistressKind,
    LoanAdjust,
    LoanDistress,
    LoanSettle,
    Pay,
    PaymentSource,
    SalesReport,
    SettleOutcome,
    Treatment,
)
from tests.node.api.harness import CNY, TODAY, make_seed
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk

AB = "ab" * 32
THING = ObjectId(bytes.fromhex(AB))
PAPERS = b"papers"
MARK = Digest(hashlib.sha256(PAPERS).digest())
LENT = 2_000_000


class Signed(NamedTuple):
    """What a command would have sent."""

    payload: Any
    sender: PublicKey
    cosigners: tuple[PublicKey, ...]


class Catch:
    """Stands in for the network: keeps what is signed and sends nothing."""

    def __init__(self) -> None:
        self.signed: list[Signed] = []

    async def settle(self, _client: Any, intents: Sequence[Intent]) -> None:
        for one in intents:
            body = decode(decode(one.item.transaction, SignedTransaction).body, TransactionBody)
            self.signed.append(Signed(body.payload, body.sender, body.cosigners))


@pytest.fixture
def catch(monkeypatch: pytest.MonkeyPatch) -> Catch:
    """Nothing leaves the desk."""
    found = Catch()
    monkeypatch.setattr(sign, "_settle", found.settle)
    return found


async def borrow(desk: Desk) -> ObjectId:
    """A loan of the borrower, by commands."""
    async with attesting(desk.node):
        made = await desk.sign(
            "apply", str(desk.statement), "--amount-minor", str(LENT), "--periods", "12", "--yes",
        )  # fmt: skip
        told = await desk.read("offers", made["application"])
    taken = await desk.sign("accept", told["offers"][0]["id"], "--yes")
    return ObjectId(bytes.fromhex(taken["loan"]))


def get_key(name: str) -> PublicKey:
    return KeySigner(make_seed(f"{name}/officer")).public_key


def propose(action: Any, on: int = TODAY + 7) -> Propose:
    return Propose(action=action, effective_on=Day(on))


REFERENCE = Digest(calculate_hash("ext-ref", b"BANK-7"))
SERIAL = calculate_serial_tag(make_seed("identity/officer"), "VIN-0")
ASSET = calculate_asset_id("vehicle", SERIAL)
JADE = calculate_account_id(get_key("jade"))

VERBS: list[tuple[str, str, Any]] = [
    ("li-na", "autopay LOAN on", lambda loan, _: AutopaySet(loan=loan, on=True)),
    (
        "li-na",
        "repay LOAN --amount-minor 70 --excess last --source guarantor",
        lambda loan, _: Pay(loan=loan, amount=Amount(70), excess=ExcessRule.LAST, source=PaymentSource.GUARANTOR),
    ),
    (
        "li-na",
        "payoff LOAN",
        lambda loan, _: Pay(loan=loan, amount=Amount(LENT), excess=ExcessRule.NEXT),
    ),
    (
        "li-na",
        "dispute open LOAN --code hardship --amount-minor 9 --evidence PAPERS",
        lambda loan, _: DisputeOpen(loan=loan, code=DisputeCode.HARDSHIP, amount=Amount(9), evidence=MARK),
    ),
    (
        "harbour",
        (
            "amend propose LOAN --instalments 18 --interest capitalise --penalties waive --first-due 2027-02-01"
            " --rate-ppm 70000"
        ),
        lambda loan, _: AmendPropose(
            loan=loan,
            instalments=18,
            first_due=Day(740_013),
            rate_ppm=Ppm(70_000),
            forgiven=Amount(0),
            interest=Treatment.CAPITALISE,
            fees=Treatment.CARRY,
            penalties=Treatment.WAIVE,
            valid_days=7,
        ),
    ),
    (
        "li-na",
        "amend propose LOAN --settle-minor 500 --rate-ppm 0",
        lambda loan, _: AmendPropose(
            loan=loan,
            settle=Amount(500),
            rate_ppm=Ppm(0),
            forgiven=Amount(0),
            interest=Treatment.CARRY,
            fees=Treatment.CARRY,
            penalties=Treatment.CARRY,
            valid_days=7,
        ),
    ),
    (
        "harbour",
        "loan impair LOAN --class doubtful",
        lambda loan, _: LoanDistress(loan=loan, kind=DistressKind.IMPAIR, asset_class=AssetClass.DOUBTFUL),
    ),
    ("harbour", "loan unimpair LOAN", lambda loan, _: LoanDistress(loan=loan, kind=DistressKind.UNIMPAIR)),
    ("jade", "loan default LOAN", lambda loan, _: LoanDistress(loan=loan, kind=DistressKind.DEFAULT)),
    (
        "harbour",
        "loan default LOAN --early --evidence PAPERS --cosign-dir OFFICE/jade",
        lambda loan, _: LoanDistress(loan=loan, kind=DistressKind.DEFAULT_EARLY, evidence=MARK),
    ),
    ("harbour", "loan writeoff LOAN", lambda loan, _: LoanDistress(loan=loan, kind=DistressKind.WRITE_OFF)),
    (
        "harbour",
        "loan waive LOAN --amount-minor 8 --evidence PAPERS",
        lambda loan, _: LoanAdjust(loan=loan, kind=AdjustKind.WAIVE, amount=Amount(8), reference=MARK),
    ),
    (
        "harbour",
        f"loan refund LOAN --amount-minor 8 --evidence-hash {AB}",
        lambda loan, _: LoanAdjust(loan=loan, kind=AdjustKind.REFUND, amount=Amount(8), reference=Digest(THING)),
    ),
    (
        "harbour",
        "loan cost LOAN --amount-minor 8 --evidence PAPERS",
        lambda loan, _: LoanAdjust(loan=loan, kind=AdjustKind.COST, amount=Amount(8), reference=MARK),
    ),
    (
        "clearing",
        "loan reverse LOAN --amount-minor 8 --payment 2 --ref BANK-7",
        lambda loan, _: LoanAdjust(
            loan=loan, kind=AdjustKind.REVERSAL, amount=Amount(8), reference=REFERENCE, payment=2
        ),
    ),
    (
        "clearing",
        "loan settle LOAN failed --ref BANK-7",
        lambda loan, _: LoanSettle(loan=loan, outcome=SettleOutcome.FAILED, ext_ref=REFERENCE),
    ),
    (
        "harbour",
        "sales report LOAN --from 2026-11-01 --to 2026-11-30 --gross-minor 900 --report PAPERS",
        lambda loan, _: SalesReport(
            loan=loan, first_day=Day(739_921), last_day=Day(739_950), gross=Amount(900), commit=MARK
        ),
    ),
    (
        "harbour",
        "assign LOAN --seller-pool POOL --buyer-pool POOL --price-minor 5 --cosign-dir OFFICE/jade",
        lambda loan, pool: Assign(loan=loan, seller=pool, buyer=pool, price=Amount(5)),
    ),
    ("harbour", "pool withdraw --pool POOL --shares 5", lambda _, pool: PoolExit(pool=pool, shares=5)),
    ("harbour", "pool withdraw --pool POOL --all", lambda _, pool: PoolExit(pool=pool, shares=40_000_000_000)),
    ("harbour", f"pool cancel {AB}", PoolExitCancel(exit=THING)),
    (
        "harbour",
        "pool cover in --pool POOL --amount-minor 6",
        lambda _, pool: CoverDeposit(pool=pool, amount=Amount(6)),
    ),
    (
        "harbour",
        "pool cover out --pool POOL --amount-minor 6",
        lambda _, pool: CoverWithdraw(pool=pool, amount=Amount(6)),
    ),
    (
        "harbour",
        "pool set --pool POOL --cover-rate-ppm 50000",
        lambda _, pool: PoolSet(pool=pool, borrower_max=Amount(20_000_000), cover_rate_ppm=Ppm(50_000), fee_ppm=Ppm(0)),
    ),
    ("li-na", f"withdraw {AB}", ApplyWithdraw(application=THING)),
    ("li-na", f"consent revoke {AB}", ConsentRevoke(consent=THING)),
    ("li-na", f"data erase {AB}", DataErase(data=(THING,))),
    (
        "harbour",
        f"data receipt {AB} --documents 1 --sidecars 2",
        ErasureReceipt(data=THING, documents=1, sidecars=2),
    ),
    ("li-na", "keys object", KeyRecoverCancel()),
    ("harbour", "offer cancel OFFER", lambda offer, _: OfferCancel(offer=offer)),
    (
        "harbour",
        f"offer decline {AB} --product {AB} --reason debt --reason balance_low",
        OfferDecline(application=THING, product=THING, reasons=(11, 1)),
    ),
    (
        "identity",
        "account freeze jade --evidence PAPERS",
        CredentialSet(account=JADE, operation=CredentialOperation.FREEZE, reason_hash=MARK),
    ),
    (
        "identity",
        "account free jade --evidence PAPERS",
        CredentialSet(account=JADE, operation=CredentialOperation.UNFREEZE, reason_hash=MARK),
    ),
    (
        "identity",
        f"account revoke {AB} --evidence PAPERS",
        CredentialSet(account=THING, operation=CredentialOperation.REVOKE, reason_hash=MARK),  # type: ignore[arg-type]
    ),
    (
        "harbour",
        "asset register --class vehicle --serial VIN-1 --issuer-dir OFFICE/identity --value-minor 700 --papers PAPERS",
        AssetRegister(
            asset_class="vehicle",
            serial_hash=calculate_serial_tag(make_seed("identity/officer"), "vin1"),
            meta_commit=MARK,
            currency=Currency(CNY),
            value=Amount(700),
        ),
    ),
    (
        "harbour",
        "asset transfer ASSET --to jade --cosign-dir OFFICE/jade",
        AssetTransfer(asset=ASSET, to=JADE),
    ),
    ("harbour", "asset retire ASSET --cosign-dir OFFICE/identity", AssetRetire(asset=ASSET)),
    (
        "harbour",
        "asset seize ASSET --loan LOAN --value-minor 9 --cosign-dir OFFICE/identity",
        lambda loan, _: AssetSeize(asset=ASSET, loan=loan, value=Amount(9)),
    ),
    (
        "harbour",
        "asset sell ASSET --price-minor 9 --cosign-dir OFFICE/jade",
        AssetSell(asset=ASSET, price=Amount(9)),
    ),
    (
        "li-na",
        "lease end LOAN return --cosign-dir OFFICE/harbour",
        lambda loan, _: LeaseEnd(loan=loan, option=LeaseEndOption.RETURN, terms_hash=ZERO_DIGEST),
    ),
    ("harbour", "gov propose freeze jade", propose(Freeze(account=JADE, frozen=True))),
    ("harbour", "gov propose freeze jade --free --on 2026-12-01", propose(Freeze(account=JADE, frozen=False), 739_951)),
    ("harbour", "gov propose pause lending money", propose(PauseSet(families=18))),
    ("harbour", "gov propose pause --none", propose(PauseSet(families=0))),
    ("harbour", f"gov propose retire-model {AB}", propose(ModelRetire(model=THING))),
]
"""Who signs, what is typed, what must be signed; words in capitals stand for what is on the books or the desk."""


async def test_each_verb_signs_what_its_words_say(desk: Desk, catch: Catch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verb makes exactly its payload, signed by whom it names, and shows each of its fields first."""
    monkeypatch.undo()
    monkeypatch.setattr("node.cli.remote.read_clock_ms", desk.node.now_ms)
    loan = await borrow(desk)
    summary = (await desk.read("loan", "show", loan.hex()))["loan"]
    assert summary["payoff"] == LENT
    pools = (await desk.read("pool", "show"))["items"]
    pool = next(one["id"] for one in pools if one["lender_name"] == "harbour")
    offer = (await desk.read("loan", "show", loan.hex()))["offer"]
    papers = desk.folder / "papers"
    papers.write_bytes(PAPERS)
    identity = str(desk.open_office("identity"))
    seen = ("--serial", "VIN-0", "--issuer-dir", identity, "--value-minor", "9")
    await desk.order("harbour", "asset", "register", "--class", "vehicle", *seen)
    monkeypatch.setattr(sign, "_settle", catch.settle)
    stand_in = {"LOAN": loan.hex(), "ASSET": ASSET.hex(), "POOL": pool, "OFFER": offer, "PAPERS": str(papers)}
    for who, typed, expected in VERBS:
        words = [stand_in.get(word, word.replace("OFFICE", str(desk.folder))) for word in typed.split()]
        for name in ("jade", "identity", "harbour"):
            desk.open_office(name)
        about = offer if "OFFER" in typed else loan.hex()
        wanted = expected(bytes.fromhex(about), bytes.fromhex(pool)) if callable(expected) else expected
        signed = await run_verb(desk, catch, who, words)
        assert signed.payload == wanted, typed
        assert signed.sender == (KeySigner(make_seed("li-na")).public_key if who == "li-na" else get_key(who)), typed
        assert len(signed.cosigners) == typed.count("-dir OFFICE/"), typed


async def run_verb(desk: Desk, catch: Catch, who: str, words: list[str]) -> Signed:
    """Type a verb at the desk of `who`; what was shown has every field of the payload."""
    keys = (
        ["--key", str(desk.key), "--passphrase-file", str(desk.secret)]
        if who == "li-na"
        else ["--officer-dir", str(desk.open_office(who))]
    )
    done = await desk.run(*words, *keys, "--yes", "--json", "--node", desk.url)
    assert done.exit_code == EXIT_OK, (words, done.output)
    json.loads(done.stdout)
    signed = catch.signed.pop()
    assert not catch.signed
    for value in (getattr(signed.payload, name) for name in signed.payload.__struct_fields__):
        if isinstance(value, bytes) and value != bytes(32):
            assert value.hex() in done.stderr, words
    assert "signed by" in done.stderr
    return signed


async def test_nothing_is_signed_by_whom_does_not_agree(desk: Desk, catch: Catch) -> None:
    """Without --yes the question is asked after everything was shown; no answer and 'n' sign nothing."""
    keys = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url)
    for answer in ("n\n", ""):
        done = await desk.run("autopay", AB, "on", *keys, text=answer)
        assert done.exit_code != EXIT_OK
        assert "Sign and send it?" in done.stderr
        assert AB in done.stderr
    assert catch.signed == []


@pytest.mark.parametrize(
    "typed",
    [
        "pool withdraw --pool POOL",
        "pool set --pool POOL",
        "amend propose LOAN",
        "amend propose LOAN --instalments 3 --settle-minor 5",
        "loan default LOAN --early",
        "dispute open LOAN --code amount --amount-minor 5",
        "gov propose pause",
        "gov propose policy",
        "gov propose policy --set debt_cap",
        "gov propose member jade",
        "gov propose freeze jade --on 2020-01-01",
        "sales report LOAN --from 2026-11-30 --to 2026-11-01 --gross-minor 1",
        "sales report LOAN --from soon --to 2026-11-01 --gross-minor 1",
        "asset register --class Vehicle --serial-hash LOAN --value-minor 1",
        "asset register --class vehicle --serial X-123 --value-minor 1",
        "asset transfer LOAN --to jade --cosigner jade",
        "keys rotate",
        "tx draft AutopaySet -",
        "repay LOAN",
    ],
)
async def test_wrong_use_is_told_as_such(desk: Desk, catch: Catch, typed: str) -> None:
    """What cannot be meant ends with exit code 2, the usage and nothing signed."""
    words = [AB if word in {"LOAN", "POOL"} else word for word in typed.split()]
    office = desk.open_office("harbour")
    done = await desk.run(*words, "--officer-dir", str(office), "--yes", "--node", desk.url)
    assert done.exit_code == EXIT_USAGE, done.output
    assert catch.signed == []


async def test_what_is_not_there_is_named_with_a_code(desk: Desk) -> None:
    """An id that nothing has ends with a stable code and the command that lists what there is."""
    office = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    assert await desk.refuse("loan", "writeoff", AB, *office) == "loan_unknown"
    assert await desk.refuse("pool", "cover", "in", "--pool", AB, "--amount-minor", "5", *office) == "pool_unknown"
    assert await desk.refuse("offer", "cancel", AB, *office) == "offer_unknown"
    assert await desk.refuse("gov", "vote", AB, "yes", *office) == "proposal_unknown"
    assert await desk.refuse("gov", "vote", "abc", "yes", *office) == "malformed_id"
    assert await desk.refuse("offer", "decline", AB, "--product", AB, "--reason", "rude", *office) == "reason_unknown"
    assert await desk.refuse("asset", "transfer", AB, "--to", "nobody", *office) == "account_malformed"
    assert await desk.refuse("line", "close", AB, "--officer-dir", "nowhere", "--node", desk.url) == (
        "officer_key_missing"
    )
