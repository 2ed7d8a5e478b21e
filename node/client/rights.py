"""What borrowers can do with their own data: grant more readers, correct it, and take all of it away in one file.

    more = grant_more(wallet, envelope, ...)        the sealed document with grants for others as well
    group = make_rectified(wallet, prepared, ...)   corrected statement, the same consents, the old one's erasure
    file = await export_data(client, wallet, ...)   rows, proofs, scores, reasons, models, readers

Sealed data is opened here, on the owner's device, and nowhere else. Never a rule of the ledger here.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from node.client.access import check_access_view
from node.client.borrower import Prepared
from node.client.explaining import explain, read_receipt
from node.client.http import ApiError, NodeClient
from node.client.judging import read_request
from node.client.network import Network
from node.client.refresh import read_committed
from node.client.wallet import Intent, Wallet
from node.vault.appraise import calculate_vector, calculate_vector_bins, calculate_vector_root
from node.vault.crypto import Recipient, Sealed, add_grants, open_document, seal_document
from protocol.ids import AccountId, BoxKey, Day, Digest, ObjectId, TimeMs
from protocol.money import Currency
from protocol.transactions.data import ConsentGrant, DataErase, Purpose, Scope
from protocol.vault import VaultEnvelope, VaultPlain, calculate_rows_root
from scoring.points import decode_model

EXPORT_VERSION: Final = 1


class Rectified(NamedTuple):
    """A corrected statement ready to be sent."""

    sealed: Sealed
    data: ObjectId
    intents: tuple[Intent, ...]


def grant_more(
    wallet: Wallet,
    envelope: VaultEnvelope,
    *,
    recipients: Sequence[Recipient],
    purpose: Purpose,
    until_ms: TimeMs,
    key: PrivateKey,
) -> Sealed | None:
    """The owner's document with grants to others as well; None where `key` opens no grant of the owner's own in it."""
    own = next((one for one in envelope.grants if one.recipient == wallet.account), None)
    if own is None or envelope.owner != wallet.public_key:
        return None
    try:
        data_key = SealedBox(key).decrypt(own.sealed_key)
    except CryptoError:
        return None
    granted = add_grants(
        envelope, data_key=data_key, owner=wallet.signer, recipients=recipients, purpose=purpose, until_ms=until_ms
    )
    return Sealed(granted, data_key)


def make_rectified(
    wallet: Wallet,
    prepared: Prepared,
    *,
    old: ObjectId,
    consents: Sequence[dict[str, Any]],
    network: Network,
    enc_key: BoxKey,
    now_ms: TimeMs,
) -> Rectified:
    """The corrected statement sealed to whoever may read the old one, its consents again, and the old one's erasure.

    `consents` are live ones of the old data, as GET /v1/consents shows them. Those of features alone are given again
    on the ledger, and their readers get no key to the statement: its features are sealed with the next application.
    """
    plain = prepared.plain
    boxes = {one.account: BoxKey(one.enc_key) for one in network.members}
    until_ms = TimeMs(max((int(one["until_ms"]) for one in consents), default=now_ms + 1))
    raw = [one for one in consents if Scope[str(one["scope"]).upper()] is Scope.RAW]
    readers = sorted({AccountId(bytes.fromhex(reader)) for one in raw for reader in one["grantees"]} & set(boxes))
    purpose = Purpose[str(raw[0]["purpose"]).upper()] if raw else Purpose.UNDERWRITE
    recipients = [Recipient(reader, boxes[reader]) for reader in readers]
    sealed = seal_document(
        plain,
        owner=wallet.signer,
        recipients=[*recipients, Recipient(wallet.account, enc_key)],
        purpose=purpose,
        until_ms=until_ms,
    )
    anchor = wallet.anchor_data(
        rows_root=Digest(sealed.envelope.root),
        document=sealed.envelope.digest,
        currency=Currency(plain.currency),
        first_day=Day(plain.first_day),
        last_day=Day(plain.last_day),
        provenance=plain.provenance,
    )
    intents = [anchor, *(wallet.grant_consent(_renew(one, anchor.made)) for one in consents)]
    intents.append(wallet.build(DataErase(data=(old,), successor=anchor.made)))
    return Rectified(sealed, anchor.made, tuple(intents))


def _renew(consent: dict[str, Any], data: ObjectId) -> ConsentGrant:
    return ConsentGrant(
        grantees=tuple(AccountId(bytes.fromhex(one)) for one in consent["grantees"]),
        data=(data,),
        purpose=Purpose[str(consent["purpose"]).upper()],
        until_ms=TimeMs(int(consent["until_ms"])),
        text_hash=Digest(bytes.fromhex(consent["text_hash"])),
        scope=Scope[str(consent["scope"]).upper()],
    )


# ---------------------------------------------------------------------- everything in one file


async def read_all(client: NodeClient, path: str, **query: str) -> list[Any]:
    """All items of a list, page by page."""
    items: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = await client.get(path, **query, **after)
        items += page["items"]
        if page["next"] is None:
            return items
        after = {"after": page["next"]}


async def find_features(client: NodeClient, wallet: Wallet, data: ObjectId, now_ms: TimeMs) -> list[VaultEnvelope]:
    """The sealed feature vectors of the owner's applications on some data, as far as the node holds them."""
    asked = await read_all(client, "/v1/applications", borrower=wallet.account.hex())
    named = [one["features"]["document"] for one in asked if one["features"] is not None and data.hex() in one["data"]]
    found = [await read_committed(client, wallet, data, Digest(bytes.fromhex(one)), now_ms) for one in named]
    return [one.envelope for one in found if one.envelope is not None]


