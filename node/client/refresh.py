"""The borrower refreshes a statement while a loan runs: sealed here for the one lender, with a consent of its own.

    refresh = make_refresh(wallet, prepared, lender=..., committed=..., until_ms=..., enc_key=...)
    await send_refresh(device, wallet, refresh, ...)

The consent also names the statement the loan was granted on, so that the lender may compare the two where they overlap;
its envelope gets a new grant as far as the owner's node still holds it. Never an upload of anything that is not sealed.
"""

from typing import NamedTuple

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from node.client.borrower import Borrower, BorrowError, Prepared
from node.client.consent import MONITOR, calculate_text_hash
from node.client.http import ApiError, NodeClient
from node.client.network import Organisation
from node.client.wallet import Intent, Wallet
from node.vault.crypto import Recipient, Sealed, add_grants, seal_document
from protocol.codec import CodecError, decode
from protocol.ids import BoxKey, Day, Digest, ObjectId, TimeMs
from protocol.money import Currency
from protocol.transactions.data import ConsentGrant, Purpose
from protocol.vault import VaultEnvelope


class Refresh(NamedTuple):
    """A refreshed statement ready to be sent."""

    sealed: Sealed
    data: ObjectId
    consent: ObjectId
    intents: tuple[Intent, ...]


class Committed(NamedTuple):
    """The statement a loan was granted on, as the owner's node holds it."""

    data: ObjectId
    envelope: VaultEnvelope | None
    """None where it is gone; then nothing can be compared with it."""


async def read_committed(
    client: NodeClient, wallet: Wallet, data: ObjectId, document: Digest, now_ms: TimeMs
) -> Committed:
    """The owner's own envelope with all its grants."""
    path = f"/v1/vault/documents/{document.hex()}"
    try:
        raw = await client.call("GET", path, signer=wallet.signer, now_ms=lambda: now_ms)
        return Committed(data, decode(raw, VaultEnvelope))
    except ApiError as error:
        if error.code != "not_found":
            raise
    except CodecError as error:
        raise BorrowError("answer_malformed", "The node's answer is no sealed document.") from error
    return Committed(data, None)


def make_refresh(
    wallet: Wallet,
    prepared: Prepared,
    *,
    lender: Organisation,
    committed: ObjectId,
    until_ms: TimeMs,
    enc_key: BoxKey,
    language: str = "en",
) -> Refresh:
    """Seal the statement for the lender (and oneself) and sign anchor and consent."""
    plain = prepared.plain
    recipients = [Recipient(lender.account, BoxKey(lender.enc_key)), Recipient(wallet.account, enc_key)]
    sealed = seal_document(
        plain, owner=wallet.signer, recipients=recipients, purpose=Purpose.MONITOR, until_ms=until_ms
    )
    anchor = wallet.anchor_data(
        rows_root=Digest(sealed.envelope.root),
        document=sealed.envelope.digest,
        currency=Currency(plain.currency),
        first_day=Day(plain.first_day),
        last_day=Day(plain.last_day),
        provenance=plain.provenance,
    )
    consent = wallet.grant_consent(
        ConsentGrant(
            grantees=(lender.account,),
            data=(anchor.made, committed),
            purpose=Purpose.MONITOR,
            until_ms=until_ms,
            text_hash=calculate_text_hash(MONITOR[language]),
        )
    )
    return Refresh(sealed, anchor.made, consent.made, (anchor, consent))


def grant_again(
    wallet: Wallet, envelope: VaultEnvelope, *, lender: Organisation, until_ms: TimeMs, key: PrivateKey
) -> Sealed | None:
    """The statement of the application with a grant to the lender for monitoring; None where its key is not ours."""
    own = next((one for one in envelope.grants if one.recipient == wallet.account), None)
    if own is None or envelope.owner != wallet.public_key:
        return None
    try:
        data_key = SealedBox(key).decrypt(own.sealed_key)
    except CryptoError:
        return None
    granted = add_grants(
        envelope,
        data_key=data_key,
        owner=wallet.signer,
        recipients=[Recipient(lender.account, BoxKey(lender.enc_key))],
        purpose=Purpose.MONITOR,
        until_ms=until_ms,
    )
    return Sealed(granted, data_key)


async def send_refresh(client: NodeClient, device: Borrower, refresh: Refresh, again: Sealed | None) -> int:
    """Put what is sealed, submit anchor and consent, wait until they are final. The height. Raises BorrowError."""
    for one in (refresh.sealed, again):
        if one is not None:
            await device.put_document(one)
    results = await client.submit([one.item for one in refresh.intents], wait_final=True)
    for result in results:
        if result.rejection is not None:
            raise BorrowError(result.rejection.code, result.rejection.sentence)
    height = results[-1].height
    if height is None:
        raise BorrowError("not_final", "The consent is not final yet: see liushui receipt later.")
    return height
