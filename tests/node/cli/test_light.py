"""`liushui light` believes nothing but what a quorum signed: lies end it with their code, and nothing leads it back."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import Result
from structlog.testing import capture_logs

from node.api.app import make_app
from node.cli import remote
from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_UNVERIFIED
from node.client.http import NodeClient
from protocol.certificate import Certificate
from protocol.codec import decode, encode
from protocol.crypto import calculate_hash
from protocol.ids import Digest, ObjectId
from protocol.ledger.state import LOANS, POOLS
from protocol.rowproof import RowFault, RowProof, Trusted
from tests.node.api.harness import LENDERS, DevNode
from tests.node.api.test_reads import make_loan
from tests.node.cli.terminal import Desk

Twist = Callable[[RowProof], RowProof]
UNKNOWN = "ab" * 32


def find_pool(node: DevNode) -> ObjectId:
    """One that exists."""
    return ObjectId(next(node.ledger.books.state.items(POOLS))[0])


@asynccontextmanager
async def lying(desk: Desk, answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """The address of a node that alters what the honest one answers."""

    async def serve(request: web.Request) -> web.Response:
        async with NodeClient(desk.url, patience_s=0) as honest:
            raw = await honest.call("GET", "/v1/proofs", query=dict(request.query))
        return web.Response(body=answer(raw), content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/v1/proofs", serve)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


def twisted(twist: Twist) -> Callable[[bytes], bytes]:
    """A lie in canonical bytes."""
    return lambda raw: encode(twist(decode(raw, RowProof)))


async def run(desk: Desk, *words: str, nodes: tuple[str, ...] = (), text: bool = False) -> Result:
    """One command of a reader who has the genesis."""
    asked = [one for url in nodes or (desk.url,) for one in ("--node", url)]
    return await desk.run("light", *words, "--genesis", str(desk.genesis), *asked, *([] if text else ["--json"]))


async def read(desk: Desk, *words: str, **more: Any) -> Any:
    """What it printed."""
    done = await run(desk, *words, **more)
    assert done.exit_code == EXIT_OK, done.output
    return json.loads(done.stdout)


async def refuse(desk: Desk, *words: str, exit_code: int = EXIT_UNVERIFIED, **more: Any) -> str:
    """The code it ended with."""
    done = await run(desk, *words, **more)
    assert done.exit_code == exit_code, done.output
    return str(json.loads(done.stdout)["error"]["code"])


def load_known(desk: Desk) -> Trusted:
    """What the reader remembers."""
    return decode(desk.genesis.with_name("genesis.json.light").read_bytes(), Trusted)


def change_row(proof: RowProof, **fields: Any) -> RowProof:
    """The first row altered."""
    return msgspec.structs.replace(proof, rows=(msgspec.structs.replace(proof.rows[0], **fields), *proof.rows[1:]))


def forge(proof: RowProof) -> RowProof:
    """A header of one's own, with the signatures of another."""
    last = msgspec.structs.replace(proof.headers[-1], time_ms=proof.headers[-1].time_ms + 1)
    finalization = msgspec.structs.replace(proof.finalization, digest=last.calculate_digest())
    return msgspec.structs.replace(proof, headers=(*proof.headers[:-1], last), finalization=finalization)


def sign_alone(proof: RowProof) -> RowProof:
    """One validator's signature for all."""
    first = proof.finalization.signatures[0]
    alone: Certificate = msgspec.structs.replace(proof.finalization, signatures=(first,) * len(LENDERS))
    return msgspec.structs.replace(proof, finalization=alone)


LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a richer pool": (twisted(lambda proof: change_row(proof, value=encode(1))), "rows_path"),
    "no such pool": (twisted(lambda proof: change_row(proof, value=None, bucket=())), "rows_execution"),
    "another pool": (twisted(lambda proof: change_row(proof, key=bytes(32))), "rows_not_asked"),
    "a later height": (
        twisted(lambda proof: msgspec.structs.replace(proof, height=proof.height + 1)),
        "rows_execution",
    ),
    "a header of its own": (twisted(forge), "rows_finalization"),
    "one signature twice": (twisted(sign_alone), "rows_finalization"),
    "another network": (
        twisted(
            lambda proof: msgspec.structs.replace(
                proof, headers=tuple(msgspec.structs.replace(one, chain_id=bytes(32)) for one in proof.headers)
            )
        ),
        "rows_wrong_network",
    ),
    "nonsense": (lambda raw: raw[:-1], "rows_malformed"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_refused_by_its_code(desk: Desk, lie: str) -> None:
    """Exit code 4, nothing printed, nothing remembered."""
    await desk.node.make_block()
    answer, code = LIES[lie]
    async with lying(desk, answer) as url:
        assert await refuse(desk, "pool", find_pool(desk.node).hex(), nodes=(url,)) == code
    assert not desk.genesis.with_name("genesis.json.light").exists()


async def test_nobody_leads_it_back_behind_what_it_has_seen(desk: Desk) -> None:
    """An answer that was true once is a lie later, in another process too; an honest node that is behind waits."""
    asked = ("row", "pools", find_pool(desk.node).hex())
    held: list[bytes] = []

    def replay(raw: bytes) -> bytes:
        held.append(raw)
        return held[0]

    async with lying(desk, replay) as url:
        await desk.node.make_block()
        first = await read(desk, *asked, nodes=(url,))
        known = load_known(desk)
        assert (known.height, known.header and known.header.height) == (first["height"], first["named_by_header"])
        await desk.node.make_block()
        later = await read(desk, *asked)
        assert later["height"] > first["height"]
        assert await refuse(desk, *asked, nodes=(url,)) == "rows_older"
    assert load_known(desk).height == later["height"]


async def test_an_answer_of_several_nodes_is_the_latest_that_is_proved(desk: Desk) -> None:
    """Who lies is named and set aside, who is silent is named; where nobody else answers, the lie is the end."""
    await desk.node.make_block()
    pool, silent = find_pool(desk.node).hex(), "http://127.0.0.1:9"
    async with lying(desk, LIES["a richer pool"][0]) as url:
        found = await read(desk, "pool", pool, nodes=(url, silent, desk.url))
        assert [(one["node"], one["code"]) for one in found["lies"]] == [(url, "rows_path")]
        assert [one["code"] for one in found["silent"]] == ["node_unreachable"]
        told = await run(desk, "pool", pool, nodes=(url, silent, desk.url), text=True)
        assert f"{url} answered falsely and was not believed" in told.stderr
        assert await refuse(desk, "pool", pool, nodes=(silent, url)) == "rows_path"
    assert await refuse(desk, "pool", pool, nodes=(silent,), exit_code=EXIT_UNREACHABLE) == "node_unreachable"


async def test_validators_that_sign_two_blocks_of_a_height_are_found_out(desk: Desk) -> None:
    """By two nodes at once, and by what was remembered: the harness holds all their keys."""
    node, pool = desk.node, find_pool(desk.node).hex()
    await node.make_block()

    def fork(proof: RowProof) -> RowProof:
        other = msgspec.structs.replace(proof.headers[-1], proposer=1)
        finalization = node._finalise(other.calculate_digest(), other.view)
        return msgspec.structs.replace(proof, headers=(other,), finalization=finalization)

    async with lying(desk, twisted(fork)) as url:
        assert await refuse(desk, "pool", pool, nodes=(url, desk.url)) == "rows_conflict"
        await read(desk, "pool", pool)
        assert await refuse(desk, "pool", pool, nodes=(url,)) == "rows_conflict"
        assert await refuse(desk, "pool", pool, nodes=(url, desk.url)) == "rows_conflict"


async def test_a_network_that_seems_to_rest_is_not_taken_for_the_present_one(desk: Desk) -> None:
    """What nodes show may be true and old: --max-age says how old it may be, 0 takes any."""
    await desk.node.make_block()
    pool = find_pool(desk.node).hex()
    desk.node.clock_ms = desk.node.clock_ms + 7_200_000  # type: ignore[assignment]
    assert await refuse(desk, "pool", pool) == "light_stale"
    assert (await read(desk, "pool", pool, "--max-age", "0"))["verified"]
    assert (await read(desk, "pool", pool, "--max-age", "7300"))["verified"]


async def test_what_it_remembers_is_of_one_network_and_whole(desk: Desk) -> None:
    """A damaged file or one of another network is refused by name, not begun anew in silence."""
    await desk.node.make_block()
    pool, state = find_pool(desk.node).hex(), desk.folder / "seen"
    await read(desk, "pool", pool, "--state", str(state))
    known = decode(state.read_bytes(), Trusted)
    state.write_bytes(encode(msgspec.structs.replace(known, chain_id=Digest(bytes(32)))))
    assert await refuse(desk, "pool", pool, "--state", str(state), exit_code=EXIT_REFUSED) == "wrong_network"
    state.write_bytes(encode(known)[:-1])
    assert await refuse(desk, "pool", pool, "--state", str(state), exit_code=EXIT_REFUSED) == "light_state_damaged"


async def test_a_kept_proof_verifies_with_no_node(desk: Desk) -> None:
    """From the genesis alone, though the reader had begun later; not with a changed byte."""
    await desk.node.make_block()
    path = desk.folder / "pool.proof"
    await read(desk, "pool", find_pool(desk.node).hex())
    await read(desk, "pool", find_pool(desk.node).hex(), "--out", str(path))
    done = await desk.run("verify", str(path), "--genesis", str(desk.genesis), "--json")
    assert done.exit_code == EXIT_OK, done.output
    told = json.loads(done.stdout)
    assert told["rows"][f"pools:{find_pool(desk.node).hex()}"]["currency"] == "CNY"
    in_words = await desk.run("verify", str(path), "--genesis", str(desk.genesis))
    assert "a quorum of the network's validators finalised it in epoch 0" in in_words.stdout
    assert '"currency": "CNY"' in in_words.stdout
    raw = path.read_bytes()
    path.write_bytes(raw[:-9] + bytes((raw[-9] ^ 1,)) + raw[-8:])
    done = await desk.run("verify", str(path), "--genesis", str(desk.genesis), "--json")
    assert done.exit_code == EXIT_UNVERIFIED
    assert json.loads(done.stdout)["error"]["code"] == "rows_finalization"


@pytest.fixture
async def lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Desk, dict[str, str]]]:
    """A reader's desk where a loan runs, and the ids of all there is."""
    node = await DevNode.open(tmp_path)
    server = TestServer(make_app(node, now_ms=node.now_ms))
    await server.start_server()
    monkeypatch.setattr(remote, "read_clock_ms", node.now_ms)
    desk = Desk(tmp_path, node, str(server.make_url("")).rstrip("/"))
    with capture_logs():
        async with NodeClient(desk.url, timeout_s=30) as client:
            ids = await make_loan(node, client)
        yield desk, ids
    await server.close()
    await node.close()