async def _find(client: NodeClient, path: str) -> Any:
    try:
        return await client.get(path)
    except ApiError as error:
        if error.code != "not_found":
            raise
        return None


async def export_data(
    client: NodeClient,
    wallet: Wallet,
    network: Network,
    data: ObjectId,
    *,
    envelope: VaultEnvelope | None,
    key: PrivateKey,
    access: Any,
) -> dict[str, Any]:
    """Everything about the data, as JSON values. `access` is the node's log; raises OpenError for a false document."""
    owner = wallet.account.hex()
    anchor = await client.get(f"/v1/data/{data.hex()}")
    plain = None if envelope is None else open_document(envelope, account=wallet.account, key=key)
    models = {one["id"]: one for one in (await client.get("/v1/network"))["models"]}
    resting = [one for one in await read_all(client, "/v1/applications", borrower=owner) if data.hex() in one["data"]]
    fault = check_access_view(access, network.genesis, data)
    return {
        "export_version": EXPORT_VERSION,
        "network": network.calculate_chain_id().hex(),
        "data": anchor,
        "erasure": await _find(client, f"/v1/erasures/{data.hex()}"),
        "statement": None if plain is None else _show_plain(plain, anchor),
        "consents": [one for one in await read_all(client, "/v1/consents", owner=owner) if data.hex() in one["data"]],
        "access_log": {"node": access, "holds": fault is None},
        "applications": [
            {
                **_show_application(one, plain, models),
                "receipt": await read_receipt(client, one["id"]),
                "explanation": explain(one),
            }
            for one in resting
        ],
        "models": {
            model: models[model]["text"] for model in sorted({m["model"] for a in resting for m in a["assessed"]})
        },
    }


def _show_plain(plain: VaultPlain, anchor: dict[str, Any]) -> dict[str, Any]:
    """The rows with what proves that they are those committed to: salt key, and the root they give."""
    root = calculate_rows_root(plain.rows, Digest(plain.salt_key)).hex()
    return {
        "currency": plain.currency,
        "opening_balance": plain.opening_balance,
        "first_day": plain.first_day,
        "last_day": plain.last_day,
        "provenance": plain.provenance,
        "salt_key": plain.salt_key.hex(),
        "rows_root": root,
        "is_committed": root == anchor["rows_root"],
        "rows": [
            {
                "day": row.day,
                "seq": row.seq,
                "amount": row.amount,
                "balance": row.balance,
                "counterparty": row.counterparty.hex(),
                "category": row.category.name.lower(),
                "channel": row.channel.name.lower(),
                "minute": row.minute,
            }
            for row in plain.rows
        ],
    }


def _show_application(application: Any, plain: VaultPlain | None, models: dict[str, Any]) -> dict[str, Any]:
    """An application with scores, reasons and decisions, and the way from the rows to them computed again."""
    if plain is None:
        return {"application": application, "features": None, "scores": []}
    request = read_request(application)
    vector = calculate_vector(plain, request)
    root, committed = calculate_vector_root(vector).hex(), application["features"]
    scores = []
    for said in application["assessed"]:
        model = decode_model(models[said["model"]]["text"].encode("ascii"))
        bins = calculate_vector_bins(vector, model)
        result = model.assess(bins)
        again = (result.points, result.pd_ppm, result.band, list(result.reasons))
        told = (said["points"], said["pd_ppm"], said["band"], [one["code"] for one in said["reasons"]])
        scores.append({"model": said["model"], "bins": list(bins), "points": result.points, "equal": again == told})
    return {
        "application": application,
        "features": {one.name: one.value for one in vector.values},
        "features_salt_key": vector.salt_key.hex(),
        "features_root": root,
        "features_committed": None if committed is None else committed["root"] == root,
        "scores": scores,
    }
