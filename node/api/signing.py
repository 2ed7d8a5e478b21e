"""Signed requests: who asks, shown by one header, without sessions, cookies or passwords.

    Liushui-Signature: <key hex>,<milliseconds>,<signature hex>

The signature is over a tag, method, path with query and time. It holds for a minute around the node's clock, and it
only ever permits reading or putting what its own hash names, so replaying it within that minute gives nothing new.
"""

from typing import Final, NamedTuple

from protocol.crypto import Signer, check_signature
from protocol.ids import PublicKey, Signature, TimeMs

HEADER: Final = "Liushui-Signature"
TAG: Final = b"LSH1"
WINDOW_MS: Final = 60_000


class Caller(NamedTuple):
    """The key that signed a request."""

    key: PublicKey
    time_ms: TimeMs


def calculate_request_bytes(method: str, path: str, time_ms: int) -> bytes:
    """What is signed: tag | method | 0x0A | path with query | 0x0A | milliseconds in decimal."""
    return TAG + f"{method.upper()}\n{path}\n{time_ms}".encode()


def sign_request(signer: Signer, method: str, path: str, time_ms: TimeMs) -> str:
    """The header's value for one request; `path` with its query, as it is sent."""
    signature = signer.sign(calculate_request_bytes(method, path, time_ms))
    return f"{signer.public_key.hex()},{time_ms},{signature.hex()}"


def check_request(header: str, method: str, path: str, now_ms: TimeMs) -> Caller | str:
    """The caller, or the code of what is wrong: signature_missing, signature_invalid, signature_stale."""
    if not header:
        return "signature_missing"
    parts = header.split(",")
    if len(parts) != 3 or not (parts[1].isascii() and parts[1].isdecimal()) or len(parts[1]) > 16:
        return "signature_invalid"
    try:
        key, signature = bytes.fromhex(parts[0]), bytes.fromhex(parts[2])
    except ValueError:
        return "signature_invalid"
    time_ms = int(parts[1])
    if len(key) != 32 or len(signature) != 64:
        return "signature_invalid"
    if not check_signature(PublicKey(key), calculate_request_bytes(method, path, time_ms), Signature(signature)):
        return "signature_invalid"
    if abs(now_ms - time_ms) > WINDOW_MS:
        return "signature_stale"
    return Caller(PublicKey(key), TimeMs(time_ms))
