"""Registered things: one owner, at most one lien, seizure after default, sale (ledger 2.11).

    register -> transfer ... -> pledged or leased (accept) -> free again (closing)
                                 | seize after default, return of a lease
                                 v
                               held by pools -> sell

Goods are not cash: pools take them in at a value (Book.ASSETS), and only a sale turns it into money. Of a sale the
pools have their value first, then cover what it had paid, then the owner what it paid out above the claim; more is
the pools' gain. An issuer or arbiter vouches for the value of a seizure, and for a price below what goods are held at.
Never a lease's end option here.
"""

from typing import Any, Final, NamedTuple

from protocol.crypto import calculate_hash
from protocol.ids import AccountId, ObjectId
from protocol.ledger.accounts import has_cosigned
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Contract, Disclosure, LeaseTold, Loan
from protocol.ledger.cover import bear_loss, count_loss
from protocol.ledger.holdings import change_pool, find_holders, get_lender, get_owner
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.loans import calculate_subjects, load_loan
from protocol.ledger.records import Fact, Made
from protocol.ledger.recovery import (
    Recovered,
    calculate_recovered,
    count_recovered,
    finish_recovery,
    split_recovery,
)
from protocol.ledger.rows import Account, Asset, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, ASSETS, KEYS, LOANS, POOLS, replace
from protocol.loans.lifecycle import LoanEvent, can_happen
from protocol.money import Amount, Currency, divide_floor
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetRegister, AssetRetire, AssetSeize, AssetSell, AssetTransfer

Parts = tuple[tuple[ObjectId, Amount], ...]
"""Pools and amounts, the lead first."""
VOUCHERS: Final = Role.ISSUER | Role.ARBITER
"""Who may vouch for a value."""
FREE: Final[dict[str, Any]] = {"held": (), "cover_due": (), "advanced": Amount(0), "seized": False}
"""Of a thing that no pool holds."""


def calculate_asset_id(asset_class: str, serial_hash: bytes) -> ObjectId:
    """Id of a thing: the same for whoever registers it."""
    return ObjectId(calculate_hash("asset", asset_class.encode("ascii"), serial_hash))


# ---------------------------------------------------------------------- who signed


def has_signed(books: Books, call: Call, account_id: AccountId) -> bool:
    """Whether an account in good standing is among the signers, with its key of today."""
    account = books.state.need(ACCOUNTS, account_id)
    return account_id == call.account or (has_cosigned(books, call, account_id) and not account.frozen)


def find_cosigners(books: Books, call: Call) -> tuple[tuple[AccountId, Account], ...]:
    """Accounts not frozen that co-signed, by their officer's or own key; the signer itself is none of them."""
    found = []
    for cosigner in call.cosigners:
        key = books.state.get(KEYS, cosigner)
        if key is None or key.attester or key.account is None or key.account == call.account:
            continue
        account = books.state.need(ACCOUNTS, key.account)
        if not account.frozen:
            found.append((AccountId(key.account), account))
    return tuple(found)


def is_vouched(books: Books, call: Call, roles: Role, *, barred: tuple[AccountId, ...] = ()) -> bool:
    """Whether another organisation of one of these roles co-signed: nobody vouches for itself, nor who is barred."""
    return any(row.roles & roles and account_id not in barred for account_id, row in find_cosigners(books, call))


# ---------------------------------------------------------------------- register, transfer, retire


def check_asset_register(books: Books, call: Call, payload: AssetRegister) -> Rejection | None:
    """Why the thing is not registered. One that was struck stays known: it does not come back under another owner."""
    if not is_vouched(books, call, Role.ISSUER):
        return Rejection.ISSUER_UNKNOWN
    if payload.currency not in books.currencies:
        return Rejection.CURRENCY_UNKNOWN
    if payload.value == 0:
        return Rejection.AMOUNT_ZERO
    known = books.state.get(ASSETS, calculate_asset_id(payload.asset_class, payload.serial_hash))
    return None if known is None else Rejection.ASSET_EXISTS


def apply_asset_register(books: Books, call: Call, payload: AssetRegister) -> tuple[Fact, ...]:
    """Register it as the signer's."""
    asset_id = calculate_asset_id(payload.asset_class, payload.serial_hash)
    books.state.put(
        ASSETS,
        asset_id,
        Asset(
            asset_class=payload.asset_class,
            serial_hash=payload.serial_hash,
            meta_commit=payload.meta_commit,
            owner=call.account,
            currency=payload.currency,
            value=payload.value,
        ),
    )
    books.emit(
        "asset_registered",
        (asset_id, call.account),
        {"asset": asset_id.hex(), "class": payload.asset_class, "owner": call.account.hex(), "value": payload.value},
    )
    return (Made(id=asset_id),)


