"""Runs a program under several hash seeds, for tests of the law that a result never depends on one."""

import os
import subprocess
import sys
from typing import Final

from tests.rules import tree

HASH_SEEDS: Final = ("0", "1", "4294967295")


def outputs_by_hash_seed(program: str, *, seeds: tuple[str, ...] = HASH_SEEDS) -> dict[str, bytes]:
    """{PYTHONHASHSEED: standard output} of `program` (Python source). Raises CalledProcessError when it fails."""
    return {
        seed: subprocess.run(
            [sys.executable, "-c", program],
            cwd=tree.ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(tree.ROOT)},
            check=True,
            stdout=subprocess.PIPE,
            timeout=120,
        ).stdout
        for seed in seeds
    }


def assert_same_for_every_hash_seed(program: str) -> bytes:
    """The one output of `program`. Raises AssertionError when two hash seeds differ or nothing was printed."""
    outputs = outputs_by_hash_seed(program)
    assert len(set(outputs.values())) == 1, f"the output depends on PYTHONHASHSEED: {outputs}"
    (output,) = set(outputs.values())
    assert output, "the program printed nothing"
    return output
