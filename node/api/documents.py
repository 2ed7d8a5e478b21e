"""The vault over HTTP: owners put sealed statements here, grantees and owners fetch them, owners see who opened them.

Every request is signed. What comes and goes is ciphertext; no key ever passes here. Never open an envelope here.
"""

from aiohttp import web

from node.api.answers import AccessEntry, AccessLogView, DocumentView
from node.api.problems import ProblemError
from node.api.reading import NOW_MS, get_id, get_node, read_body, require_caller, respond
from node.api.state import find_account, find_data, find_name
from node.documents import hand_out
from node.vault.store import DISK_CODES, VaultError
from protocol.codec import CodecError, decode
from protocol.ids import Digest, ObjectId, PublicKey
from protocol.limits import DOCUMENT_BYTES_MAX, REQUEST_BODY_BYTES_MAX
from protocol.vault import VaultEnvelope

_CODES = {"document_quota": "quota_reached", "document_too_large": "too_large", "document_erased": "not_permitted"}


async def put_document(request: web.Request) -> web.Response:
    """PUT /v1/vault/documents/{digest}: keep a sealed statement of one's own."""
    node, caller, digest = get_node(request), require_caller(request), get_id(request, "digest")
    if request.content_length is not None and request.content_length > DOCUMENT_BYTES_MAX:
        raise ProblemError("too_large", f"A document holds at most {DOCUMENT_BYTES_MAX // 2**20} MiB.")
    raw = await read_body(request, REQUEST_BODY_BYTES_MAX)
    try:
        envelope = decode(raw, VaultEnvelope)
    except CodecError as error:
        raise ProblemError("malformed_request", f"The body is not a sealed document: {error}.") from error
    if find_account(node, caller.key) is None or caller.key != envelope.owner:
        raise ProblemError("not_permitted", "Only an account of this network may put documents, and only its own.")
    if envelope.digest != digest:
        raise ProblemError("document_mismatch", "The ciphertext's hash is not the digest in the address.")
    try:
        kept = await node.vault.put(raw)
    except VaultError as error:
        if error.code in DISK_CODES:
            raise
        raise ProblemError(_CODES.get(error.code, "malformed_request"), error.sentence) from error
    height = node.status().exec_height
    return respond(DocumentView(digest=kept.hex(), size=len(raw), height=height), height=height)


async def get_document(request: web.Request) -> web.Response:
    """GET /v1/vault/documents/{digest}: the envelope, with the caller's own grants only."""
    node, caller, digest = get_node(request), require_caller(request), get_id(request, "digest")
    account = find_account(node, caller.key)
    raw = None
    if account is not None:
        now_ms = request.app[NOW_MS]()
        raw = await hand_out(node.vault, node.ledger.books, Digest(digest), account, now_ms=now_ms)
    if raw is None:  # a stranger learns nothing, not even whether the document is here
        raise ProblemError("not_found", "No document of this digest is kept here for this key.")
    return web.Response(body=raw, content_type="application/msgpack", headers={"Cache-Control": "no-store"})


async def get_access_log(request: web.Request) -> web.Response:
    """GET /v1/vault/access-log/{id}: every opening of one's own data by this node, chained and signed."""
    node, caller, data = get_node(request), require_caller(request), ObjectId(get_id(request))
    anchor = find_data(node, data)
    if anchor is None or anchor.owner != find_account(node, caller.key):
        raise ProblemError("not_found", "No data of this id belongs to this key.")
    entries = [
        AccessEntry(
            serial=one.record.serial,
            time_ms=one.record.time_ms,
            reader=one.record.reader.hex(),
            reader_name=find_name(node, one.record.reader),
            purpose=one.record.purpose.name.lower(),
            document=one.record.document.hex(),
            previous=one.record.previous.hex(),
            digest=one.record.calculate_digest().hex(),
            signature=one.signature.hex(),
            key=PublicKey(one.record.node_key).hex(),
        )
        for one in await node.vault.read_access_log(data)
    ]
    height = node.status().exec_height
    return respond(AccessLogView(data=data.hex(), height=height, entries=entries), height=height)