def _check_own_free(books: Books, call: Call, asset_id: bytes) -> Rejection | None:
    """Whether the signer owns the thing and nothing else hangs on it."""
    asset = books.state.get(ASSETS, asset_id)
    if asset is None or asset.retired:
        return Rejection.ASSET_UNKNOWN
    if asset.owner != call.account:
        return Rejection.ASSET_NOT_YOURS
    return Rejection.ASSET_BOUND if asset.lien is not None or asset.held else None


def check_asset_transfer(books: Books, call: Call, payload: AssetTransfer) -> Rejection | None:
    """Why the thing does not change hands; the new owner must want it."""
    if books.state.get(ACCOUNTS, payload.to) is None:
        return Rejection.TARGET_UNKNOWN
    refused = _check_own_free(books, call, payload.asset)
    if refused is not None:
        return refused
    return None if has_signed(books, call, AccountId(payload.to)) else Rejection.COSIGNER_MISSING


def apply_asset_transfer(books: Books, call: Call, payload: AssetTransfer) -> tuple[Fact, ...]:
    """Give it to its new owner. Offers made while another owned it can no longer be taken."""
    asset = books.state.need(ASSETS, payload.asset)
    books.state.put(ASSETS, payload.asset, replace(asset, owner=payload.to))
    books.emit(
        "asset_transferred",
        (payload.asset, call.account, payload.to),
        {"asset": payload.asset.hex(), "from": call.account.hex(), "to": payload.to.hex()},
    )
    return ()


def check_asset_retire(books: Books, call: Call, payload: AssetRetire) -> Rejection | None:
    """Why the thing is not struck from the register."""
    if not is_vouched(books, call, Role.ISSUER):
        return Rejection.ISSUER_UNKNOWN
    return _check_own_free(books, call, payload.asset)


def apply_asset_retire(books: Books, call: Call, payload: AssetRetire) -> tuple[Fact, ...]:
    """Strike it for good."""
    asset = books.state.need(ASSETS, payload.asset)
    books.state.put(ASSETS, payload.asset, replace(asset, retired=True))
    books.emit("asset_retired", (payload.asset, call.account), {"asset": payload.asset.hex()})
    return ()


# ---------------------------------------------------------------------- liens


def check_things_free(books: Books, disclosure: Disclosure) -> Rejection | None:
    """Whether every asset of a loan is still its owner's and secures nothing else: no double pledging."""
    wanted = [(one, disclosure.borrower) for one in disclosure.collateral]
    if isinstance(disclosure.told, LeaseTold):
        wanted.append((disclosure.told.asset, disclosure.told.supplier))
    for asset_id, owner in wanted:
        asset = books.state.need(ASSETS, asset_id)
        if asset.retired or asset.lien is not None or asset.held or asset.owner != owner:
            return Rejection.ASSET_LIENED
    return None


def bind_things(books: Books, loan_id: ObjectId, disclosure: Disclosure) -> None:
    """Put the loan's one lien on its assets; title to a leased one goes to the lessor."""
    for asset_id in disclosure.collateral:
        books.state.put(ASSETS, asset_id, replace(books.state.need(ASSETS, asset_id), lien=loan_id))
    if isinstance(disclosure.told, LeaseTold):
        asset = books.state.need(ASSETS, disclosure.told.asset)
        books.state.put(ASSETS, disclosure.told.asset, replace(asset, lien=loan_id, owner=disclosure.lender))


