"""What votes have set is what the API says and what clients, attesters and readers go by; the genesis stays."""

from typing import Any

import msgspec
import pytest
from nacl.public import PrivateKey

from node.api.state import find_member, find_name, may_see_exposure
from node.client.borrower import list_lenders, load_models, make_application, open_wallet
from node.client.http import ApiError, ClientError, NodeClient
from node.client.network import make_network, read_network
from node.documents import is_withdrawn
from protocol.crypto import KeySigner, calculate_account_id, calculate_hash
from protocol.genesis import DAY_MS
from protocol.ids import BoxKey, Day, ModelId, ObjectId, TimeMs
from protocol.ledger.rows import Role
from protocol.money import Amount
from protocol.transactions.accounts import KeyRecover, KeyRotate
from protocol.transactions.governance import (
    Action,
    Freeze,
    MemberSet,
    ModelRetire,
    ModelSet,
    PauseSet,
    PolicySet,
    Propose,
    Vote,
)
from scoring.points import encode_model
from tests.node.api.harness import LENDERS, MODEL, DevNode, make_keys, make_seed
from tests.node.api.lending import apply_for, attesting, make_device, make_wish, read_sample


async def enact(node: DevNode, *actions: Action) -> list[ObjectId]:
    """Both validators agree, and the next day comes."""
    day = Day(node.ledger.books.today + 1)
    made = []
    for action in actions:
        proposal = node.make_officer("harbour").build(Propose(action=action, effective_on=day))
        await node.do(proposal)
        await node.do(node.make_officer("jade").build(Vote(proposal=proposal.made, approve=True)))
        made.append(proposal.made)
    node.clock_ms = TimeMs(node.clock_ms + DAY_MS)
    await node.make_block()
    return made


def member(who: str, roles: Role, /, **fields: Any) -> MemberSet:
    """An organisation by the harness' keys."""
    keys = make_keys(who)
    assert keys.officer is not None
    assert keys.attester is not None
    plain: dict[str, Any] = {
        "name": who,
        "officer_key": keys.officer.public_key,
        "enc_key": keys.enc_key,
        "attester_key": keys.attester.public_key,
        "roles": int(roles),
    }
    return MemberSet(**{**plain, **fields})


async def test_the_network_in_force_follows_votes_and_the_genesis_does_not(node: DevNode, client: NodeClient) -> None:
    """Policy with its number, pauses, roles, names, models: all from the books."""
    before = await client.get("/v1/network")
    assert (before["policy_version"], before["paused"]) == (1, [])
    assert {one["name"]: one["roles"] for one in before["members"]} == {
        **{name: ["lender", "validator"] for name in LENDERS},
        "regulator": ["observer"],
        "clearing": ["settlement_agent"],
        "identity": ["issuer"],
    }
    other = msgspec.structs.replace(MODEL, name="other")
    policy = msgspec.structs.replace(node.genesis.policy, debt_cap=Amount(77_000))
    await enact(
        node,
        PolicySet(policy=policy),
        PauseSet(families=2),
        ModelSet(text=encode_model(other).decode("ascii")),
        ModelRetire(model=ObjectId(MODEL.id)),
        member("peony", Role.LENDER),
        member("regulator", Role.OBSERVER | Role.ARBITER, name="The Regulator", attester_key=None),
    )
    after = await client.get("/v1/network")
    assert (after["policy_version"], after["policy"]["debt_cap"], after["paused"]) == (2, 77_000, ["money"])
    assert {one["name"]: one["retired"] for one in after["models"]} == {MODEL.name: True, "other": False}
    named = {one["name"]: one for one in after["members"]}
    assert (named["peony"]["roles"], named["The Regulator"]["roles"]) == (["lender"], ["observer", "arbiter"])
    assert (await client.get_genesis()).policy == node.genesis.policy
    account = await client.get(f"/v1/accounts/{named['peony']['account']}")
    assert (account["name"], account["roles"]) == ("peony", ["lender"])
    network = await read_network(client)
    assert network.policy == policy
    assert [one.name for one in list_lenders(network)] == sorted(
        (*LENDERS, "peony"), key=lambda name: next(one.account for one in network.members if one.name == name)
    )
    assert list(load_models(network)) == [ModelId(other.id)]
    assert network.calculate_chain_id() == node.chain_id


async def test_who_may_read_what_follows_the_roles_in_force(node: DevNode) -> None:
    """Totals are for who observes or validates today; a suspended or frozen member reads as a stranger does."""
    keys = {name: make_keys(name) for name in ("regulator", "clearing", "peony", "harbour")}
    officers = {name: one.officer.public_key for name, one in keys.items() if one.officer is not None}
    assert may_see_exposure(node, officers["regulator"])
    assert may_see_exposure(node, keys["regulator"].node.public_key)
    assert not may_see_exposure(node, officers["clearing"])
    await enact(node, member("peony", Role.OBSERVER), member("regulator", Role(0), attester_key=None))
    assert may_see_exposure(node, officers["peony"])
    assert find_member(node, officers["peony"]) == "peony"
    assert not may_see_exposure(node, officers["regulator"])
    assert find_member(node, officers["regulator"]) is None
    assert find_name(node, calculate_account_id(officers["regulator"])) == "regulator"
    await enact(node, Freeze(account=calculate_account_id(officers["peony"]), frozen=True))
    assert not may_see_exposure(node, officers["peony"])


