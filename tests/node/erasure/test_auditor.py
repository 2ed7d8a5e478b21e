"""An auditor in a running network: an observer with an attester key reads what it is granted, attests, and erases."""

from pathlib import Path
from typing import Any

import pytest

from node.client.network import list_auditors
from node.demo import acts
from node.demo.cast import OBSERVER
from protocol.ledger.state import ERASURES
from protocol.transactions.data import DataErase
from protocol.transactions.lending import ApplyWithdraw
from tests.node.core.chaintools import until
from tests.node.erasure.world import NAMES, network


@pytest.mark.long
async def test_an_auditor_attests_is_shown_as_one_and_receipts_what_it_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no vote, holds the statement by its grant, and gives a receipt by its own key once nothing is left."""
    list_lenders = acts.list_lenders
    monkeypatch.setattr(acts, "list_lenders", lambda standing: (*list_lenders(standing), *list_auditors(standing)))
    async with network(tmp_path, audits=True) as scene:
        here = scene.network
        await here.start(OBSERVER)
        eye = here.nodes[OBSERVER]
        assert (eye.role, eye.core.engine.seat, eye.core.opened.keys.validators) == ("observer", None, ())
        application = await scene.apply()
        client = scene.stage.clients[scene.player.node]

        async def read() -> Any:
            return await client.get(f"/v1/applications/{application.application.hex()}")

        said: dict[str, bool] = {}
        while len(said) < len(NAMES) + 1:
            await until(lambda: eye.core.meters.attestations["attested"] == 1, 60, "the auditor attests")
            said = {one["attester_name"]: one["auditor"] for one in (await read())["attestations"]}
        assert said == {**dict.fromkeys(NAMES, False), OBSERVER: True}
        held = [application.sealed.envelope.ciphertext[:64]]
        assert any("vault.sqlite" in one for one in here.search(OBSERVER, held))
        log = await eye.vault.read_access_log(application.data)
        assert [one.record.reader for one in log] == [eye.core.roster.own_account]

        await scene.must(ApplyWithdraw(application=application.application))
        await scene.must(DataErase(data=(application.data,)))
        state = eye.ledger.books.state
        await until(lambda: len(row.receipts if (row := state.get(ERASURES, application.data)) else ()) == 5, 60)
        row = state.need(ERASURES, application.data)
        (own,) = [one for one in row.receipts if one.account == eye.core.roster.own_account]
        assert (own.documents, own.sidecars) == (1, 1)
        assert here.search(OBSERVER, held) == []
