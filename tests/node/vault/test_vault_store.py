"""The vault: only those granted open a document, what was altered does not open, and what was erased is gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from nacl.public import PrivateKey

from node.vault.crypto import OpenError, Recipient, Sealed, add_grants, make_salt_key, open_document, seal_document
from node.vault.store import DOCUMENTS_PER_OWNER_MAX, Vault, VaultError
from protocol.codec import CodecError, decode, encode
from protocol.crypto import KeySigner, Signer, calculate_account_id
from protocol.ids import AccountId, BoxKey, Day, Digest, TimeMs
from protocol.limits import DOCUMENT_BYTES_MAX, STATEMENT_ROWS_MAX
from protocol.money import Currency
from protocol.transactions.data import Purpose
from protocol.vault import VaultEnvelope, VaultPlain
from scoring.rows import Category, Channel, Row

OWNER = KeySigner(bytes([1]) * 32)
ALICE, BOB = PrivateKey(bytes([2]) * 32), PrivateKey(bytes([3]) * 32)
ALICE_ID, BOB_ID = AccountId(bytes([4]) * 32), AccountId(bytes([5]) * 32)
UNTIL = TimeMs(1_900_000_000_000)


def make_plain(**changes: object) -> VaultPlain:
    rows = tuple(
        Row(
            day=738_000 + i,
            seq=i,
            amount=1_000 * (i + 1),
            balance=5_000 + sum(1_000 * (j + 1) for j in range(i + 1)),
            counterparty=bytes(16),
            category=Category.SALARY,
            channel=Channel.TRANSFER,
            minute=-1,
        )
        for i in range(5)
    )
    plain = VaultPlain(
        currency=Currency("CNY"),
        opening_balance=5_000,
        first_day=Day(738_000),
        last_day=Day(738_010),
        provenance=2,
        salt_key=make_salt_key(),
        rows=rows,
    )
    return msgspec.structs.replace(plain, **changes)


def seal(plain: VaultPlain | None = None, *recipients: Recipient) -> Sealed:
    named = recipients or (Recipient(ALICE_ID, BoxKey(bytes(ALICE.public_key))),)
    return seal_document(
        plain or make_plain(), owner=OWNER, recipients=named, purpose=Purpose.UNDERWRITE, until_ms=UNTIL
    )


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[Vault]:
    made = await Vault.open(tmp_path / "vault.sqlite")
    yield made
    await made.close()


def test_a_recipient_opens_what_the_owner_sealed() -> None:
    """Every field comes back to the last bit, and a second sealing has another digest."""
    plain = make_plain()
    one, two = seal(plain), seal(plain)
    assert open_document(one.envelope, account=ALICE_ID, key=ALICE) == plain
    assert one.envelope.digest != two.envelope.digest


@pytest.mark.parametrize(
    ("account", "key", "code"),
    [(BOB_ID, BOB, "not_granted"), (ALICE_ID, BOB, "cannot_unseal"), (BOB_ID, ALICE, "not_granted")],
)
def test_nobody_else_opens_it(account: AccountId, key: PrivateKey, code: str) -> None:
    """Neither another account nor another key."""
    with pytest.raises(OpenError) as caught:
        open_document(seal().envelope, account=account, key=key)
    assert caught.value.code == code


def test_every_altered_byte_is_noticed() -> None:
    """A flipped bit anywhere in the envelope's bytes opens nothing."""
    raw = encode(seal().envelope)
    for position in range(0, len(raw), 11):
        altered = raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :]
        with pytest.raises((OpenError, ValueError)):
            open_document(decode(altered, VaultEnvelope), account=ALICE_ID, key=ALICE)


def test_a_ciphertext_is_bound_to_its_owner_and_root() -> None:
    """Re-signed under another owner, or with another root, the same ciphertext does not open."""
    sealed, thief = seal(), KeySigner(bytes([9]) * 32)
    stolen = msgspec.structs.replace(sealed.envelope, owner=thief.public_key, grants=())
    regranted = add_grants(
        stolen,
        data_key=sealed.data_key,
        owner=thief,
        recipients=[Recipient(ALICE_ID, BoxKey(bytes(ALICE.public_key)))],
        purpose=Purpose.UNDERWRITE,
        until_ms=UNTIL,
    )
    other_root = msgspec.structs.replace(sealed.envelope, root=bytes(32))
    for envelope, code in ((regranted, "cannot_decrypt"), (other_root, "grant_document")):
        with pytest.raises(OpenError) as caught:
            open_document(envelope, account=ALICE_ID, key=ALICE)
        assert caught.value.code == code


