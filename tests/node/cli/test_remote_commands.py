"""The command line beside a node: a borrower's whole way, receipts verified offline, and honest failures."""

import json
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from node.cli import remote
from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_UNVERIFIED, EXIT_USAGE
from protocol.genesis import encode_genesis
from tests.node.api.harness import make_genesis
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk


async def test_a_borrowers_whole_way_by_commands(desk: Desk) -> None:
    """product list, apply, offers, accept, loan show, repay, access log, verify: each does what it says."""
    assert len((await desk.read("product", "list"))["items"]) == 2
    assert len((await desk.read("pool", "show"))["items"]) == 2
    async with attesting(desk.node, "harbour"):
        made = await desk.sign(
            "apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--genesis",
            str(desk.genesis), "--yes",
        )  # fmt: skip
        for _ in range(100):
            told = await desk.read("offers", made["application"])
            if told["offers"]:
                break
    best = told["offers"][0]
    taken = await desk.sign("accept", best["id"], "--yes")
    assert taken["net_proceeds"] == best["net_proceeds"]
    stood = await desk.read("loan", "show", taken["loan"])
    assert stood["loan"]["state"] == "active"
    assert len((await desk.read("loan", "schedule", taken["loan"]))["schedule"]) == 12
    assert [one["id"] for one in (await desk.read("loan", "list", "--state", "active"))["items"]] == [taken["loan"]]
    part = await desk.sign("repay", taken["loan"], "--amount-minor", "100000", "--yes")
    assert part["loan"]["principal_out"] == 1_900_000
    rest = await desk.sign("payoff", taken["loan"], "--yes")
    assert rest["loan"]["payoff"] == 0
    log = await desk.sign("data", "access-log", made["data"])
    assert [one["reader_name"] for one in log["entries"]] == ["harbour"]
    await check_receipt(desk, rest["transaction"])


async def check_receipt(desk: Desk, transaction: str) -> None:
    await desk.node.make_block()
    raw = await desk.node.make_receipt_file(bytes.fromhex(transaction))  # type: ignore[arg-type]
    assert raw is not None
    path = desk.folder / "receipt.lsr"
    path.write_bytes(raw)
    proved = await desk.run("verify", str(path), "--genesis", str(desk.genesis), "--json")
    assert proved.exit_code == EXIT_OK
    assert (json.loads(proved.stdout)["outcome"], json.loads(proved.stdout)["type"]) == ("success", "Pay")
    for position in (0, len(raw) // 3, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:position] + bytes((raw[position] ^ 4,)) + raw[position + 1 :])
        altered = await desk.run("verify", str(path), "--genesis", str(desk.genesis))
        assert altered.exit_code == EXIT_UNVERIFIED, position
        assert "receipt_" in altered.stderr


async def test_people_read_what_programs_read(desk: Desk) -> None:
    """The same commands without --json print tables and sentences, and the whole cost before asking."""
    async with attesting(desk.node):
        args = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url)
        done = await desk.run(
            "apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", *args, text="y\n"
        )
        assert done.exit_code == EXIT_OK, done.output
        assert "Do you agree?" in done.stderr
    offer = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("offer "))
    refused = await desk.run("accept", offer, *args, text="n\n")
    assert refused.exit_code == EXIT_REFUSED
    for words in ("whole cost", "APR", "20,000.00", "Due on"):
        assert words in refused.stdout
    status = await desk.run("status", "--node", desk.url)
    assert "participating" in status.output
    for command in (("product", "list"), ("pool", "show"), ("loan", "list")):
        shown = await desk.run(*command, "--node", desk.url)
        assert shown.exit_code == EXIT_OK, shown.output


async def test_refusals_keep_the_ledgers_code(desk: Desk) -> None:
    """A refusal of the books ends the command with exit code 1 and the same code that the receipt holds."""
    args = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url, "--json")
    done = await desk.run("repay", "ab" * 32, "--amount-minor", "5", *args)
    assert done.exit_code == EXIT_REFUSED
    assert json.loads(done.stdout)["error"]["code"] == "loan_unknown"
    done = await desk.run("accept", "ab" * 32, "--yes", *args)
    assert json.loads(done.stdout)["error"]["code"] == "not_found"
    done = await desk.run("repay", "nonsense", "--amount-minor", "5", *args)
    assert json.loads(done.stdout)["error"]["code"] == "malformed_id"
    done = await desk.run("repay", "ab" * 32, *args)
    assert done.exit_code == EXIT_USAGE


async def test_nothing_is_sent_to_another_network(desk: Desk) -> None:
    """With a genesis named, a node of another network gets no statement."""
    other = desk.folder / "other.json"
    other.write_bytes(encode_genesis(msgspec.structs.replace(make_genesis(), name="other")))
    before = desk.node.ledger.height
    done = await desk.run(
        "apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes", "--genesis", str(other),
        "--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url, "--json",
    )  # fmt: skip
    assert json.loads(done.stdout)["error"]["code"] == "wrong_network"
    assert desk.node.ledger.height == before


async def test_a_wrong_passphrase_signs_nothing(desk: Desk) -> None:
    """A passphrase from a file that does not open the key ends the command before anything is sent."""
    desk.secret.write_text("another horse\n")
    args = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url, "--json")
    done = await desk.run("consent", "revoke", "ab" * 32, "--yes", *args)
    assert json.loads(done.stdout)["error"]["code"] == "passphrase_wrong"


async def test_a_server_that_is_no_node_is_unreachable(desk: Desk) -> None:
    """Whatever answers there with something else than JSON is no node: exit code 3."""

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>")

    app = web.Application()
    app.router.add_get("/{tail:.*}", greet)
    server = TestServer(app)
    await server.start_server()
    done = await desk.run("status", "--node", str(server.make_url("/")))
    assert done.exit_code == EXIT_UNREACHABLE
    await server.close()


async def test_a_node_that_lies_about_an_offer_gets_no_signature(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offer shown cheaper than what would be signed ends with exit code 4."""
    async with attesting(desk.node):
        made = await desk.sign("apply", str(desk.statement), "--amount-minor", "2000000", "--periods", "12", "--yes")
    offer = made["result"]["offers"][0]
    honest = remote.get

    def lie(url: str, path: str, **named: Any) -> Any:
        found = honest(url, path, **named)
        return {**found, "total_cost": found["total_cost"] - 1} if "/offers/" in path else found

    monkeypatch.setattr(remote, "get", lie)
    args = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url, "--json")
    done = await desk.run("accept", offer["id"], "--yes", *args)
    assert done.exit_code == EXIT_UNVERIFIED
    assert json.loads(done.stdout)["error"]["code"] == "offer_altered"


async def test_verify_names_what_is_wrong_with_its_files(desk: Desk) -> None:
    """A missing receipt, a genesis that is none: exit code 1; something that is no receipt: exit code 4."""
    nothing, junk = desk.folder / "none", desk.folder / "junk"
    junk.write_bytes(b"junk")
    assert (await desk.run("verify", str(nothing), "--genesis", str(desk.genesis))).exit_code == EXIT_REFUSED
    assert (await desk.run("verify", str(junk), "--genesis", str(junk))).exit_code == EXIT_REFUSED
    done = await desk.run("verify", str(junk), "--genesis", str(desk.genesis))
    assert (done.exit_code, "receipt_malformed" in done.stderr) == (EXIT_UNVERIFIED, True)
