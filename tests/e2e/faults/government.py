"""Organisations that vote on who validates, beside the load: newcomers, proposals, and what nodes say of epochs.

Votes are transactions like any other and are judged with the rest. Never a fault here.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from typing import Any, Final

from node.client.http import ApiError, NodeUnreachable
from node.client.wallet import Wallet
from node.config import CONFIG_FILE, NodeConfig, PeerAddress, format_config
from node.keystore import read_seed
from node.setup import NodePlace, make_member
from protocol.crypto import KeySigner, calculate_account_id, calculate_object_id
from protocol.genesis import Member
from protocol.ids import AccountId, BoxKey, Day
from protocol.ledger.rows import Role
from protocol.transactions.governance import Action, MemberSet, Propose, SeatSet, Vote, calculate_seat_bytes
from tests.e2e.faults.load import read_now_ms
from tests.e2e.faults.processes import VALIDATORS, find_base_port
from tests.e2e.faults.scene import Scene

DAY_MS: Final = 500
AHEAD_DAYS: Final = 12  # votes have six seconds
CHANGE_S: Final = 45.0
POLL_S: Final = 0.05


class Government:
    """The validators' organisations of one scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._genesis = scene.processes.testnet.genesis
        self._chain_id = self._genesis.calculate_chain_id()
        self._wallets = [
            Wallet(self._read(name, "officer"), self._chain_id, nonce_next=0, now_ms=read_now_ms) for name in VALIDATORS
        ]

    def _read(self, name: str, key: str) -> KeySigner:
        seed = read_seed(self._scene.processes.get_directory(name), key)
        assert seed is not None, f"{name} has no {key} key"
        return KeySigner(seed)

    async def decide(self, *actions: Action, votes_needed: int = 3) -> None:
        """Propose actions and vote for them, no more than it takes; they take effect together, some days later."""
        today = self._genesis.calculate_day(read_now_ms(), 0)
        first, *others = self._wallets[:votes_needed]
        proposals = []
        intents = []
        for action in actions:
            proposals.append(calculate_object_id("proposal", first.public_key, first.nonce_next))
            intents.append(first.build(Propose(action=action, effective_on=Day(today + AHEAD_DAYS))))
        await self._scene.load.finish(intents)
        votes = [one.build(Vote(proposal=proposal, approve=True)) for one in others for proposal in proposals]
        await self._scene.load.finish(votes)

    # ------------------------------------------------------------------ actions

    def find_account(self, name: str) -> AccountId:
        """Of the member with this name, which it was admitted with."""
        return calculate_account_id(self._read(name, "officer").public_key)

    def seat(self, name: str, key: str = "validator") -> SeatSet:
        """Give a member's key a seat, with its proof."""
        signer, account = self._read(name, key), self.find_account(name)
        proof = signer.sign(calculate_seat_bytes(self._chain_id, account))
        return SeatSet(account=account, validator_key=signer.public_key, proof=proof)

    def unseat(self, name: str) -> SeatSet:
        """Take a member's seat."""
        return SeatSet(account=self.find_account(name), validator_key=None, proof=None)

    def admit(self, member: Member) -> MemberSet:
        """Let an organisation and its node in."""
        return MemberSet(
            name=member.name,
            officer_key=member.officer_key,
            enc_key=BoxKey(member.enc_key),
            attester_key=member.attester_key,
            roles=int(Role.LENDER),
            node_key=member.node_key,
        )

    # ------------------------------------------------------------------ newcomers

    async def lay_out(self, name: str) -> Member:
        """Keys and settings of an organisation that the genesis does not know; its node is not started."""
        processes = self._scene.processes
        directory = processes.testnet.directory / name
        member = make_member(directory, name, validator=True, lender=True)
        port = find_base_port(2)
        keys = {one.name: one.node_key.hex() for one in self._genesis.members}
        peers = tuple(
            PeerAddress(name=one.name, node_key=keys[one.name], url=f"wss://127.0.0.1:{one.listen_port}/gossip")
            for one in processes.testnet.nodes
        )
        config = NodeConfig(
            name=name,
            role="validator",
            listen_port=port,
            api_port=port + 1,
            peers=peers,
            allow_unsealed_keys=True,
        )
        (directory / CONFIG_FILE).write_text(format_config(config), encoding="utf-8")
        shutil.copy(processes.testnet.directory / "genesis.json", directory / "genesis.json")
        processes.places[name] = place = NodePlace(name, "validator", directory, port, port + 1)
        await self._scene.load.add_node(name)
        processes.add(place)
        return member

    # ------------------------------------------------------------------ what nodes say

    async def ask(self, name: str, path: str) -> dict[str, Any]:
        """A node's answer; nothing while it does not answer."""
        try:
            return await self._scene.load.get(name, path)
        except (NodeUnreachable, ApiError):
            return {}

    async def wait_planned(self, name: str, epoch: int) -> None:
        """Return when the validators of an epoch are planned, so that it is near, or when it has begun."""

        def is_near(told: dict[str, Any]) -> bool:
            return bool(told) and (told["validators"]["next"] is not None or told["validators"]["epoch"] >= epoch)

        await self._wait(name, "/v1/network", is_near)

    async def wait_epoch(self, epoch: int, names: Sequence[str]) -> float:
        """Seconds until all these nodes are in an epoch, or beyond."""
        began = time.monotonic()
        for name in names:
            await self._wait(name, "/v1/status", lambda told: told.get("epoch", -1) >= epoch)
        return time.monotonic() - began

    async def _wait(self, name: str, path: str, is_there: Any) -> None:
        deadline = time.monotonic() + CHANGE_S
        while not is_there(await self.ask(name, path)):
            assert time.monotonic() < deadline, f"{name}, {path}: {await self._scene.load.describe()}"
            await asyncio.sleep(POLL_S)
