"""After an erasure no file of any node says anything of the statement, its keys, its salts or its bins; before it does.

And a node that comes later executes the whole chain without them: same root, and it says what it did not recompute.
"""

import asyncio
import shutil
from pathlib import Path

from node.audit import Audit
from node.backup import create_backup, verify_backup
from node.demo.cast import OBSERVER
from node.opening import DATABASE
from node.rebuild import rebuild
from node.vault.crypto import open_document, open_features
from protocol.codec import encode
from protocol.ledger.state import ERASURES
from protocol.transactions.data import DataErase
from protocol.transactions.lending import ApplyWithdraw
from protocol.vault import VaultEnvelope
from scoring.rows import encode_row
from tests.node.core.chaintools import until
from tests.node.erasure.world import NAMES, Scene, network

READER = NAMES[3]
"""Is granted features alone."""


def count_receipts(scene: Scene, data: bytes) -> int:
    """As the first node's books have it."""
    row = scene.network.nodes[NAMES[0]].ledger.books.state.get(ERASURES, data)
    return 0 if row is None else len(row.receipts)


def list_pieces(envelope: VaultEnvelope) -> list[bytes]:
    """What of a sealed document can be found on a disk: both ends of the ciphertext, and the sealed keys."""
    return [envelope.ciphertext[:64], envelope.ciphertext[-64:], *(one.sealed_key for one in envelope.grants)]


def copy_vault(source: Path, target: Path) -> None:
    """The database with its journal."""
    target.mkdir(exist_ok=True)
    for path in source.glob("vault.sqlite*"):
        shutil.copy(path, target / path.name)


async def test_nothing_of_an_erased_statement_is_left_on_any_disk(tmp_path: Path) -> None:
    """Databases, journals, freed pages, payload logs, snapshots and log lines of every node, byte by byte."""
    async with network(tmp_path) as scene:
        here = scene.network
        application = await scene.apply(features_to=(READER,))
        envelope = application.sealed.envelope
        (sidecar,) = application.intents[-1].item.sidecars
        packed = encode(sidecar)
        held, features = list_pieces(envelope), list_pieces(application.features.envelope)
        bins = [sidecar.salt, packed[-24:]]
        plain = open_document(envelope, account=scene.player.wallet.account, key=scene.player.enc)
        open_text = [encode_row(one) for one in plain.rows[:20]]
        vector = open_features(application.features.envelope, account=scene.player.wallet.account, key=scene.player.enc)
        open_text += [encode(vector.values[at : at + 4])[1:] for at in range(0, len(vector.values), 4)]
        keys = [application.sealed.data_key, application.features.data_key]
        secrets = [plain.salt_key, vector.salt_key, *keys, scene.player.seed]
        for name in NAMES:
            where = here.search(name, bins)
            assert any(DATABASE in one for one in where), (name, where)
            assert any("payload.log" in one for one in where), (name, where)
            for pieces, is_held in ((held, name != READER), (features, name in (READER, scene.player.node))):
                found = any("vault.sqlite" in one for one in here.search(name, pieces))
                assert found == is_held, (name, "rows" if pieces is held else "features")
            assert here.search(name, [*open_text, *secrets]) == [], "not even before"

        for name in NAMES:
            copy_vault(here.directory(name), tmp_path / name)
            await asyncio.to_thread(create_backup, here.directory(name), here.directory(name) / "backups" / "one")
        await scene.must(ApplyWithdraw(application=application.application))
        await scene.must(DataErase(data=(application.data,)))
        await until(lambda: count_receipts(scene, application.data) == len(NAMES), 30)
        for name in NAMES:
            assert here.search(name, [*held, *features, *bins, *open_text, *secrets]) == [], name
        row = here.nodes[NAMES[0]].ledger.books.state.need(ERASURES, application.data)
        told = {one.account: one.documents for one in row.receipts}
        assert sorted(told.values()) == [1, 1, 1, 2], "the borrower's own node held both"

        # Whoever brings it again is refused, and a node that comes later needs none of it.
        await here.start(OBSERVER)
        late, first = here.nodes[OBSERVER], here.nodes[NAMES[0]]
        await until(lambda: late.core.executor.height >= first.core.executor.height, 30)
        assert late.status().not_recomputed == 1
        assert first.status().not_recomputed == 0
        height = late.core.executor.height
        (own,) = await late.store.read_exec_rows(height, height)
        assert await first.store.read_exec_rows(height, height) == [own]
        await until(lambda: [one["event"] for one in here.logs].count("data_erased") == len(NAMES) + 1, 30)
        assert here.search(OBSERVER, [*held, *features, *bins]) == []
        await here.stop(*list(here.nodes))
        for name in (*NAMES, OBSERVER):
            assert here.search(name, [*held, *features, *bins, *open_text, *secrets]) == [], name
            report = await asyncio.to_thread(Audit(here.testnet.genesis, here.directory(name) / DATABASE).run)
            assert report.fault is None, (name, report.fault)
            assert report.erased == 1
            assert [(one.what, one.why) for one in report.gaps] == [("score", "erasure_ordered")]
            assert report.is_whole
            assert report.applications == 1
        rebuilt = await rebuild(here.directory(NAMES[0]), here.testnet.genesis, None)
        assert rebuilt.exec_root == report.exec_root, "a database is made anew without the bins, too"
        # Somebody puts an old vault back: it is found at the next start.
        for back, pieces in ((NAMES[1], held), (READER, features)):
            copy_vault(tmp_path / back, here.directory(back))
            assert here.search(back, pieces) != []
            await here.start(back)
            await until(lambda back=back, pieces=pieces: here.search(back, pieces) == [], 30)
        for name in NAMES:
            await asyncio.to_thread(verify_backup, here.directory(name) / "backups" / "one")
