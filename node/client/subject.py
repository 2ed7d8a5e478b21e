"""One person or thing, one tag: the keyed hash of an identity or serial number that stands on the ledger in its place.

Only who holds the issuer's key can compute a tag, so nobody can find out by trying numbers who stands behind an
account. Never write the number itself to a file, a log or a transaction.
"""

import hmac
import unicodedata
from typing import Final

from protocol.crypto import calculate_hash
from protocol.ids import Digest

SUBJECT_CHARS_MIN: Final = 4


def normalise_subject(text: str) -> str:
    """An identity number as one string, however typed: width, spaces, hyphens, case and unseen signs do not count."""
    plain = unicodedata.normalize("NFKC", text)
    seen = (char for char in plain if not char.isspace() and unicodedata.category(char) != "Cf")
    return "".join(char for char in seen if char not in "-‐–").upper()


def calculate_subject_tag(issuer_seed: bytes, subject: str) -> Digest:
    """HMAC-SHA-256 (RFC 2104) of the normalised number, under a key derived from the issuer's seed (32 bytes)."""
    key = calculate_hash("subject-key", issuer_seed)
    return Digest(hmac.digest(key, normalise_subject(subject).encode(), "sha256"))


def calculate_serial_tag(issuer_seed: bytes, serial: str) -> Digest:
    """As `calculate_subject_tag`, of a thing's serial number; under another key, so that the two never meet."""
    key = calculate_hash("serial-key", issuer_seed)
    return Digest(hmac.digest(key, normalise_subject(serial).encode(), "sha256"))
