"""A worker process that verifies signatures for the node that started it: jobs in by stdin, verdicts out by stdout.

    job      length u32 | msgpack [[key, signature | message], ...]
    answer   one byte per pair, 1 for a good signature

It ends when its input ends, so it never outlives its node, and it holds nothing that could be lost: it may be killed
at any time. Never give it a key or the ledger.
"""

import signal
import sys
from typing import BinaryIO

import msgpack

from protocol.crypto import check_signed


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the input ends."""
    while len(head := jobs.read(4)) == 4:
        raw = jobs.read(int.from_bytes(head, "big"))
        answers.write(bytes(check_signed(key, signed) for key, signed in msgpack.unpackb(raw)))
        answers.flush()


def main() -> int:
    """Serve the process that holds the other ends; signals are that one's affair."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        return 1  # nobody reads any more
    return 0


if __name__ == "__main__":
    sys.exit(main())
