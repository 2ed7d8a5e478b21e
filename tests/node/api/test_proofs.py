"""Rows are answered with a proof that a reader checks alone: of one height, by a quorum, and nobody's tag is shown."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from node.client.http import ApiError, NodeClient
from protocol.codec import decode, encode
from protocol.crypto import KeySigner, Signer, calculate_hash
from protocol.ids import AccountId, Digest, Height
from protocol.ledger.execute import Ledger
from protocol.ledger.journal import Book, calculate_balance_key
from protocol.ledger.proofs import ProvedRows
from protocol.ledger.rows import Account, Pool
from protocol.ledger.state import ACCOUNTS, BALANCES, CONTRACTS, EXPOSURES, GOVERNED, LOANS, POOLS, Place
from protocol.limits import PROVED_ROWS_MAX
from protocol.money import Amount
from protocol.rowproof import VerifiedRows, verify_row_proof
from protocol.transactions.money import Transfer
from tests.node.api.harness import CNY, DevNode, make_keys, make_seed
from tests.node.api.test_reads import make_loan

UNKNOWN = "ab" * 32


async def ask(client: NodeClient, rows: str, *, signer: Signer | None = None, now_ms: Any = None, **more: str) -> bytes:
    """The bytes of a proof."""
    return await client.call("GET", "/v1/proofs", query={"rows": rows, **more}, signer=signer, now_ms=now_ms)


def verify(raw: bytes, node: DevNode, *places: Place) -> VerifiedRows:
    """What it proves to somebody who has the genesis alone."""
    found = verify_row_proof(raw, node.genesis, places)
    assert isinstance(found, VerifiedRows), found
    return found


def find_cash(account: AccountId) -> Place:
    """Where an account's money stands."""
    return BALANCES.number, calculate_balance_key(account, Book.CASH, CNY)


def name_rows(*places: Place) -> str:
    """As the address takes them."""
    tables = {BALANCES.number: "balances", POOLS.number: "pools", LOANS.number: "loans"}
    return ",".join(f"{tables[number]}:{key.hex()}" for number, key in places)


async def refuse(client: NodeClient, code: str, rows: str, **more: Any) -> ApiError:
    """It is refused for that."""
    with pytest.raises(ApiError) as caught:
        await ask(client, rows, **more)
    assert caught.value.code == code
    return caught.value


async def test_rows_and_absence_are_proved_at_the_height_a_header_names(node: DevNode, client: NodeClient) -> None:
    """At once on a chain that rests, though its last state is named by no header yet."""
    await node.open_market()
    pool, row = next(node.ledger.books.state.items(POOLS))
    await node.make_block()
    raw = await ask(client, f"pools:{pool.hex()},loans:{UNKNOWN},governed:-", wait_ms="0")
    places: tuple[Place, ...] = ((POOLS.number, pool), (LOANS.number, bytes.fromhex(UNKNOWN)), (GOVERNED.number, b""))
    found = verify(raw, node, *places)
    assert found.rows[places[0]] == encode(row)
    assert decode(found.rows[places[0]] or b"", Pool).owner == row.owner
    assert found.rows[places[1]] is None
    assert found.height == node.ledger.height - 1
    assert (len(found.signers), found.validators) == (2, 2)


async def test_rows_are_of_one_height_while_blocks_go_on(node: DevNode, client: NodeClient) -> None:
    """Two people send each other money without a pause: what both have together is the same in every proof."""
    ann, bob = await node.open_borrower("ann"), await node.open_borrower("bob")
    places = (find_cash(ann.account), find_cash(bob.account))
    done = asyncio.Event()
    heights: set[int] = set()
    sums: set[int] = set()

    async def pay() -> None:
        while not done.is_set():
            for payer, payee in ((ann, bob), (bob, ann)):
                to = Transfer(to=payee.account, currency=CNY, amount=Amount(7), memo_commit=Digest(bytes(32)))
                await node.do(payer.build(to))
                await asyncio.sleep(0)

    async def read() -> None:
        while len(heights) < 6:
            found = verify(await ask(client, name_rows(*places), wait_ms="5000"), node, *places)
            heights.add(found.height)
            sums.add(sum(decode(found.rows[place] or b"\x00", int) for place in places))
        done.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(pay())
        group.create_task(read())
    assert sums == {-200_000}


async def test_a_reader_may_ask_for_no_older_state_and_waits_for_it(node: DevNode, client: NodeClient) -> None:
    """What no header names yet is a problem that may be asked again; it is answered as soon as one does."""
    ann = await node.open_borrower("ann")
    place, wanted = find_cash(ann.account), node.ledger.height + 1
    rows, least = name_rows(place), str(wanted)
    problem = await refuse(client, "proof_not_ready", rows, height_min=least, wait_ms="0")
    assert (problem.status, problem.retryable, problem.retry_after_s) == (409, True, 1.0)
    asked = asyncio.create_task(ask(client, rows, height_min=least, wait_ms="10000"))
    while not asked.done():
        await node.make_block()
        await asyncio.sleep(0.02)
    assert verify(asked.result(), node, place).height >= wanted
    await refuse(client, "proof_not_ready", rows, epoch="1", wait_ms="0")


