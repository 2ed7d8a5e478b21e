"""`liushui gov propose convict`: the validators are asked to convict a member of a false attestation.

What shows it is opened to the voters off the ledger; only its hash is signed. Never a rule here.
"""

from pathlib import Path

import click

from node.cli.common import fail
from node.cli.desk import Desk
from node.cli.proposing import effective, propose_action
from node.cli.sign import resolve_account
from node.cli.typed import evidence_options, read_evidence, read_id


@click.command()
@click.argument("member", metavar="MEMBER")
@click.option("--application", "application_id", required=True, metavar="ID", help="On which its word is false.")
@click.option("--reporter", required=True, metavar="MEMBER", help="Who showed it, and is given the policy's penalty.")
@click.option("--model", "model_id", default=None, metavar="ID", help="Where it attested for several models.")
@evidence_options
@effective
def convict(
    *,
    desk: Desk,
    member: str,
    application_id: str,
    reporter: str,
    model_id: str | None,
    evidence: Path | None,
    digest: str | None,
    effective_on: int | None,
) -> None:
    """Convict MEMBER of a false attestation: nothing it attests counts until a vote gives it another attester key.

    Show the voters the opened statement, or the proof paths of the rows that matter; they recompute what it gives.

    Example: liushui gov propose convict jade --application APPLICATION --reporter harbour --evidence shown.zip
    --officer-dir mynet/harbour
    """
    from protocol.ids import ModelId
    from protocol.transactions.governance import AttesterConvict

    application = read_id(application_id, "an application")
    attester = resolve_account(desk.network, member)
    view = desk.find("/v1/applications", application.hex(), "application", "See its id where it was opened.")
    models = [one["model"] for one in view["attestations"] if one["attester"] == attester.hex()]
    wanted = [one for one in models if model_id in (None, one)]
    if len(wanted) != 1:
        fail(
            "attestation_unknown",
            f"{member} has attested this application for {', '.join(models) or 'no model'}: name one with --model.",
        )
    action = AttesterConvict(
        attester=attester,
        application=application,
        model=ModelId(bytes.fromhex(wanted[0])),
        evidence=read_evidence(evidence, digest),
        reporter=resolve_account(desk.network, reporter),
    )
    propose_action(desk, action, effective_on)
