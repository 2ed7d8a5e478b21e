"""What random people do with money, pools, keys and votes."""

from typing import Any

import msgspec

from protocol.crypto import calculate_hash
from protocol.ids import Day
from protocol.ledger.journal import read_cash
from protocol.ledger.records import Receipt
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.state import ACCOUNTS, EXITS, POOLS, PROPOSALS, REDEMPTIONS, SHARES
from protocol.money import Amount, Ppm
from protocol.transactions.accounts import (
    CredentialOperation,
    CredentialSet,
    KeyRecover,
    KeyRecoverCancel,
    KeyRotate,
)
from protocol.transactions.governance import Freeze, MemberSet, PauseSet, PolicySet, Propose, Vote
from protocol.transactions.money import RedeemOutcome, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import CoverDeposit, CoverWithdraw, PoolDeposit, PoolExit, PoolExitCancel, PoolSet
from tests.protocol.ledger.lives.core import FIRM, PEOPLE, SHOP, Actions, Lives
from tests.protocol.ledger.world import CNY, DAY_MS, LENDERS, make_signer


def let_time_pass(lives: Lives) -> Receipt | None:
    """Hours, days or weeks."""
    days = lives.random.choice((0, 1, 1, 2, 5, 7, 20))
    lives.world.block(ms=days * DAY_MS + lives.random.randint(0, DAY_MS - 1))
    return None


def mint(lives: Lives) -> Receipt | None:
    """Fiat arrives for somebody."""
    who = lives.random.choice((*PEOPLE, *PEOPLE, FIRM, SHOP, *LENDERS))
    return lives.world.mint(who, lives.random.randint(1, 600_000))


