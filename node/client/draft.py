"""A draft: a transaction that several people sign one after the other, as a file that survives being sent by mail.

    draft = make_draft(body, network="mynet").sign(signer)   encode_draft(draft) -> bytes   read_draft(bytes) -> draft

The file holds the bytes that are signed and, beside them, what they say in words. Whoever reads it makes the words
from the bytes again and refuses a file in which they differ, so nobody signs something else than what stands there.
"""

from secrets import randbelow
from typing import Annotated, Final, Literal

import msgspec

from node.client.forms import describe, write_time
from protocol.codec import JSON_FAULTS, CodecError, decode, encode
from protocol.crypto import Signer, check_signature
from protocol.ids import ChainId, PublicKey, Signature, TimeMs
from protocol.limits import TRANSACTION_BYTES_MAX
from protocol.transactions.envelope import (
    TRANSACTION_TAG,
    TRANSACTION_VERSION,
    Cosignature,
    Payload,
    SignedTransaction,
    TransactionBody,
)

FILE_BYTES_MAX: Final = 262_144
NONCE_AHEAD_MIN: Final = 48
NONCE_AHEAD_SPAN: Final = 96
"""Together well inside the window of 256 within which a key may use any nonce."""
LINE_CHARS: Final = 64
"""Short enough that no mail program breaks a line of the file."""

Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Hex64 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


class DraftError(Exception):
    """A draft that cannot be used; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class SignerText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who must sign."""

    key: Hex32
    signature: Hex64 | None


class DraftText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, key by key (JSON)."""

    liushui_draft: Literal[1]
    network: str
    """Its name, for people; the chain id says which one it is."""
    chain_id: Hex32
    type: str
    says: dict[str, str]
    """What is signed, in words."""
    valid_until: str
    sender: SignerText
    cosigners: tuple[SignerText, ...]
    body: tuple[str, ...]
    """The bytes that are signed, hex, in short lines."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A body and the signatures over it so far."""

    network: str
    body: TransactionBody
    signatures: dict[PublicKey, Signature]

    @property
    def signers(self) -> tuple[PublicKey, ...]:
        """Who must sign: the sender first, then the co-signers in the body's order."""
        return (self.body.sender, *self.body.cosigners)

    @property
    def missing(self) -> tuple[PublicKey, ...]:
        """Who has not signed yet."""
        return tuple(key for key in self.signers if key not in self.signatures)

    @property
    def message(self) -> bytes:
        """The bytes that each signs."""
        return TRANSACTION_TAG + encode(self.body)

    def sign(self, signer: Signer) -> "Draft":
        """The draft with one more signature. Raises DraftError: not_a_signer, signed_already."""
        key = signer.public_key
        if key not in self.signers:
            raise DraftError("not_a_signer", f"The draft asks for no signature of the key {key.hex()}.")
        if key in self.signatures:
            raise DraftError("signed_already", f"The key {key.hex()} has signed this draft already.")
        return msgspec.structs.replace(self, signatures={**self.signatures, key: signer.sign(self.message)})

    def finish(self) -> bytes:
        """The signed transaction, once nobody is missing."""
        assert not self.missing, "everybody has signed"
        return encode(
            SignedTransaction(
                body=encode(self.body),
                signature=self.signatures[self.body.sender],
                cosignatures=tuple(Cosignature(key=key, signature=self.signatures[key]) for key in self.body.cosigners),
            )
        )


def make_draft(
    payload: Payload,
    *,
    network: str,
    chain_id: ChainId,
    sender: PublicKey,
    cosigners: tuple[PublicKey, ...],
    nonce_next: int,
    valid_to_ms: TimeMs,
) -> Draft:
    """A draft that nobody has signed. Raises DraftError(signers_repeated).

    Its nonce lies a chance distance ahead of the next one, so that what the sender signs meanwhile, or drafts beside
    it, does not use it up.
    """
    if sender in cosigners or len(set(cosigners)) != len(cosigners):
        raise DraftError("signers_repeated", "Somebody is named twice among those who sign: name each key once.")
    body = TransactionBody(
        version=TRANSACTION_VERSION,
        chain_id=chain_id,
        sender=sender,
        nonce=nonce_next + NONCE_AHEAD_MIN + randbelow(NONCE_AHEAD_SPAN),
        valid_to_ms=valid_to_ms,
        payload=payload,
        cosigners=tuple(sorted(cosigners)),
    )
    return Draft(network=network, body=body, signatures={})


def tell_body(body: TransactionBody) -> dict[str, str]:
    """What a body says, in words that need no network to be made again."""
    return dict(describe(body.payload))


def encode_draft(draft: Draft) -> bytes:
    """The draft's file."""
    text = encode(draft.body).hex()
    written = DraftText(
        liushui_draft=1,
        network=draft.network,
        chain_id=draft.body.chain_id.hex(),
        type=type(draft.body.payload).__name__,
        says=tell_body(draft.body),
        valid_until=write_time(draft.body.valid_to_ms),
        sender=_write_signer(draft, draft.body.sender),
        cosigners=tuple(_write_signer(draft, key) for key in draft.body.cosigners),
        body=tuple(text[i : i + LINE_CHARS] for i in range(0, len(text), LINE_CHARS)),
    )
    return msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n"


def _write_signer(draft: Draft, key: PublicKey) -> SignerText:
    signature = draft.signatures.get(key)
    return SignerText(key=key.hex(), signature=None if signature is None else signature.hex())


def read_draft(raw: bytes) -> Draft:
    """The draft of a file. Raises DraftError: draft_malformed, draft_altered."""
    if len(raw) > FILE_BYTES_MAX:
        raise DraftError("draft_malformed", "The file is too large for a draft.")
    try:
        text = msgspec.json.decode(raw, type=DraftText)
    except JSON_FAULTS as error:
        raise DraftError("draft_malformed", f"The file is not a draft of this program: {error}.") from error
    try:
        bytes_signed = bytes.fromhex("".join(text.body))
        if len(bytes_signed) > TRANSACTION_BYTES_MAX:
            raise DraftError("draft_malformed", "The draft is larger than any transaction.")
        body = decode(bytes_signed, TransactionBody)
    except (ValueError, CodecError) as error:
        raise DraftError(
            "draft_altered", "The draft's bytes are no transaction: it was cut or altered on its way. Ask for it again."
        ) from error
    if body.version != TRANSACTION_VERSION:
        raise DraftError("draft_malformed", "The draft is of a version that this program does not sign.")
    draft = Draft(network=text.network, body=body, signatures=_read_signatures(text))
    for what, told, true in (
        ("the type", text.type, type(body.payload).__name__),
        ("the network", text.chain_id, body.chain_id.hex()),
        ("the words", text.says, tell_body(body)),
        ("the last moment", text.valid_until, write_time(body.valid_to_ms)),
        ("the signers", [text.sender.key, *(one.key for one in text.cosigners)], [one.hex() for one in draft.signers]),
    ):
        if told != true:
            raise DraftError(
                "draft_altered", f"In this draft {what} differ from the bytes to be signed: do not sign it."
            )
    for key, signature in draft.signatures.items():
        if not check_signature(key, draft.message, signature):
            raise DraftError(
                "draft_altered",
                f"The signature of {key.hex()} does not fit: the draft was changed after it was signed.",
            )
    return draft


def _read_signatures(text: DraftText) -> dict[PublicKey, Signature]:
    return {
        PublicKey(bytes.fromhex(one.key)): Signature(bytes.fromhex(one.signature))
        for one in (text.sender, *text.cosigners)
        if one.signature is not None
    }