def rebind_things(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Put the lien of a loan that is open again back on what is still there; what moved on in between stays gone."""
    disclosure, lender = contract.disclosure, get_lender(books, loan)
    for asset_id in disclosure.collateral:
        asset = books.state.need(ASSETS, asset_id)
        if asset.owner == disclosure.borrower and not (asset.retired or asset.lien is not None or asset.held):
            books.state.put(ASSETS, asset_id, replace(asset, lien=loan_id))
    told = disclosure.told
    if isinstance(told, LeaseTold):
        asset = books.state.need(ASSETS, told.asset)
        kept = asset.owner == lender and not any(value for _, value in asset.held)
        bought = asset.owner == disclosure.borrower and not asset.held
        if (kept or bought) and asset.lien is None and not asset.retired:
            books.state.put(ASSETS, told.asset, replace(asset, lien=loan_id, owner=lender, held=()))


def take_in(books: Books, asset_id: ObjectId, owner: AccountId, held: Parts) -> None:
    """Free a thing of its lien and let pools hold it, at the values that `held` says; the owner holds title for them.

    Postings of the values are the caller's.
    """
    for pool_id, value in held:
        change_pool(books, pool_id, assets=value)
    asset = books.state.need(ASSETS, asset_id)
    books.state.put(ASSETS, asset_id, replace(asset, lien=None, owner=owner, held=held))


# ---------------------------------------------------------------------- seizure


class Seizure(NamedTuple):
    """What a seizure at a value comes to."""

    came: Recovered
    """The pools' part of the claim, principal first; goods pay no costs, which the lender had in cash."""
    costs: int
    """Costs that the lender sets against what it would owe the borrower."""
    surplus: int
    """What the lender pays the borrower."""


def calculate_seizure(loan: Loan, value: int) -> Seizure:
    """How the value of a thing falls on a claim."""
    came = calculate_recovered(replace(loan, costs=Amount(0)), value)
    above = value - came.taken
    costs = min(above, loan.costs)
    return Seizure(came, costs, above - costs)


def check_asset_seize(books: Books, call: Call, payload: AssetSeize) -> Rejection | None:
    """Why the security is not realised."""
    if payload.value == 0:
        return Rejection.AMOUNT_ZERO
    loan = books.state.get(LOANS, payload.loan)
    if loan is None:
        return Rejection.LOAN_UNKNOWN
    contract, loan = load_loan(books, payload.loan)
    able = can_happen(loan.state, LoanEvent.SEIZE)
    cash = read_cash(books.state, call.account, contract.disclosure.currency)
    if able and cash < calculate_seizure(loan, payload.value).surplus:
        return Rejection.FUNDS_SHORT
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not able:
        return Rejection.LOAN_STATE
    if get_lender(books, loan) != call.account:
        return Rejection.LOAN_NOT_YOURS
    asset = books.state.get(ASSETS, payload.asset)
    if asset is None or asset.retired:
        return Rejection.ASSET_UNKNOWN
    if not is_vouched(books, call, VOUCHERS, barred=find_holders(books, loan)):
        return Rejection.COSIGNER_MISSING
    return None if asset.lien == payload.loan else Rejection.ASSET_UNFIT


def apply_asset_seize(books: Books, call: Call, payload: AssetSeize) -> tuple[Fact, ...]:
    """Let the pools take the thing in: it serves the claim up to its value, and what is above goes to the borrower.

    What cover had paid of the claim, and what the lender pays out now, comes back when the thing is sold.
    """
    contract, loan = load_loan(books, payload.loan)
    disclosure, seizure = contract.disclosure, calculate_seizure(loan, payload.value)
    came = seizure.came
    after, parts = split_recovery(loan, came)
    after = replace(after, costs=Amount(loan.costs - seizure.costs))
    postings = [
        Posting(call.account, Book.CASH, seizure.surplus),
        Posting(disclosure.borrower, Book.CASH, -seizure.surplus),
    ]
    for part in parts:
        count_recovered(books, loan, part)
        postings += [Posting(part.pool, Book.ASSETS, part.own), *part.postings]
    take_in(books, payload.asset, call.account, tuple((part.pool, Amount(part.own)) for part in parts))
    asset = books.state.need(ASSETS, payload.asset)
    books.state.put(
        ASSETS,
        payload.asset,
        replace(
            asset,
            cover_due=tuple((part.pool, Amount(part.covered)) for part in parts if part.covered),
            advanced=Amount(payload.value - came.taken),
            seized=True,
        ),
    )
    books.post(
        "asset_seized",
        disclosure.currency,
        tuple(postings),
        (*calculate_subjects(books, payload.loan, contract, loan), payload.asset),
        {
            "loan": payload.loan.hex(),
            "asset": payload.asset.hex(),
            "value": payload.value,
            "taken": came.taken,
            "costs": seizure.costs,
            "surplus": seizure.surplus,
            "principal": came.principal,
            "interest": came.interest,
            "fee": came.fee,
            "penalty": came.penalty,
            "principal_left": after.principal_out,
        },
    )
    served = came._replace(costs=seizure.costs)
    return (finish_recovery(books, payload.loan, contract, after, came=served, event=LoanEvent.SEIZE),)


# ---------------------------------------------------------------------- sale


def find_buyer(books: Books, call: Call) -> AccountId | None:
    """The one other account that co-signed a sale, beside whoever vouches for its price; None where it is not clear."""
    found = find_cosigners(books, call)
    if len(found) > 1:
        found = tuple(one for one in found if not one[1].roles & VOUCHERS)
    return found[0][0] if len(found) == 1 else None


def get_held_currency(books: Books, asset: Asset) -> Currency:
    """The currency in which pools hold a thing, whatever it was registered in."""
    return Currency(books.state.need(POOLS, asset.held[0][0]).currency)


def _is_cash_short(books: Books, asset: Asset, buyer: AccountId, price: int) -> bool:
    return read_cash(books.state, buyer, get_held_currency(books, asset)) < price


def check_asset_sell(books: Books, call: Call, payload: AssetSell) -> Rejection | None:
    """Why the thing is not sold."""
    if payload.price == 0:
        return Rejection.AMOUNT_ZERO
    asset = books.state.get(ASSETS, payload.asset)
    buyer = find_buyer(books, call)
    held = asset is not None and bool(asset.held)
    if asset is not None and held and buyer is not None and _is_cash_short(books, asset, buyer, payload.price):
        return Rejection.FUNDS_SHORT
    if asset is None or asset.retired:
        return Rejection.ASSET_UNKNOWN
    if asset.owner != call.account:
        return Rejection.ASSET_NOT_YOURS
    if buyer is None or not _is_price_fair(books, call, asset, buyer, payload.price):
        return Rejection.COSIGNER_MISSING
    return None if held else Rejection.ASSET_UNFIT


def _is_price_fair(books: Books, call: Call, asset: Asset, buyer: AccountId, price: int) -> bool:
    """Whether the pools have their value, or somebody vouches for less: no owner gives their goods away to a friend."""
    if price >= sum(value for _, value in asset.held):
        return True
    owners = (get_owner(books, pool_id) for pool_id, _ in asset.held)
    return is_vouched(books, call, VOUCHERS, barred=(buyer, *owners))


def split_by_value(parts: Parts, amount: int) -> tuple[int, ...]:
    """An amount in proportion to values: each but the first rounded down, the rest to the first."""
    total = sum(value for _, value in parts)
    others = [divide_floor(amount * value, total) if total else 0 for _, value in parts[1:]]
    return (amount - sum(others), *others)


def apply_asset_sell(books: Books, call: Call, payload: AssetSell) -> tuple[Fact, ...]:
    """Turn goods into money: the pools' value first, then cover, then the owner's outlay, then gain."""
    asset = books.state.need(ASSETS, payload.asset)
    buyer = find_buyer(books, call)
    assert buyer is not None, "checked before"
    held: Parts = asset.held
    left, shares = int(payload.price), list[int]()
    for wanted in (sum(value for _, value in held), sum(value for _, value in asset.cover_due), asset.advanced):
        shares.append(min(left, wanted))
        left -= shares[-1]
    value, cover, outlay = shares
    postings = [Posting(buyer, Book.CASH, payload.price), Posting(call.account, Book.CASH, -outlay)]
    for (pool_id, booked), part, gain in zip(
        held, split_by_value(held, value), split_by_value(held, left), strict=True
    ):
        change_pool(books, pool_id, cash=part + gain, assets=-booked)
        more = part + gain - booked
        postings += [
            Posting(pool_id, Book.ASSETS, -booked),
            Posting(pool_id, Book.GAIN, -max(0, more)),
            *_bear_rest(books, asset, pool_id, max(0, -more)),
        ]
    if cover:
        for (pool_id, _), part in zip(asset.cover_due, split_by_value(asset.cover_due, cover), strict=True):
            change_pool(books, pool_id, cover=part)
            postings.append(Posting(pool_id, Book.COVER, -part))
    books.state.put(ASSETS, payload.asset, replace(asset, owner=buyer, **FREE))
    books.post(
        "asset_sold",
        get_held_currency(books, asset),
        tuple(postings),
        (payload.asset, call.account, buyer),
        {
            "asset": payload.asset.hex(),
            "buyer": buyer.hex(),
            "price": payload.price,
            "value": sum(booked for _, booked in held),
            "cover": cover,
            "outlay": outlay,
        },
    )
    return ()


def _bear_rest(books: Books, asset: Asset, pool_id: ObjectId, amount: int) -> tuple[Posting, ...]:
    """What a pool loses on goods; of seized ones cover has borne its part already, when their loan defaulted."""
    if not asset.seized:
        return bear_loss(books, pool_id, amount, books.today).postings
    count_loss(books, pool_id, books.today, amount)
    return (Posting(pool_id, Book.LOSS, amount),)


RULES: Rules = {
    AssetRegister: Rule(check_asset_register, apply_asset_register, credential=True, pause=Pause.LENDING),
    AssetTransfer: Rule(check_asset_transfer, apply_asset_transfer, credential=True, pause=Pause.LENDING),
    AssetRetire: Rule(check_asset_retire, apply_asset_retire),
    # Whose loan or thing it is decides, not a role: a lender that lends no more still brings its pools' money home.
    AssetSeize: Rule(check_asset_seize, apply_asset_seize, pause=Pause.SERVICING),
    AssetSell: Rule(check_asset_sell, apply_asset_sell, pause=Pause.SERVICING),
}