def transfer(lives: Lives) -> Receipt | None:
    """Money moves between people."""
    who, to = lives.random.sample((*PEOPLE, FIRM, SHOP, *LENDERS), 2)
    cash = read_cash(lives.world.ledger.books.state, lives.world.account(who), CNY)
    payload = Transfer(
        to=lives.world.account(to), currency=CNY, amount=lives.amount(cash // 4), memo_commit=lives.hash()
    )
    return lives.do(who, payload)


def ask_redemption(lives: Lives) -> Receipt | None:
    """Somebody wants fiat."""
    who = lives.person()
    cash = read_cash(lives.world.ledger.books.state, lives.world.account(who), CNY)
    payload = RedeemRequest(
        agent=lives.world.account("agent"), currency=CNY, amount=lives.amount(cash // 3), payout_commit=lives.hash()
    )
    return lives.do(who, payload)


def settle_redemption(lives: Lives) -> Receipt | None:
    """The agent answers."""
    redemption = lives.some(REDEMPTIONS, lambda row: row.paid is None)
    if redemption is None:
        return None
    payload = RedeemSettle(
        redemption=redemption, outcome=lives.random.choice(list(RedeemOutcome)), ext_ref=lives.reference()
    )
    return lives.do("agent", payload)


def deposit(lives: Lives) -> Receipt | None:
    """An investor, or the lender herself, funds a pool."""
    who = lives.random.choice((*PEOPLE, *LENDERS))
    cash = read_cash(lives.world.ledger.books.state, lives.world.account(who), CNY)
    pool = lives.random.choice(lives.pools)
    return lives.do(who, PoolDeposit(pool=pool, amount=lives.amount(cash // 3)))


def leave_pool(lives: Lives) -> Receipt | None:
    """Somebody who holds shares asks for cash."""
    state = lives.world.ledger.books.state
    held = [(key, shares) for key, shares in state.items(SHARES) if shares]
    if not held:
        return None
    key, shares = lives.random.choice(held)
    part = lives.random.choice((shares // 10, shares // 30, shares // 100, shares // 100, shares + 1))
    return lives.do(lives.owner(key[32:]), PoolExit(pool=key[:32], shares=part))


def cancel_exit(lives: Lives) -> Receipt | None:
    """And thinks again."""
    exit_id = lives.some(EXITS, lambda row: row.shares > 0)
    if exit_id is None:
        return None
    row = lives.world.ledger.books.state.need(EXITS, exit_id)
    return lives.do(lives.owner(row.account), PoolExitCancel(exit=exit_id))


def move_cover(lives: Lives) -> Receipt | None:
    """A lender puts cover in or takes it out."""
    position = lives.random.randrange(len(LENDERS))
    amount = Amount(lives.random.randint(1, 400_000))
    kind = lives.random.choice((CoverDeposit, CoverDeposit, CoverWithdraw))
    return lives.do(LENDERS[position], kind(pool=lives.pools[position], amount=amount))


def set_pool(lives: Lives) -> Receipt | None:
    """A lender changes its pool's limits."""
    position = lives.random.randrange(len(LENDERS))
    pool = lives.world.ledger.books.state.need(POOLS, lives.pools[position])
    payload = PoolSet(
        pool=lives.pools[position],
        borrower_max=Amount(lives.random.randint(3_000_000, 6_000_000)),
        cover_rate_ppm=Ppm(max(0, pool.cover_rate_ppm + lives.random.choice((-1, 0, 100)))),
        fee_ppm=Ppm(max(0, pool.fee_ppm - lives.random.choice((0, 1_000)))),
    )
    return lives.do(LENDERS[position], payload)


def set_credential(lives: Lives) -> Receipt | None:
    """An issuer freezes somebody for a while; most are freed again soon."""
    state = lives.world.ledger.books.state
    frozen = [one for one in (*PEOPLE, FIRM, SHOP) if state.need(ACCOUNTS, lives.world.account(one)).frozen]
    who = lives.random.choice(frozen or [*PEOPLE])
    operation = CredentialOperation.UNFREEZE if frozen else CredentialOperation.FREEZE
    payload = CredentialSet(account=lives.world.account(who), operation=operation, reason_hash=lives.hash())
    return lives.do("issuer", payload)


def rotate_key(lives: Lives) -> Receipt | None:
    """Somebody takes a new key."""
    name = lives.random.choice((*PEOPLE, FIRM))
    fresh = f"{name}/{lives.world.ledger.height}"
    payload = KeyRotate(new_key=make_signer(fresh).public_key, enc_key=calculate_hash("box", fresh.encode()))  # type: ignore[arg-type]
    receipt = lives.do(name, payload, cosigners=(fresh,))
    if receipt.rejection is None:
        lives.signers[name] = fresh
    return receipt


def recover_key(lives: Lives) -> Receipt | None:
    """An issuer asks for a new key on behalf of somebody, who objects at once; whoever is frozen cannot."""
    name = lives.random.choice(PEOPLE)
    fresh = f"{name}/recovered/{lives.world.ledger.height}"
    payload = KeyRecover(
        account=lives.world.account(name),
        new_key=make_signer(fresh).public_key,
        enc_key=calculate_hash("box", fresh.encode()),  # type: ignore[arg-type]
    )
    asked = lives.do("issuer", payload, cosigners=(fresh,))
    if asked.rejection is None:
        lives.recovering[name] = fresh
    receipt = lives.do(name, KeyRecoverCancel())
    if receipt.rejection is None:
        lives.recovering.pop(name, None)
    return receipt


def propose(lives: Lives) -> Receipt | None:
    """A validator proposes something harmless, or something that cannot be."""
    books = lives.world.ledger.books
    random = lives.random
    actions: list[Any] = [
        PolicySet(policy=msgspec.structs.replace(books.policy, lenders_max=random.randint(3, 5))),
        PauseSet(families=random.choice((0, 0, 8))),
        MemberSet(
            name=f"auditor-{books.height}",
            officer_key=make_signer(f"auditor-{books.height}").public_key,
            enc_key=calculate_hash("box", b"auditor"),  # type: ignore[arg-type]
            attester_key=None,
            roles=int(random.choice((Role.OBSERVER, Role.ARBITER, Role.VALIDATOR))),
        ),
        Freeze(account=lives.world.account(random.choice(PEOPLE)), frozen=False),
    ]
    payload = Propose(action=random.choice(actions), effective_on=Day(books.today + random.randint(0, 6)))
    return lives.do(lives.voter(), payload)


def vote(lives: Lives) -> Receipt | None:
    """A validator votes on something open."""
    proposal = lives.some(PROPOSALS, lambda row: row.state is ProposalState.OPEN)
    if proposal is None:
        return None
    return lives.do(lives.voter(), Vote(proposal=proposal, approve=lives.random.random() < 0.8))


ACTIONS: Actions = [
    (let_time_pass, 60),
    (mint, 40),
    (transfer, 8),
    (ask_redemption, 5),
    (settle_redemption, 6),
    (deposit, 10),
    (leave_pool, 8),
    (cancel_exit, 3),
    (move_cover, 8),
    (set_pool, 2),
    (set_credential, 3),
    (rotate_key, 2),
    (recover_key, 1),
    (propose, 3),
    (vote, 8),
]
