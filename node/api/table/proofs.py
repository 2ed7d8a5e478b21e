"""Addresses of proofs that a reader checks alone."""

from typing import Final

from node.api import proofs
from node.api.openapi import Endpoint
from node.api.parameters import NUMBER_MAX, Query

_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX, "default": 0}
_WAIT: Final = {"type": "integer", "minimum": 0, "maximum": proofs.WAIT_MS_MAX, "default": proofs.WAIT_MS_DEFAULT}

PROOFS: Final = (
    Endpoint(
        "GET",
        "/v1/proofs",
        proofs.get_row_proof,
        "Rows of the books at one height, or their absence, with the proof that a quorum signed it",
        "application/octet-stream",
        query=(
            Query("rows", "table:key,... with keys in hex; - for a table of one row.", proofs.ROWS, required=True),
            Query("height_min", "No older state than after this height.", _NUMBER),
            Query("epoch", "Epoch whose validators the reader knows; how later ones came is shown.", _NUMBER),
            Query("wait_ms", "How long to wait for a final header that names the state.", _WAIT),
        ),
        problems=("not_permitted", "proof_not_ready"),
        may_sign=True,
        cost=20,
    ),
)
