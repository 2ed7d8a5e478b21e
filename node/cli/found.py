"""`liushui testnet` and `liushui init`: a new network, or one member's node. The clock is read for the genesis only."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import (
    fail,
    json_option,
    passphrase_options,
    print_facts,
    print_json,
    print_table,
    read_passphrase,
)

if TYPE_CHECKING:
    from node.setup import Testnet


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lender", "lenders", multiple=True, help="Name of a lender with a validator; repeat for each.")
@click.option("--validators", type=click.IntRange(1, 32), default=None, help="So many lenders, named lender1 and on.")
@click.option("--observer", "observers", multiple=True, help="Name of an observer; repeat for each.")
@click.option("--auditor", "auditors", multiple=True, help="Name of an observer that attests; repeat for each.")
@click.option("--day-ms", type=click.IntRange(100, 86_400_000), default=86_400_000, help="Length of a ledger day.")
@click.option("--currency", default="CNY", show_default=True, help="ISO 4217 code of the network's money.")
@click.option("--base-port", type=click.IntRange(1024, 65_000), default=None, help="First port; free ports otherwise.")
@json_option
def testnet(
    *,
    directory: Path,
    lenders: tuple[str, ...],
    validators: int | None,
    observers: tuple[str, ...],
    auditors: tuple[str, ...],
    day_ms: int,
    currency: str,
    base_port: int | None,
    as_json: bool,
) -> None:
    """Lay out a network in DIRECTORY: genesis.json, and one data directory per node with settings and keys.

    Its keys are not sealed: it is for trials on one machine. liushui keys seal seals those of a directory.
    """
    from node.setup import make_testnet
    from protocol.ids import TimeMs

    if lenders and validators is not None:
        raise click.UsageError("Name the lenders with --lender, or give their number with --validators, not both.")
    names = lenders or tuple(f"lender{i}" for i in range(1, (validators or 4) + 1))
    _check_names((*names, *observers, *auditors))
    try:
        made = make_testnet(
            directory,
            lenders=names,
            observers=observers,
            auditors=auditors,
            time_ms=TimeMs(time.time_ns() // 1_000_000),
            day_ms=day_ms,
            currency=currency,
            base_port=base_port,
        )
    except FileExistsError:
        fail("directory_taken", f"{directory} already holds a network: choose an empty directory.")
    except OSError as error:
        fail("directory_unwritable", f"{directory} cannot be written: {error.strerror}.")
    except KeyError:
        fail("currency_unknown", f"No scoring model is shipped for {currency}: choose CNY or CZK.")
    _tell(made, as_json)


def _tell(made: "Testnet", as_json: bool) -> None:
    """What was laid out, and how to start it."""
    facts: list[dict[str, Any]] = [
        {
            "name": node.name,
            "role": node.role,
            "data_dir": str(node.directory),
            "listen_port": node.listen_port,
            "api_port": node.api_port,
        }
        for node in made.nodes
    ]
    if as_json:
        print_json(
            {
                "chain_id": made.genesis.calculate_chain_id().hex(),
                "genesis": str(made.directory / "genesis.json"),
                "nodes": facts,
                "authorities": [{"name": name, "directory": str(place)} for name, place in made.authorities],
            }
        )
        return
    print_facts([("chain id", made.genesis.calculate_chain_id().hex()), ("genesis", made.directory / "genesis.json")])
    print_table(
        ("Node", "Role", "Start it with"),
        [(f["name"], f["role"], f"liushui start --data-dir {f['data_dir']}") for f in facts],
    )


@click.command()
@click.argument("name")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where the node lives."
)
@click.option(
    "--role",
    type=click.Choice(["validator", "observer"]),
    default=None,
    help="A validator votes and gets a validator and an attester key; an observer, as by default, has no vote.",
)
@click.option("--validator", is_flag=True, help="The same as --role validator.")
@click.option("--lender", is_flag=True, help="The organisation lends.")
@click.option("--observer", is_flag=True, help="The organisation may see exposure totals; its node never votes.")
@click.option("--auditor", is_flag=True, help="An observer with an attester key: it attests what it is granted.")
@click.option("--unsealed", is_flag=True, help="Leave the keys unsealed: for throw-away networks only.")
@passphrase_options
def init(
    *,
    name: str,
    data_dir: Path,
    role: str | None,
    validator: bool,
    lender: bool,
    observer: bool,
    auditor: bool,
    unsealed: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Make the keys and settings of NAME's node, and print the public entry that the genesis needs (JSON).

    One passphrase seals all its keys: asked for, or from --passphrase-file or --passphrase-fd.
    Send the entry to the founders; when their genesis.json arrives, put it into the data directory, add the peers to
    config.toml and run liushui start.
    """
    import msgspec

    from node.client.keyfile import Passphrase
    from node.config import CONFIG_FILE, NodeConfig, format_config
    from node.keystore import KEYS_DIRECTORY, KeyFileError
    from node.setup import make_member

    _check_names((name,))
    validator = _choose_role(role, validator=validator, watches=observer or auditor)
    taken = f"{data_dir} already holds keys: choose an empty directory; keys are never overwritten."
    if (data_dir / KEYS_DIRECTORY).exists():
        fail("directory_taken", taken)
    passphrase = None
    if not unsealed:
        passphrase = Passphrase(lambda: read_passphrase(file=passphrase_file, descriptor=passphrase_fd, confirm=True))
    config = NodeConfig(name=name, role="validator" if validator else "observer", allow_unsealed_keys=unsealed)
    roles = {"validator": validator, "observer": observer, "auditor": auditor, "lender": lender}
    try:
        member = make_member(data_dir, name, passphrase=passphrase, **roles)
        (data_dir / CONFIG_FILE).write_text(format_config(config), encoding="utf-8")
    except KeyFileError as error:
        fail(error.code, error.sentence)
    except FileExistsError:
        fail("directory_taken", taken)
    except OSError as error:
        fail("directory_unwritable", f"{data_dir} cannot be written: {error.strerror}.")
    click.echo(msgspec.json.format(msgspec.json.encode(member), indent=2).decode())


def _choose_role(role: str | None, *, validator: bool, watches: bool) -> bool:
    """Whether the node votes. Who watches by its part in the network, or by --role, is given no validator key."""
    if validator and role == "observer":
        raise click.UsageError("An observer has no validator key: choose --role observer or --validator.")
    if watches and (validator or role == "validator"):
        raise click.UsageError("An observer or auditor has no validator key: leave --role validator out.")
    return validator or role == "validator"


def _check_names(names: tuple[str, ...]) -> None:
    if len(set(names)) != len(names):
        raise click.UsageError("Every node needs a name of its own.")
    for name in names:
        if not (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 32) or name == "authorities":
            raise click.UsageError(f"{name!r} is not a name: use up to 32 letters, digits and hyphens.")
