"""`liushui doctor`: what on this machine would stop a node, each finding with its fix. Changes nothing."""

import os
import shutil
import socket
import time
from pathlib import Path
from typing import Final, NamedTuple

import click

from node.cli.common import EXIT_REFUSED, json_option, print_json

FREE_BYTES_MIN: Final = 1_073_741_824
YEAR_2024_S: Final = 1_704_067_200


class Finding(NamedTuple):
    """One check."""

    name: str
    ok: bool
    sentence: str


@click.command()
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="A node's data directory."
)
@json_option
def doctor(*, data_dir: Path | None, as_json: bool) -> None:
    """Check libraries, scoring engine and clock, and with --data-dir settings, keys, genesis, ports and disk."""
    findings = [_check_libraries(), _check_scoring(), _check_clock()]
    if data_dir is not None:
        findings += _check_directory(data_dir)
    healthy = all(each.ok for each in findings)
    if as_json:
        print_json({"healthy": healthy, "findings": [each._asdict() for each in findings]})
    else:
        for each in findings:
            click.echo(f"{'ok  ' if each.ok else 'FAIL'}  {each.name}: {each.sentence}")
    if not healthy:
        raise click.exceptions.Exit(EXIT_REFUSED)


def _check_libraries() -> Finding:
    try:
        from protocol.crypto import KeySigner, check_signature

        signer = KeySigner(bytes(32))
        works = check_signature(signer.public_key, b"doctor", signer.sign(b"doctor"))
    except ImportError as error:
        return Finding("libraries", False, f"{error.name} is missing: install the requirements again.")
    return Finding("libraries", works, "libsodium signs and verifies." if works else "libsodium does not verify.")


def _check_scoring() -> Finding:
    from scoring.selftest import run_selftest

    try:
        run_selftest()
    except AssertionError as error:
        return Finding("scoring", False, f"{error}: this installation must not attest; install it again.")
    return Finding("scoring", True, "the engine gives the golden scores.")


def _check_clock() -> Finding:
    if time.time() < YEAR_2024_S:
        return Finding("clock", False, "the clock stands before 2024: set it, for example with NTP.")
    return Finding("clock", True, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _check_directory(directory: Path) -> list[Finding]:
    from node.config import ConfigError, load_config
    from node.keystore import KeyFileError, list_keys, read_public_key
    from protocol.genesis import GenesisError, decode_genesis

    try:
        config = load_config(directory, environment=os.environ)
    except ConfigError as error:
        return [Finding("settings", False, error.sentence)]
    findings = [Finding("settings", True, f"{config.name}, {config.role}")]
    place = Path(config.data_dir)
    try:
        held, node_key = list_keys(place), read_public_key(place, "node")
        findings.append(_check_keys(place, held, config.allow_unsealed_keys))
        raw = Path(config.genesis).read_bytes()
        genesis = decode_genesis(raw)
        member = next((one for one in genesis.members if one.node_key == node_key), None)
        findings.append(
            Finding("genesis", True, f"{genesis.name}, this node is {member.name}")
            if member is not None
            else Finding("genesis", True, f"{genesis.name}; this node is none of its founders: votes must admit it.")
        )
    except KeyFileError as error:
        findings.append(Finding("keys", False, error.sentence))
    except OSError as error:
        findings.append(Finding("genesis", False, f"{config.genesis} cannot be read: {error.strerror}."))
    except GenesisError as error:
        findings.append(Finding("genesis", False, f"{error}."))
    findings += _check_stops(place)
    findings += [
        _check_port("gossip port", config.listen_host, config.listen_port),
        _check_port("API port", config.api_host, config.api_port),
        _check_disk(place),
    ]
    return findings


def _check_keys(place: Path, held: dict[str, bool], allow_unsealed: bool) -> Finding:
    """Whether the keys that every node needs are there, and sealed unless the settings say otherwise."""
    missing = [name for name in ("node", "enc") if name not in held]
    if missing:
        return Finding("keys", False, f"{place} holds no {missing[0]} key: create it with liushui init.")
    bare = [name for name, is_sealed in held.items() if not is_sealed]
    if bare and not allow_unsealed:
        return Finding("keys", False, f"{', '.join(bare)} not sealed: run liushui keys seal --dir {place}.")
    said = f"{', '.join(held)}; {'all sealed' if not bare else 'not sealed, as the settings allow'}."
    return Finding("keys", True, said)


def _check_stops(place: Path) -> list[Finding]:
    """Why a validator that starts here would not vote."""
    from node.store.appendlog import LogError
    from node.store.stopfile import StopFile

    try:
        stops = StopFile.open(place).stops
    except LogError as error:
        return [Finding("voting", False, error.sentence)]
    return [Finding("voting", False, f"{stop.code}: {stop.sentence}") for stop in stops]


def _check_port(name: str, host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding(
                name, False, f"{host}:{port} cannot be used ({error.strerror}): stop what holds it, or change it."
            )
    return Finding(name, True, f"{host}:{port} is free.")


def _check_disk(place: Path) -> Finding:
    if not os.access(place, os.W_OK):
        return Finding("disk", False, f"{place} cannot be written: fix its owner or permissions.")
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES_MIN:
        return Finding("disk", False, f"only {free // 2**20} MiB are free: make room for at least 1 GiB.")
    return Finding("disk", True, f"{free // 2**30} GiB free.")