async def test_a_thiefs_copy_does_not_take_the_place_of_the_owners(vault: Vault) -> None:
    """The same ciphertext under another owner, put first, is another document: the true one is kept and opens."""
    sealed, thief = seal(), KeySigner(bytes([9]) * 32)
    stolen = msgspec.structs.replace(sealed.envelope, owner=thief.public_key, grants=())
    assert await vault.put(encode(stolen)) != sealed.envelope.digest
    digest = await vault.put(encode(sealed.envelope))
    raw = await vault.get(digest)
    assert raw is not None
    assert open_document(decode(raw, VaultEnvelope), account=ALICE_ID, key=ALICE).rows


def test_content_that_contradicts_itself_is_not_believed() -> None:
    """A broken balance chain, a claimed signature, a row outside the period, a wrong order: each has its code."""
    plain = make_plain()
    rows = plain.rows
    forged = (msgspec.structs.replace(rows[0], amount=999_999), *rows[1:])
    cases = {
        "provenance_unproven": [make_plain(rows=forged), make_plain(provenance=1), make_plain(opening_balance=None)],
        "period_differs": [make_plain(last_day=Day(738_003)), make_plain(first_day=Day(739_000))],
        "rows_malformed": [
            make_plain(rows=(rows[1], rows[0], *rows[2:])),
            make_plain(rows=(msgspec.structs.replace(rows[0], counterparty=b"short"), *rows[1:])),
            make_plain(rows=(msgspec.structs.replace(rows[0], minute=1_440), *rows[1:])),
            make_plain(rows=(msgspec.structs.replace(rows[0], amount=2**60), *rows[1:]), provenance=3),
        ],
    }
    for code, plains in cases.items():
        for one in plains:
            with pytest.raises(OpenError) as caught:
                open_document(seal(one).envelope, account=ALICE_ID, key=ALICE)
            assert caught.value.code == code, one


def test_a_statement_has_a_limit_of_rows() -> None:
    """One row too many is not sealed, and is no statement for who reads a document that holds it."""
    (first, *_), most = make_plain().rows, STATEMENT_ROWS_MAX
    rows = tuple(msgspec.structs.replace(first, seq=seq) for seq in range(most + 1))
    with pytest.raises(OpenError) as caught:
        seal(make_plain(rows=rows, provenance=3))
    assert caught.value.code == "document_too_large"
    with pytest.raises(CodecError):
        decode(encode(make_plain(rows=rows)), VaultPlain)
    assert len(decode(encode(make_plain(rows=rows[:most])), VaultPlain).rows) == most


async def test_the_vault_hands_each_its_own_grants(vault: Vault) -> None:
    """A grantee sees its own grant, the owner all of them, a stranger nothing; a later grant joins the first."""
    sealed = seal()
    digest = await vault.put(encode(sealed.envelope))
    widened = add_grants(
        msgspec.structs.replace(sealed.envelope, grants=()),
        data_key=sealed.data_key,
        owner=OWNER,
        recipients=[Recipient(BOB_ID, BoxKey(bytes(BOB.public_key)))],
        purpose=Purpose.UNDERWRITE,
        until_ms=UNTIL,
    )
    assert await vault.get_for(digest, BOB_ID, now_ms=UNTIL) is None
    assert await vault.put(encode(widened)) == digest
    for account, key in ((ALICE_ID, ALICE), (BOB_ID, BOB)):
        raw = await vault.get_for(digest, account, now_ms=UNTIL)
        assert raw is not None
        envelope = decode(raw, VaultEnvelope)
        assert [grant.recipient for grant in envelope.grants] == [account]
        assert open_document(envelope, account=account, key=key).rows
    owned = await vault.get_for(digest, calculate_account_id(OWNER.public_key), now_ms=UNTIL)
    assert owned is not None
    assert len(decode(owned, VaultEnvelope).grants) == 2
    assert await vault.get_for(digest, AccountId(bytes(32)), now_ms=UNTIL) is None
    assert await vault.get(Digest(bytes(32))) is None


async def test_an_ended_grant_opens_nothing_and_the_owner_keeps_access(vault: Vault) -> None:
    """To the last millisecond and not one longer; the owner still sees which grants were given."""
    digest = await vault.put(encode(seal().envelope))
    assert await vault.get_for(digest, ALICE_ID, now_ms=UNTIL) is not None
    assert await vault.get_for(digest, ALICE_ID, now_ms=UNTIL + 1) is None
    owned = await vault.get_for(digest, calculate_account_id(OWNER.public_key), now_ms=UNTIL + 1)
    assert owned is not None
    assert len(decode(owned, VaultEnvelope).grants) == 1


async def test_what_is_no_document_is_refused(vault: Vault) -> None:
    """Too large, not canonical, or a grant the owner did not sign: refused with a code, nothing kept."""
    envelope = seal().envelope
    forged = msgspec.structs.replace(envelope.grants[0], recipient=BOB_ID)
    cases = {
        "document_too_large": bytes(DOCUMENT_BYTES_MAX + 1),
        "document_malformed": b"nonsense",
        "grant_signature": encode(msgspec.structs.replace(envelope, grants=(forged,))),
    }
    for code, raw in cases.items():
        with pytest.raises(VaultError) as caught:
            await vault.put(raw)
        assert caught.value.code == code
    assert await vault.get(envelope.digest) is None