async def test_whoever_knows_a_later_epoch_waits_and_costs_nothing(
    node: DevNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds may wait for what never comes: none of them may have rows proved for it at each block."""
    proved: list[Height] = []
    prove = Ledger.prove_rows

    def count(self: Ledger, places: Sequence[Place], height: Height) -> ProvedRows | None:
        proved.append(height)
        return prove(self, places, height)

    monkeypatch.setattr(Ledger, "prove_rows", count)
    await node.make_block()
    asked = asyncio.create_task(refuse(client, "proof_not_ready", "tip:-", epoch="7", wait_ms="1000"))
    while not asked.done():
        await node.make_block()
        await asyncio.sleep(0.05)
    await asked
    assert proved == []
    await ask(client, "tip:-", wait_ms="0")
    assert len(proved) == 1


async def test_a_node_that_has_just_started_proves_from_the_next_block_on(node: DevNode, client: NodeClient) -> None:
    """It does not know what the last blocks replaced: it proves what it has, once a header names it."""
    ann = await node.open_borrower("ann")
    tip = node.ledger.height
    node.ledger = Ledger.from_rows(node.genesis, node.ledger.rows(), height=tip, exec_root=node.ledger.exec_root)
    place = find_cash(ann.account)
    await refuse(client, "proof_not_ready", name_rows(place), wait_ms="0")
    asked = asyncio.create_task(ask(client, name_rows(place), wait_ms="10000"))
    while not asked.done():
        await node.make_block()
        await asyncio.sleep(0.02)
    assert verify(asked.result(), node, place).height >= tip


async def test_rows_with_a_tag_are_for_those_who_may_see_it(node: DevNode, client: NodeClient) -> None:
    """The person's own key, the lender of the loan, members that validate or observe; nobody else."""
    ids = await make_loan(node, client)
    await node.open_borrower("stranger")
    await node.make_block()
    tag = calculate_hash("tag", b"li-na").hex()
    asked = {
        f"accounts:{ids['account']}": (ACCOUNTS.number, bytes.fromhex(ids["account"])),
        f"contracts:{ids['loan']}": (CONTRACTS.number, bytes.fromhex(ids["loan"])),
        f"exposures:{tag}": (EXPOSURES.number, bytes.fromhex(tag)),
    }
    regulator = make_keys("regulator").officer
    for rows, place in asked.items():
        for signer in (KeySigner(make_seed("li-na")), regulator, make_keys("jade").officer):
            raw = await ask(client, rows, signer=signer, now_ms=node.now_ms)
            assert verify(raw, node, place).rows[place] is not None
        await refuse(client, "signature_missing", rows)
        await refuse(client, "not_permitted", rows, signer=KeySigner(make_seed("stranger")), now_ms=node.now_ms)
        await refuse(client, "not_permitted", rows, signer=make_keys("identity").officer, now_ms=node.now_ms)
    await refuse(client, "signature_missing", f"exposures:{UNKNOWN}")


async def test_organisations_and_accounts_that_are_not_there_are_proved_to_everybody(
    node: DevNode, client: NodeClient
) -> None:
    """A member's tag stands for no person; that there is no account says nothing of anybody."""
    await node.make_block()
    await node.make_block()
    account = next(one.account for one in node.genesis.members if one.name == "harbour")
    places: tuple[Place, ...] = ((ACCOUNTS.number, account), (ACCOUNTS.number, bytes.fromhex(UNKNOWN)))
    found = verify(await ask(client, f"accounts:{account.hex()},accounts:{UNKNOWN}"), node, *places)
    assert decode(found.rows[places[0]] or b"", Account).roles
    assert found.rows[places[1]] is None


async def test_who_waits_for_a_row_sees_no_tag_either(node: DevNode, client: NodeClient) -> None:
    """An account that is opened while an unsigned request waits for a later height is not shown to it."""
    await node.make_block()
    account = node.make_wallet(KeySigner(make_seed("ann"))).account
    later = str(node.ledger.height + 2)
    asked = asyncio.create_task(ask(client, f"accounts:{account.hex()}", height_min=later, wait_ms="10000"))
    await asyncio.sleep(0.1)
    await node.open_borrower("ann")
    while not asked.done():
        await node.make_block()
        await asyncio.sleep(0.02)
    with pytest.raises(ApiError) as caught:
        asked.result()
    assert caught.value.code == "signature_missing"


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "loans",
        "loans:xyz",
        "loans:abc",
        "LOANS:ab",
        "queue:-",
        "references:" + UNKNOWN,
        "nothing:-",
        f"loans:{UNKNOWN},",
        "loans:" + "ab" * 65,
        ",".join(f"loans:{number:064x}" for number in range(PROVED_ROWS_MAX + 1)),
    ],
)
async def test_what_is_no_row_is_refused(client: NodeClient, rows: str) -> None:
    """Before anything is looked up."""
    await refuse(client, "malformed_request", rows)


async def test_as_many_rows_as_may_be_are_proved_together(node: DevNode, client: NodeClient) -> None:
    """Under one header and one certificate."""
    await node.make_block()
    await node.make_block()
    places: list[Place] = [(LOANS.number, number.to_bytes(32, "big")) for number in range(PROVED_ROWS_MAX)]
    found = verify(await ask(client, name_rows(*places)), node, *places)
    assert len(found.rows) == PROVED_ROWS_MAX
    assert list(verify(await ask(client, "tip:-,rules:-,tip:-"), node, (1, b""), (37, b"")).rows) == [
        (1, b""),
        (37, b""),
    ]
