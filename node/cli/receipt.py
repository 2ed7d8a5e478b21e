"""`liushui receipt`: what became of a transaction, and the file that proves it offline. Never a verification here."""

from pathlib import Path
from typing import Any

import click

from node.cli.common import fail, json_option, node_option, print_facts, print_json


@click.command()
@click.argument("transaction_id", metavar="TRANSACTION")
@click.option(
    "--out", "path", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Write the receipt file here."
)
@node_option
@json_option
def receipt(*, transaction_id: str, path: Path | None, node_url: str, as_json: bool) -> None:
    """Say what became of TRANSACTION; with --out, fetch the receipt that liushui verify proves with no node at all."""
    from node.cli import remote
    from node.client.http import ApiError, NodeClient
    from protocol.ids import TransactionId

    plain_id = remote.check_hex(transaction_id, "a transaction")
    if path is not None and path.exists():
        fail("file_exists", f"{path} exists: choose another name.")

    async def work(client: NodeClient) -> tuple[Any, bytes]:
        try:
            told = await client.get(f"/v1/transactions/{plain_id}")
        except ApiError as error:
            if error.code == "not_found":
                fail("not_found", f"The node has executed no transaction {plain_id}: check the id, or ask again later.")
            raise
        if path is None:
            return told, b""
        return told, await client.get_receipt_file(TransactionId(bytes.fromhex(plain_id)))

    told, raw = remote.run(node_url, work)
    if path is not None:
        try:
            path.write_bytes(raw)
        except OSError as error:
            fail("file_unwritable", f"{path} cannot be written: {error.strerror}.")
    if as_json:
        print_json({**told, "file": None if path is None else str(path)})
        return
    refused = told.get("rejection")
    print_facts(
        [
            ("transaction", told["id"]),
            ("outcome", "success" if refused is None else f"refused: {refused['sentence']} [{refused['code']}]"),
            ("height", told["height"]),
            ("file", path),
        ]
    )