async def test_an_owner_has_a_quota(vault: Vault) -> None:
    """One owner cannot fill the disk; erasing makes room."""
    digests = [await vault.put(encode(seal().envelope)) for _ in range(DOCUMENTS_PER_OWNER_MAX)]
    with pytest.raises(VaultError) as caught:
        await vault.put(encode(seal().envelope))
    assert caught.value.code == "document_quota"
    assert await vault.erase(digests[0])
    await vault.put(encode(seal().envelope))


async def test_an_erased_document_leaves_no_byte_on_disk(tmp_path: Path) -> None:
    """After an erasure neither the database nor its journal holds a piece of ciphertext or of a wrapped key."""
    vault = await Vault.open(tmp_path / "vault.sqlite")
    envelope = seal().envelope
    digest = await vault.put(encode(envelope))
    pieces = (envelope.ciphertext[:24], envelope.ciphertext[-24:], envelope.grants[0].sealed_key[:24])

    def find() -> list[bytes]:
        held = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
        return [piece for piece in pieces if piece in held]

    assert find() == list(pieces)
    assert await vault.erase(digest)
    assert not await vault.erase(digest)
    assert await vault.get(digest) is None
    await vault.close()
    assert find() == []


async def refuse(path: Path) -> VaultError:
    """Why a vault is not opened; no thread stays behind."""
    with pytest.raises(VaultError) as caught:
        await Vault.open(path)
    return caught.value


async def test_a_vault_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    """A file that is no database: a sentence with a code, the path and the fix, and no thread stays behind."""
    path = tmp_path / "vault.sqlite"
    path.write_bytes(b"this is not a database, but it is long enough to look like a file" * 20)
    error = await refuse(path)
    assert (error.code, str(path) in error.sentence, "restore" in error.sentence) == ("vault_damaged", True, True)


def make_large_of(owner: Signer, seed: int) -> Sealed:
    """A sealed statement of many pages."""
    plain = make_plain()
    rows = tuple(msgspec.structs.replace(plain.rows[0], seq=i, amount=1 + seed) for i in range(5_000))
    named = (Recipient(ALICE_ID, BoxKey(bytes(ALICE.public_key))),)
    changed = msgspec.structs.replace(plain, rows=rows)
    return seal_document(changed, owner=owner, recipients=named, purpose=Purpose.UNDERWRITE, until_ms=UNTIL)


def make_large(seed: int) -> bytes:
    """One of its owner's envelopes."""
    return encode(make_large_of(OWNER, seed).envelope)


async def test_a_damaged_or_torn_vault_is_refused_and_moving_it_away_helps(tmp_path: Path) -> None:
    """A page overwritten or the end missing, at rest: refused in a sentence. As it was, everything is there."""
    path = tmp_path / "vault.sqlite"
    vault = await Vault.open(path)
    digests = [await vault.put(make_large(i)) for i in range(3)]
    await vault.close()
    whole = path.read_bytes()
    places = range(0, len(whole), 4_096)
    codes: list[str] = []
    for at in (0, 4_096, places[len(places) // 2], places[-1]):
        path.write_bytes(whole[:at] + bytes(range(256)) * 16 + whole[at + 4_096 :])
        try:
            damaged = await Vault.open(path)
        except VaultError as error:
            codes.append(error.code)
            continue
        for digest in digests:
            try:
                await damaged.get(digest)
            except VaultError as error:
                codes.append(error.code)
        await damaged.close()
    assert codes == ["vault_damaged"] * 4  # at the start, or by whoever asks for the document that lies there
    for left in (len(whole) - 4_096, len(whole) - 7, len(whole) // 2):
        path.write_bytes(whole[:left])
        assert (await refuse(path)).code == "vault_damaged"
    path.write_bytes(whole)
    vault = await Vault.open(path)
    assert [await vault.get(digest) is not None for digest in digests] == [True] * 3
    await vault.close()
    path.unlink()
    await (await Vault.open(path)).close()


async def test_a_full_disk_keeps_what_was_kept_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    """Nothing half kept: a sentence with a code, all of before still there, and no transaction left open."""
    vault = await Vault.open(tmp_path / "vault.sqlite")
    first = await vault.put(make_large(1))
    ((pages,),) = await vault._database.execute_fetchall("PRAGMA page_count")
    await vault._database.execute(f"PRAGMA max_page_count={pages + 3}")
    for _ in range(2):
        with pytest.raises(VaultError) as caught:
            await vault.put(make_large(2))
        assert (caught.value.code, "free space" in caught.value.sentence) == ("vault_full", True)
    assert await vault.get(first) is not None
    await vault._database.execute("PRAGMA max_page_count=1000000")
    assert await vault.get(await vault.put(make_large(2))) is not None
    await vault.close()
