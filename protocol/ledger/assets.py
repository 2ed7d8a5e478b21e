"""Registered things: one owner, at most one lien, seizure after default, sale (ledger 2.11)."""

from protocol.ids import ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Disclosure, LeaseTold
from protocol.ledger.rules import Rules
from protocol.ledger.state import ASSETS, replace
from protocol.rejections import Rejection


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


RULES: Rules = {}
