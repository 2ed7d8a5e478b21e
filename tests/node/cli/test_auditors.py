"""`liushui apply --auditor`: who watches is let in to read by name, beside the lenders and told apart from them."""

from node.cli.common import EXIT_OK
from protocol.crypto import calculate_account_id
from protocol.ledger.state import CONSENTS, MEMBERS, replace
from tests.node.api.harness import make_keys
from tests.node.cli.terminal import Desk

APPLY = ("--amount-minor", "2000000", "--periods", "12", "--no-automation", "--yes")  # nobody waits


async def test_an_auditor_is_named_in_the_consent_and_in_its_words(desk: Desk) -> None:
    """One without an attester key could not attest: it is refused by name before anything is sealed."""
    place = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url)
    asked = ("apply", str(desk.statement), *APPLY, "--lender", "harbour", "--auditor", "regulator", *place)
    assert await desk.refuse(*asked) == "auditor_unknown"
    keys, state = make_keys("regulator"), desk.node.ledger.books.state
    assert keys.officer is not None
    assert keys.attester is not None
    account = calculate_account_id(keys.officer.public_key)
    state.put(MEMBERS, account, replace(state.need(MEMBERS, account), attester_key=keys.attester.public_key))
    done = await desk.run(*asked, "--lang", "en")
    assert done.exit_code == EXIT_OK, done.output
    assert "You refused automated decisions: a lender's officer answers" in done.stdout
    assert "Lenders: harbour\nAuditors: regulator\n" in done.stderr
    ((_, consent),) = list(state.items(CONSENTS))
    assert account in consent.grant.grantees
    assert len(consent.grant.grantees) == 2