async def test_rows_are_told_in_words(lent: tuple[Desk, dict[str, str]]) -> None:
    """Each verb on what exists and on what does not, with who signed it and at which height."""
    desk, ids = lent
    await desk.node.make_block()
    await desk.node.make_block()
    tag, member = calculate_hash("tag", b"li-na").hex(), desk.node.make_officer("harbour").account.hex()
    office = ("--officer-dir", str(desk.open_office("regulator")))
    own = ("--key", str(desk.key), "--passphrase-file", str(desk.secret))
    wanted: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
        (("status",), ("network", "epoch", "seats           2")),
        (("account", ids["account"]), ("cash", "CNY")),
        (("account", ids["account"], *own), ("kind", "person", "holds until")),
        (("account", member), (f"harbour ({member})",)),
        (("account", UNKNOWN), ("holds    nothing",)),
        (("loan", ids["loan"]), ("state", "active", "principal owed", "late at most")),
        (("pool", ids["pool"]), ("net asset value", "cover")),
        (("product", ids["product"]), ("jade personal", "every 1 month")),
        (("proposal", ids["proposal"]), ("PauseSet", "for it", "harbour")),
        (("exposure", tag, *office), ("principal open", "open loans")),
        (("row", "members", member), ('"name": "harbour"',)),
        (("row", "rules", "-"), ('"present"',)),
        (("loan", UNKNOWN), ("There is no such loan.",)),
        (("row", "loans", UNKNOWN), ("There is no such row.",)),
    )
    for words, parts in wanted:
        done = await run(desk, *words, text=True)
        assert done.exit_code == EXIT_OK, done.output
        for part in (*parts, "verified at height", "by 2 of 2 validators: "):
            assert part in done.stdout, (words, part, done.stdout)
    found = await read(desk, "loan", ids["loan"])
    assert found["rows"][0]["row"]["state"] > 0
    assert len({one["table"] for one in found["rows"]}) == 3, "the loan, its pool, its lender: all of one height"
    assert (await read(desk, "loan", UNKNOWN))["rows"] == [{"table": LOANS.name, "key": UNKNOWN, "row": None}]
    assert await refuse(desk, "exposure", tag, exit_code=EXIT_REFUSED) == "signature_missing"
    assert "sign with --key or --officer-dir" in (await run(desk, "exposure", tag, text=True)).output
    assert await refuse(desk, "row", "nothing", "-", exit_code=EXIT_REFUSED) == "table_unknown"
    assert await refuse(desk, "row", "loans", "xyz", exit_code=EXIT_REFUSED) == "malformed_id"


def test_the_page_names_every_fault() -> None:
    """With the code that the command ends with."""
    text = (Path(__file__).parents[3] / "docs" / "light.md").read_text("utf-8")
    assert {one.code for one in RowFault if f"`{one.code}`" not in text} == set()
