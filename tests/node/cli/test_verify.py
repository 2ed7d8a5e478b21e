"""`liushui verify` tells in which epoch an outcome was finalised, from the genesis alone."""

import json
from pathlib import Path

import pytest

from node.cli.common import EXIT_OK, EXIT_UNVERIFIED
from protocol.genesis import encode_genesis
from tests.node.cli.test_commands import run
from tests.protocol.test_receipt_file import prove


@pytest.mark.parametrize(
    ("epoch", "words"),
    [
        (0, "in epoch 0, whose validators the genesis names."),
        (1, "in epoch 1, whose validators follow from the genesis by 1 finalised change."),
        (2, "in epoch 2, whose validators follow from the genesis by 2 finalised changes."),
    ],
)
def test_the_epoch_is_told(tmp_path: Path, epoch: int, words: str) -> None:
    """In a sentence and as a fact; a changed byte among the proofs is refused as any other."""
    raw, world, _ = prove(epoch)
    receipt, genesis = tmp_path / "a.receipt", tmp_path / "genesis.json"
    receipt.write_bytes(raw)
    genesis.write_bytes(encode_genesis(world.genesis))
    done = run("verify", str(receipt), "--genesis", str(genesis))
    assert (done.exit_code, words in done.stdout) == (EXIT_OK, True), done.output
    told = json.loads(run("verify", str(receipt), "--genesis", str(genesis), "--json").stdout)
    assert told["epoch"] == epoch
    receipt.write_bytes(raw[:-9] + bytes((raw[-9] ^ 1,)) + raw[-8:])
    assert run("verify", str(receipt), "--genesis", str(genesis)).exit_code == EXIT_UNVERIFIED
