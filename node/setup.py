"""Founding a network: genesis, one directory per node with settings and keys, and the authorities' keys.

Used by `liushui testnet` and by the demonstration. All keys are made on this machine, which is right for a network of
one's own and for trials; members who do not trust each other make their keys at home and exchange public halves.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nacl.public import PrivateKey

from node.client.keyfile import Passphrase
from node.config import CONFIG_FILE, NodeConfig, PeerAddress, format_config
from node.keystore import write_key
from node.store.votelog import VOTES, create_vote_log
from protocol.crypto import KeySigner
from protocol.genesis import DAY_MS, GENESIS_VERSION, CurrencyUnit, Genesis, Member, Policy, encode_genesis
from protocol.ids import BoxKey, Day, TimeMs
from protocol.money import Amount, Currency, Ppm
from scoring.models import load_default
from scoring.points import encode_model

EPOCH_DAY = 719_163
"""Proleptic ordinal of 1970-01-01."""

DEFAULT_POLICY = Policy(
    debt_cap=Amount(20_000_000),
    instalment_share_ppm=Ppm(600_000),
    lenders_max=3,
    accepts_per_day_max=2,
    apr_cap_ppm=Ppm(360_000),
    late_cap_ppm=Ppm(480_000),
    cost_cap_ppm=Ppm(1_000_000),
    cooling_off_days=3,
    materiality=Amount(100),
    statement_age_days_max=3,
    application_days=14,
    attestations_floor=2,
)


class NodePlace(NamedTuple):
    """One node of a new network."""

    name: str
    role: str
    directory: Path
    listen_port: int
    api_port: int


class Testnet(NamedTuple):
    """A network laid out on disk, not yet running."""

    directory: Path
    genesis: Genesis
    nodes: tuple[NodePlace, ...]
    authorities: tuple[tuple[str, Path], ...]
    """Name and key directory of the settlement agent and the credential issuer; they run no node."""


def find_free_ports(count: int) -> list[int]:
    """Ports free on loopback at this moment; all are held open until all are found."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def make_member(
    directory: Path,
    name: str,
    *,
    validator: bool = False,
    observer: bool = False,
    auditor: bool = False,
    passphrase: Passphrase | None = None,
    **roles: bool,
) -> Member:
    """Make a member's keys below `directory`, sealed when a passphrase is given; its public entry for the genesis.

    An `auditor` is an observer with an attester key: it reads what it is granted, and signs what it found. Raises
    FileExistsError, OSError and KeyFileError.
    """
    assert not (validator and (observer or auditor)), "whoever watches has no vote"

    def make(kind: str) -> bytes:
        return write_key(directory, kind, passphrase=passphrase)

    officer, node, enc = KeySigner(make("officer")), KeySigner(make("node")), PrivateKey(make("enc"))
    attester = KeySigner(make("attester")).public_key if validator or auditor else None
    voter = KeySigner(make("validator")).public_key if validator else None
    if validator:
        create_vote_log(directory / VOTES)
    return Member(
        name=name,
        officer_key=officer.public_key,
        node_key=node.public_key,
        enc_key=BoxKey(bytes(enc.public_key)),
        attester_key=attester,
        validator_key=voter,
        observer=observer or auditor,
        **roles,
    )


def make_testnet(
    directory: Path,
    *,
    lenders: Sequence[str],
    observers: Sequence[str] = (),
    auditors: Sequence[str] = (),
    time_ms: TimeMs,
    day_ms: int = DAY_MS,
    day_start: Day | None = None,
    currency: str = "CNY",
    policy: Policy = DEFAULT_POLICY,
    base_port: int | None = None,
) -> Testnet:
    """Lay out a network: genesis.json, one directory per node, and authorities/ for the agent and the issuer.

    Node i listens on base_port + 2i (gossip) and base_port + 2i + 1 (API), or on free ports when `base_port` is None.
    `time_ms` is now; with whole days the genesis begins at the last UTC midnight. Raises FileExistsError when
    `directory` already holds a network.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "genesis.json").exists():
        raise FileExistsError(f"{directory} already holds a network")
    start_ms = TimeMs(time_ms - time_ms % DAY_MS) if day_ms == DAY_MS else time_ms
    names = [*lenders, *observers, *auditors]
    ports = find_free_ports(2 * len(names)) if base_port is None else list(range(base_port, base_port + 2 * len(names)))
    members = [make_member(directory / name, name, validator=True, lender=True) for name in lenders]
    members += [make_member(directory / name, name, observer=True) for name in observers]
    members += [make_member(directory / name, name, auditor=True) for name in auditors]
    authorities: dict[str, Any] = {"clearing": {"settlement_agent": True}, "identity": {"issuer": True}}
    extra = [make_member(directory / "authorities" / name, name, **roles) for name, roles in authorities.items()]
    genesis = Genesis(
        version=GENESIS_VERSION,
        name=directory.name or "liushui",
        time_ms=start_ms,
        day_start=Day(EPOCH_DAY + start_ms // DAY_MS) if day_start is None else day_start,
        day_ms=day_ms,
        currencies=(CurrencyUnit(code=Currency(currency), exponent=2),),
        members=(*members, *extra),
        policy=policy,
        models=(encode_model(load_default(currency)).decode("ascii"),),
    )
    places = tuple(
        NodePlace(
            name, "validator" if name in lenders else "observer", directory / name, ports[2 * i], ports[2 * i + 1]
        )
        for i, name in enumerate(names)
    )
    text = encode_genesis(genesis)
    (directory / "genesis.json").write_bytes(text)
    for place in places:
        (place.directory / "genesis.json").write_bytes(text)
        (place.directory / CONFIG_FILE).write_text(
            format_config(_make_config(place, places, members)), encoding="utf-8"
        )
    return Testnet(directory, genesis, places, tuple((name, directory / "authorities" / name) for name in authorities))


def _make_config(place: NodePlace, places: Sequence[NodePlace], members: Sequence[Member]) -> NodeConfig:
    keys = {member.name: member.node_key.hex() for member in members}
    return NodeConfig(
        name=place.name,
        role="observer" if place.role == "observer" else "validator",
        listen_port=place.listen_port,
        api_port=place.api_port,
        peers=tuple(
            PeerAddress(name=one.name, node_key=keys[one.name], url=f"wss://127.0.0.1:{one.listen_port}/gossip")
            for one in places
            if one.name != place.name
        ),
        verify_processes=-1 if len(places) == 1 else 0,
        allow_unsealed_keys=True,
    )