async def test_proposals_are_listed_by_state_with_their_votes(node: DevNode, client: NodeClient) -> None:
    """Whoever votes can read what on: the action's own fields, the votes so far, how many are needed."""
    (done,) = await enact(node, PauseSet(families=1))
    day = Day(node.ledger.books.today + 1)
    open_one = node.make_officer("jade").build(Propose(action=PauseSet(families=0), effective_on=day))
    await node.do(open_one)
    for state, proposal, votes in (("done", done, 2), ("open", open_one.made, 1)):
        (item,) = (await client.get("/v1/proposals", state=state))["items"]
        assert (item["id"], item["action"], len(item["approved"])) == (proposal.hex(), "pause_set", votes)
        assert item["votes_needed"] == 2
        assert await client.get(f"/v1/proposals/{proposal.hex()}") == item
        assert "families" in item["terms"]
    with pytest.raises(ApiError) as caught:
        await client.get(f"/v1/proposals/{'ab' * 32}")
    assert caught.value.code == "not_found"


async def test_an_account_shows_a_recovery_that_waits(node: DevNode, client: NodeClient) -> None:
    """The owner sees who asked, for which key, and until when to object."""
    wallet, issuer, new = await node.open_borrower("li-na"), node.make_officer("identity"), KeySigner(make_seed("new"))
    assert (await client.get(f"/v1/accounts/{wallet.account.hex()}"))["recovery"] is None
    payload = KeyRecover(account=wallet.account, new_key=new.public_key, enc_key=BoxKey(bytes(32)))
    await node.do(issuer.build(payload, cosigners=(new,)))
    found = (await client.get(f"/v1/accounts/{wallet.account.hex()}"))["recovery"]
    assert (found["new_key"], found["issuer_name"]) == (new.public_key.hex(), "identity")
    assert found["effective_ms"] == node.ledger.time_ms + 3 * DAY_MS


async def test_after_a_rotation_the_borrower_goes_on_with_the_new_key(node: DevNode, client: NodeClient) -> None:
    """A statement sealed and asked for with the old key is attested; the new wallet speaks for the old account."""
    await node.open_market()
    wallet, new = await node.open_borrower("li-na"), KeySigner(make_seed("li-na/new"))
    application = apply_for(node, wallet, read_sample(), make_wish())
    await make_device(node, client, wallet).apply(application)
    enc_key = BoxKey(bytes(PrivateKey(make_seed("li-na/enc")).public_key))
    await node.do(wallet.build(KeyRotate(new_key=new.public_key, enc_key=enc_key), cosigners=(new,)))
    later = await open_wallet(client, node.genesis, new, now_ms=node.now_ms)
    assert later.account == wallet.account
    async with attesting(node):
        found = await make_device(node, client, later).wait_decisions(application.application, count=2)
    assert len(found["offers"]) == 2
    envelope = application.sealed.envelope
    reader = calculate_account_id(node.make_officer("jade").public_key)
    assert not is_withdrawn(node.ledger.books, envelope, reader)
    await node.do(later.revoke_consent(application.consent))
    assert is_withdrawn(node.ledger.books, envelope, reader)


async def test_an_attester_whose_key_was_replaced_stays_silent(node: DevNode, client: NodeClient) -> None:
    """It wants nothing, signs nothing and does not end; a model that votes added is attested without a restart."""
    await node.open_market()
    wallet = await node.open_borrower("li-na")
    key = KeySigner(calculate_hash("new-attester")).public_key
    other = msgspec.structs.replace(MODEL, name="other")
    async with attesting(node):
        await enact(
            node,
            member("jade", Role.LENDER, attester_key=key),
            ModelSet(text=encode_model(other).decode("ascii")),
        )
        prepared = read_sample()
        wish = make_wish()._replace(as_of=Day(node.ledger.books.today))
        network = await read_network(client)
        application = make_application(
            wallet,
            prepared,
            wish,
            enc_key=BoxKey(bytes(PrivateKey(make_seed("li-na/enc")).public_key)),
            lenders=list_lenders(network),
            models=list(load_models(network).values()),
            now_ms=node.now_ms(),
        )
        await make_device(node, client, wallet).apply(application)
        found = await make_device(node, client, wallet).wait_decisions(application.application, count=1)
        assert [one["lender_name"] for one in found["decisions"]] == ["harbour"]
    row = await client.get(f"/v1/applications/{application.application.hex()}")
    assert {one["attester_name"] for one in row["attestations"]} == {"harbour"}
    assert len(row["attestations"]) == 2


def test_an_answer_that_says_no_network_is_refused(node: DevNode) -> None:
    """A node that answers nonsense ends the command with a code, not with a trace."""
    for view in ({}, {"policy": {}, "policy_version": 1, "paused": [], "members": [], "models": []}):
        with pytest.raises(ClientError) as caught:
            make_network(node.genesis, view)
        assert caught.value.code == "answer_malformed"
