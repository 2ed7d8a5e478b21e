"""Claims on settlement agents: minted for fiat received, moved, and redeemed against fiat paid out.

Every mint and every settled payout names an outside reference, used once. Never lending here.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import AccountId, Digest
from protocol.ledger.books import Books, Call
from protocol.ledger.journal import Book, Posting, read_balance, read_cash
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Redemption, Reference, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, MEMBERS, REDEMPTIONS, REFERENCES, replace
from protocol.money import AMOUNT_MAX, Currency
from protocol.rejections import Rejection
from protocol.transactions.money import Mint, RedeemOutcome, RedeemRequest, RedeemSettle, Transfer


def calculate_minted(books: Books, currency: Currency) -> int:
    """Fiat held by all agents: what was minted and not burned."""
    return sum(read_balance(books.state, member, Book.FIAT, currency) for member, _ in books.state.items(MEMBERS))


def _check_amount(books: Books, currency: Currency, amount: int) -> Rejection | None:
    if currency not in books.currencies:
        return Rejection.CURRENCY_UNKNOWN
    return Rejection.AMOUNT_ZERO if amount == 0 else None


def _check_reference(books: Books, agent: AccountId, reference: Digest) -> Rejection | None:
    used = books.state.get(REFERENCES, agent + reference) is not None
    return Rejection.REFERENCE_USED if used else None


def check_mint(books: Books, call: Call, payload: Mint) -> Rejection | None:
    """Why nothing can be minted."""
    refused = _check_amount(books, payload.currency, payload.amount)
    refused = refused or _check_reference(books, call.account, payload.ext_ref)
    if refused is not None:
        return refused
    if books.state.get(ACCOUNTS, payload.to) is None:
        return Rejection.RECIPIENT_UNKNOWN
    if calculate_minted(books, payload.currency) + payload.amount > AMOUNT_MAX:
        return Rejection.AMOUNT_TOO_LARGE
    return None


def apply_mint(books: Books, call: Call, payload: Mint) -> tuple[Fact, ...]:
    """Credit the holder against the agent's fiat."""
    books.state.put(REFERENCES, call.account + payload.ext_ref, Reference(height=books.height))
    books.post(
        "minted",
        payload.currency,
        (Posting(call.account, Book.FIAT, payload.amount), Posting(payload.to, Book.CASH, -payload.amount)),
        (payload.to, call.account),
        {"to": payload.to.hex(), "agent": call.account.hex(), "amount": payload.amount},
    )
    return ()


def check_redeem_request(books: Books, call: Call, payload: RedeemRequest) -> Rejection | None:
    """Why no payout can be asked for."""
    refused = _check_amount(books, payload.currency, payload.amount)
    if refused is not None:
        return refused
    agent = books.state.get(ACCOUNTS, payload.agent)
    if agent is None or not agent.roles & Role.SETTLEMENT_AGENT:
        return Rejection.RECIPIENT_UNKNOWN
    if read_cash(books.state, call.account, payload.currency) < payload.amount:
        return Rejection.FUNDS_SHORT
    return None


def apply_redeem_request(books: Books, call: Call, payload: RedeemRequest) -> tuple[Fact, ...]:
    """Put the amount in escrow until the agent answers."""
    redemption = calculate_object_id("redemption", call.key, call.nonce)
    books.state.put(
        REDEMPTIONS,
        redemption,
        Redemption(
            holder=call.account,
            agent=payload.agent,
            currency=payload.currency,
            amount=payload.amount,
            payout_commit=payload.payout_commit,
            requested_ms=books.now_ms,
        ),
    )
    books.post(
        "redemption_requested",
        payload.currency,
        (Posting(call.account, Book.CASH, payload.amount), Posting(call.account, Book.ESCROW, -payload.amount)),
        (redemption, call.account, payload.agent),
        {"redemption": redemption.hex(), "holder": call.account.hex(), "amount": payload.amount},
    )
    return (Made(id=redemption),)


def check_redeem_settle(books: Books, call: Call, payload: RedeemSettle) -> Rejection | None:
    """Why a payout cannot be settled; an agent that never held so much fiat cannot have paid it."""
    refused = _check_reference(books, call.account, payload.ext_ref)
    if refused is not None:
        return refused
    redemption = books.state.get(REDEMPTIONS, payload.redemption)
    if redemption is None or redemption.agent != call.account:
        return Rejection.REDEMPTION_UNKNOWN
    if redemption.paid is not None:
        return Rejection.REDEMPTION_CLOSED
    held = read_balance(books.state, call.account, Book.FIAT, redemption.currency)
    if payload.outcome is RedeemOutcome.PAID and held < redemption.amount:
        return Rejection.AGENT_FUNDS_SHORT
    return None


def apply_redeem_settle(books: Books, call: Call, payload: RedeemSettle) -> tuple[Fact, ...]:
    """Burn the escrow against the agent's fiat, or give it back."""
    redemption = books.state.need(REDEMPTIONS, payload.redemption)
    paid = payload.outcome is RedeemOutcome.PAID
    books.state.put(REFERENCES, call.account + payload.ext_ref, Reference(height=books.height))
    books.state.put(REDEMPTIONS, payload.redemption, replace(redemption, paid=paid))
    amount = redemption.amount
    other = Posting(call.account, Book.FIAT, -amount) if paid else Posting(redemption.holder, Book.CASH, -amount)
    books.post(
        "redemption_paid" if paid else "redemption_failed",
        redemption.currency,
        (Posting(redemption.holder, Book.ESCROW, amount), other),
        (payload.redemption, redemption.holder, call.account),
        {"redemption": payload.redemption.hex(), "holder": redemption.holder.hex(), "amount": amount},
    )
    return ()


def check_transfer(books: Books, call: Call, payload: Transfer) -> Rejection | None:
    """Why money cannot move; the recipient too must be in good standing."""
    recipient = books.state.get(ACCOUNTS, payload.to)
    if recipient is not None and recipient.frozen:
        return Rejection.ACCOUNT_FROZEN
    if recipient is not None and recipient.expires_on <= books.today:
        return Rejection.CREDENTIAL_EXPIRED
    refused = _check_amount(books, payload.currency, payload.amount)
    if refused is not None:
        return refused
    if recipient is None or payload.to == call.account:
        return Rejection.RECIPIENT_UNKNOWN
    if read_cash(books.state, call.account, payload.currency) < payload.amount:
        return Rejection.FUNDS_SHORT
    return None


def apply_transfer(books: Books, call: Call, payload: Transfer) -> tuple[Fact, ...]:
    """Move the money."""
    books.post(
        "transferred",
        payload.currency,
        (Posting(call.account, Book.CASH, payload.amount), Posting(payload.to, Book.CASH, -payload.amount)),
        (call.account, payload.to),
        {"from": call.account.hex(), "to": payload.to.hex(), "amount": payload.amount},
    )
    return ()


RULES: Rules = {
    Mint: Rule(check_mint, apply_mint, roles=Role.SETTLEMENT_AGENT, pause=Pause.MONEY),
    RedeemRequest: Rule(check_redeem_request, apply_redeem_request, pause=Pause.MONEY),
    # Of the agent named alone; one that lost its role meanwhile still answers for what was asked of it.
    RedeemSettle: Rule(check_redeem_settle, apply_redeem_settle),
    Transfer: Rule(check_transfer, apply_transfer, credential=True, pause=Pause.MONEY),
}
