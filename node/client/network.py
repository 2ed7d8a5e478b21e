"""The network as it stands today: policy, members with their roles, and models, as votes have set them since founding.

    network = await read_network(client)

It answers to the names of a genesis (`members`, `policy`, `models`, the calendar), so that whatever reads a founding
document reads this as well. Believed of the node that was asked, as its books are; the chain id alone is computed here.
Never a key of the transport or of consensus: those are the genesis' own.
"""

from typing import Any, NamedTuple

import msgspec

from node.client.http import ApiError, ClientError, NodeClient
from protocol.genesis import CurrencyUnit, Genesis, Member, Policy
from protocol.ids import AccountId, BoxKey, ChainId, PublicKey, TimeMs


class Party(NamedTuple):
    """An organisation with the roles it holds today, by the names of `protocol.genesis.Member`."""

    name: str
    account: AccountId
    officer_key: PublicKey
    enc_key: BoxKey
    attester_key: PublicKey | None
    lender: bool
    settlement_agent: bool
    issuer: bool
    observer: bool
    arbiter: bool


class Network(NamedTuple):
    """What is in force, beside the document the network was founded with."""

    genesis: Genesis
    policy: Policy
    policy_version: int
    paused: tuple[str, ...]
    members: tuple[Party, ...]
    """All of them; one that is suspended or frozen holds no role here."""
    models: tuple[str, ...]
    """Canonical JSON of those that score new applications."""

    @property
    def name(self) -> str:
        """The network's name."""
        return self.genesis.name

    @property
    def currencies(self) -> tuple[CurrencyUnit, ...]:
        """Money of the network, the first one first."""
        return self.genesis.currencies

    def calculate_chain_id(self) -> ChainId:
        """Of the genesis: votes do not change it."""
        return self.genesis.calculate_chain_id()

    def calculate_day(self, time_ms: TimeMs, tz_offset_min: int) -> int:
        """Contract day at a block time in an offset."""
        return self.genesis.calculate_day(time_ms, tz_offset_min)


Standing = Genesis | Network
"""A network as founded or as it stands today; either will do where both have what is asked for."""
Organisation = Member | Party


def list_auditors(network: Standing) -> tuple[Organisation, ...]:
    """Members that watch, do not lend, and can attest."""
    return tuple(one for one in network.members if one.observer and not one.lender and one.attester_key is not None)


async def read_network(client: NodeClient) -> Network:
    """What the node's books say is in force. Raises ClientError(answer_malformed) for what cannot be understood."""
    genesis = await client.get_genesis()
    return make_network(genesis, await client.get("/v1/network"))


def make_network(genesis: Genesis, view: dict[str, Any]) -> Network:
    """The network of an answer of GET /v1/network. Raises ClientError(answer_malformed)."""
    try:
        return Network(
            genesis=genesis,
            policy=msgspec.convert(view["policy"], Policy),
            policy_version=int(view["policy_version"]),
            paused=tuple(str(one) for one in view["paused"]),
            members=tuple(_read_party(one) for one in view["members"]),
            models=tuple(str(one["text"]) for one in view["models"] if not one["retired"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ClientError("answer_malformed", "The node's answer about its network cannot be understood.") from error


def _read_party(one: dict[str, Any]) -> Party:
    attester_key = one["attester_key"]
    roles = [] if one["frozen"] else one["roles"]
    return Party(
        name=str(one["name"]),
        account=AccountId(bytes.fromhex(one["account"])),
        officer_key=PublicKey(bytes.fromhex(one["officer_key"])),
        enc_key=BoxKey(bytes.fromhex(one["enc_key"])),
        attester_key=None if attester_key is None else PublicKey(bytes.fromhex(attester_key)),
        lender="lender" in roles,
        settlement_agent="settlement_agent" in roles,
        issuer="issuer" in roles,
        observer="observer" in roles,
        arbiter="arbiter" in roles,
    )


async def find_account(client: NodeClient, key: PublicKey) -> AccountId | None:
    """The account a key speaks for today; None when for none yet."""
    try:
        found = await client.get(f"/v1/accounts/{key.hex()}")
    except ApiError as error:
        if error.code != "not_found":
            raise
        return None
    return AccountId(bytes.fromhex(found["id"]))
