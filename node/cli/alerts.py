"""`liushui alerts`: early warnings of a lender's loans, read from its own node; followed as they come.

An officer signs the request. Never a rule here: `liushui monitor rules` explains them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.common import json_option, lang_option, node_option, print_json, print_table
from node.cli.sign import reader_option
from node.cli.typed import read_id

if TYPE_CHECKING:
    from node.client.http import NodeClient
    from protocol.crypto import KeySigner

PAGE: Final = 200
SEVERITIES: Final = ("watch", "act", "urgent")


@click.command()
@reader_option("Directory with the officer key of the lender, or of an observer, e.g. mynet/lender1.")
@click.option("--loan", "loan_id", default=None, metavar="LOAN", help="Only of this loan.")
@click.option("--severity", type=click.Choice(SEVERITIES), default="watch", show_default=True, help="At least this.")
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, help="Only later ones than this number.")
@click.option("--follow", is_flag=True, help="Go on with new ones as they come; one JSON object a line with --json.")
@node_option
@lang_option
@json_option
def alerts(
    *,
    directory: Path | None,
    loan_id: str | None,
    severity: str,
    after: int,
    follow: bool,
    node_url: str,
    lang: str,
    as_json: bool,
) -> None:
    """Early warnings that this lender's node has raised: what, of which loan, how urgent, on which figures.

    An officer of the lender sees all of them; an observer those that rest on the ledger alone. Each stands once per
    loan, rule and window. liushui monitor rules explains each rule.

    Example: liushui alerts --officer-dir mynet/lender1 --follow
    """
    from node.cli import remote
    from node.cli.sign import find_reader

    signer = find_reader(directory)
    query = {"severity": severity, **({} if loan_id is None else {"loan": read_id(loan_id, "a loan").hex()})}

    async def ask(client: "NodeClient") -> dict[str, Any]:
        return await _read_all(client, signer, query, after)

    view = remote.run(node_url, ask, language=lang)
    if not follow:
        _show(view, lang, as_json=as_json)
        return
    for one in view["items"]:
        _tell(one, lang, as_json=as_json)
    last = max((one["serial"] for one in view["items"]), default=after)
    last = max(last, view["newest"])

    async def listen(client: "NodeClient") -> None:
        async for one in client.stream_alerts(signer, remote.read_clock_ms, {"after": str(last)}):
            rank = SEVERITIES.index(one["severity"]) >= SEVERITIES.index(severity)
            if rank and query.get("loan") in (None, one["loan"]):
                _tell(one, lang, as_json=as_json)

    remote.run(node_url, listen, language=lang)


async def _read_all(
    client: "NodeClient", signer: "KeySigner | None", query: dict[str, str], after: int
) -> dict[str, Any]:
    """All pages from a serial on."""
    import msgspec

    from node.cli.remote import read_clock_ms

    items: list[Any] = []
    while True:
        asked = {**query, "limit": str(PAGE), "after": str(after)}
        raw = await client.call("GET", "/v1/alerts", query=asked, signer=signer, now_ms=read_clock_ms)
        page = msgspec.json.decode(raw)
        items += page["items"]
        if page["next"] is None:
            return {**page, "items": items}
        after = page["next"]


def _show(view: dict[str, Any], lang: str, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    rows = [
        (one["serial"], one["day"], one["severity"], one["rule"], _name(one), one[f"text_{lang}"])
        for one in view["items"]
    ]
    print_table(("No", "Day", "Severity", "Rule", "Loan", ""), rows, right=(0,))
    for hook in view["webhooks"]:
        state = "failing" if hook["failing_since_ms"] is not None else "well"
        click.echo(
            f"webhook {hook['address']}: {state}, {hook['waiting']} waiting, {hook['dropped']} dropped", err=True
        )


def _name(one: dict[str, Any]) -> str:
    return "portfolio" if one["loan"] is None else str(one["loan"])[:16]


def _tell(one: dict[str, Any], lang: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(one, ensure_ascii=False))
        return
    evidence = " ".join(f"{name}={value}" for name, value in one["evidence"].items())
    text = one[f"text_{lang}"]
    click.echo(
        f"{one['serial']}  {one['day']}  {one['severity']}  {one['rule']}  {_name(one)}  {text}  {evidence}".rstrip()
    )
