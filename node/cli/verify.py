"""`liushui verify`: what a receipt or a proof of rows proves, with no node and no trust in who handed it over."""

import json
from pathlib import Path
from typing import Any

import click

from node.cli.common import UnverifiedError, fail, json_option, print_facts, print_json


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--genesis",
    "genesis_path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The network's genesis.json, from a place you trust.",
)
@json_option
def verify(*, path: Path, genesis_path: Path, as_json: bool) -> None:
    """Verify FILE, a receipt or a proof of rows, against the genesis: signatures, execution, finalization.

    Exit code 4 when it does not hold.
    """
    from protocol.genesis import GenesisError, decode_genesis
    from protocol.receipt import ReceiptFault, verify_receipt_file
    from protocol.rowproof import ROW_PROOF_BYTES_MAX, is_row_proof

    raw = _read(path, ROW_PROOF_BYTES_MAX + 1)
    try:
        genesis = decode_genesis(_read(genesis_path, 16_777_216))
    except GenesisError as error:
        fail("genesis_invalid", f"{genesis_path}: {error}.")
    if is_row_proof(raw):
        _verify_rows(raw, genesis, as_json)
        return
    proved = verify_receipt_file(raw, genesis)
    if isinstance(proved, ReceiptFault):
        raise UnverifiedError(proved.code, proved.sentence)
    facts = _describe(proved, genesis.name)
    if as_json:
        print_json({"verified": True, **facts})
        return
    click.echo(
        "Proved: this transaction was executed, and a quorum of the network's validators finalised the outcome"
        f" in {_tell_epoch(proved.epoch)}."
    )
    print_facts((name, ", ".join(value) if isinstance(value, list) else value) for name, value in facts.items())


def _verify_rows(raw: bytes, genesis: Any, as_json: bool) -> None:
    from node.cli.lightwords import format_time, plain
    from node.client.light import decode_rows
    from protocol.ledger.state import TABLES
    from protocol.rowproof import RowFault, verify_row_proof

    proved = verify_row_proof(raw, genesis)
    if isinstance(proved, RowFault):
        raise UnverifiedError(proved.code, proved.sentence)
    rows = {f"{TABLES[number].name}:{key.hex() or '-'}": row for (number, key), row in decode_rows(proved).items()}
    facts: dict[str, Any] = {
        "network": genesis.name,
        "height": proved.height,
        "named_by_header": proved.header.height,
        "header_time": format_time(proved.last.time_ms),
        "epoch": proved.last.epoch,
        "signed_by": list(proved.signers),
    }
    if as_json:
        print_json({"verified": True, **facts, "rows": {name: plain(row) for name, row in rows.items()}})
        return
    click.echo(
        f"Proved: after height {proved.height} these rows stood so, and a quorum of the network's validators finalised"
        f" it in {_tell_epoch(proved.last.epoch)}."
    )
    print_facts((name, ", ".join(value) if isinstance(value, list) else value) for name, value in facts.items())
    for name, row in rows.items():
        click.echo(f"{name}: {'not there' if row is None else json.dumps(plain(row), ensure_ascii=False, indent=2)}")


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        fail("file_unreadable", f"{path} cannot be read: {error.strerror}.")


def _describe(proved: Any, network: str) -> dict[str, Any]:
    import datetime

    from protocol.rejections import SENTENCES

    header, receipt, body = proved.header, proved.receipt, proved.transaction.body
    at = datetime.datetime.fromtimestamp(header.time_ms // 1000, tz=datetime.UTC)
    rejection = proved.rejection
    return {
        "network": network,
        "chain_id": body.chain_id.hex(),
        "transaction": proved.transaction.id.hex(),
        "type": type(body.payload).__name__,
        "sender": body.sender.hex(),
        "outcome": "success" if rejection is None else f"rejected: {SENTENCES[rejection]} [{rejection.code}]",
        "facts": [_tell(fact) for fact in receipt.outcome],
        "height": receipt.height,
        "index": receipt.index,
        "named_by_header": header.height,
        "header_time": at.isoformat().replace("+00:00", "Z"),
        "epoch": proved.epoch,
        "signed_by": list(proved.signers),
    }


def _tell_epoch(epoch: int) -> str:
    if epoch == 0:
        return "epoch 0, whose validators the genesis names"
    return f"epoch {epoch}, whose validators follow from the genesis by {epoch} finalised change{'s' * (epoch > 1)}"


def _tell(fact: Any) -> str:
    """One fact of a receipt in a line: its name and fields, ids as hex."""
    import msgspec

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        return [plain(each) for each in value] if isinstance(value, tuple) else value

    if not isinstance(fact, msgspec.Struct):
        return str(fact)
    fields = ((field.name, getattr(fact, field.name)) for field in msgspec.structs.fields(fact))
    return f"{type(fact).__name__}({', '.join(f'{name}={plain(value)}' for name, value in fields)})"
