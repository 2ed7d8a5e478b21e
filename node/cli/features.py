"""`liushui offer features`: an officer whose member was granted features alone reads them, verified.

The vector is opened here, with the member's own key, and nowhere else. Never a rule here.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.common import UnverifiedError, fail, json_option, node_option, print_facts, print_json, print_table
from node.cli.sign import officer_option
from node.cli.typed import read_id

if TYPE_CHECKING:
    from node.client.features import Read
    from node.client.http import NodeClient

UNVERIFIED = frozenset({"features_root_differs", "score_differs"})


@click.command()
@click.argument("application_id", metavar="APPLICATION")
@officer_option("--officer-dir", "Directory with the officer and enc keys of a member that was granted the features.")
@node_option
@json_option
def features(*, application_id: str, directory: Path, node_url: str, as_json: bool) -> None:
    """Show the features of APPLICATION as granted to you, each with its definition, verified against its root.

    The root stands in the application, and whoever attested has confirmed it from the rows. Points, band and reasons
    are computed again from what is shown. Exit code 4 when anything differs. Ask your own member's node; one that
    attests nothing has fetched nothing: then ask the node applied to.

    Example: liushui offer features APPLICATION --officer-dir mynet/harbour
    """
    from node.cli.remote import run
    from node.client.features import FeaturesFault

    application = read_id(application_id, "an application")

    async def work(client: "NodeClient") -> "Read":
        return await _read(client, application, directory)

    try:
        read = run(node_url, work)
    except FeaturesFault as error:
        if error.code in UNVERIFIED:
            raise UnverifiedError(error.code, error.sentence) from error
        fail(error.code, error.sentence)
    _show(read, as_json=as_json)


async def _read(client: "NodeClient", application: Any, directory: Path) -> "Read":
    from nacl.public import PrivateKey

    from node.cli.remote import read_clock_ms
    from node.cli.sign import find_passphrase, read_officer_seed
    from node.client.features import read_features
    from node.keystore import KeyFileError, read_seed
    from protocol.crypto import KeySigner

    officer = KeySigner(read_officer_seed(directory))
    try:
        seed = read_seed(directory, "enc", find_passphrase(directory))
    except KeyFileError as error:
        fail(error.code, error.sentence)
    if seed is None:
        fail("enc_key_missing", f"{directory} holds no enc key: name the directory of the member's node.")
    return await read_features(client, application, officer=officer, key=PrivateKey(seed), now_ms=read_clock_ms())


def _show(read: "Read", *, as_json: bool) -> None:
    from scoring.features import FEATURES

    table = {one.name: one for one in FEATURES}
    values = [
        {
            "name": one.name,
            "value": one.value,
            "unit": table[one.name].unit,
            "definition": table[one.name].definition,
            "missing_when": table[one.name].missing,
        }
        for one in read.vector.values
    ]
    facts: dict[str, Any] = {
        "application": read.view["id"],
        "feature_spec": read.vector.spec,
        "root": read.view["features"]["root"],
        "verified": "against the root of the application, and its scores",
        "confirmed_by": list(read.confirmed),
    }
    if as_json:
        print_json({**facts, "verified": True, "features": values})
        return
    print_facts({**facts, "confirmed_by": ", ".join(read.confirmed) or "nobody yet"}.items())
    rows = [
        (one["name"], "missing" if one["value"] is None else one["value"], one["unit"], one["definition"])
        for one in values
    ]
    print_table(("Feature", "Value", "Unit", "Definition"), rows, right=(1,))
