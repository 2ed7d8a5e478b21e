"""Encrypted links: TLS 1.3 and nothing below it, with a certificate that lives as long as the process does.

A node makes a key and a certificate of it at each start, in memory, and never uses them again. Nobody judges what the
certificate says (it names nobody, and no date in it is ever looked at, so nothing can expire): it only stands for the
end of this one session. Who that end is, the handshake above says: both node keys sign the hash of the certificate that
the session really showed (`node.gossip.handshake`), which is the channel binding `tls-server-end-point` of RFC 5929.

Only the listener shows a certificate. Binding it is enough. A man in the middle ends two sessions; the dialler's one
shows his certificate, not the listener's, because he lacks the key of that one. The dialler signs what it saw, the
listener checks against what it has, and the proof does not hold; nor can he use a proof made for another session, as it
names both greetings with their fresh challenges. A certificate of the dialler would add nothing that its node key does
not prove already, and Python's ssl cannot ask a stranger for one without verifying it against an authority.

Never store the key, and never log it. There is no unencrypted mode.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from protocol.crypto import calculate_hash
from protocol.ids import Digest

TLS_HANDSHAKE_TIMEOUT_S: Final = 5.0
TLS_SHUTDOWN_TIMEOUT_S: Final = 1.0
NAME: Final = "liushui"
NOT_BEFORE: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, section 4.1.2.5: no well-defined expiration."""


class Credentials(NamedTuple):
    """What one process encrypts its links with."""

    listening: ssl.SSLContext
    dialling: ssl.SSLContext
    certificate: Digest
    """Hash of the certificate that whoever dials this process must see."""


def calculate_certificate_hash(certificate: bytes) -> Digest:
    """What a proof says of a certificate (DER)."""
    return calculate_hash("tls-certificate", certificate)


def find_shown_certificate(session: ssl.SSLObject | None) -> Digest | None:
    """Hash of the certificate that the far end of a dialled session showed; None without TLS or certificate."""
    shown = None if session is None else session.getpeercert(binary_form=True)
    return None if shown is None else calculate_certificate_hash(shown)


def make_credentials() -> Credentials:
    """A new key, its certificate, and the two contexts of a process. Takes about a millisecond, once."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOT_BEFORE)
    certificate = builder.not_valid_after(NOT_AFTER).sign(key, None)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    listening = _make_context(ssl.PROTOCOL_TLS_SERVER)
    with _lend_file(secret + certificate.public_bytes(Encoding.PEM)) as path:
        listening.load_cert_chain(path)
    listening.num_tickets = 0  # no session is resumed: each one shows its certificate
    shown = calculate_certificate_hash(certificate.public_bytes(Encoding.DER))
    return Credentials(listening, make_dialling_context(), shown)


def make_dialling_context() -> ssl.SSLContext:
    """The dialler's side: it takes any certificate, since the proof says whose it is."""
    return _make_context(ssl.PROTOCOL_TLS_CLIENT)


def _make_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION
    return context


@contextmanager
def _lend_file(content: bytes) -> Iterator[str]:
    """A path to read `content` from, which the ssl module insists on: memory where the system has such files, else a
    file of this user alone that is gone at once.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create(NAME, os.MFD_CLOEXEC), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name
