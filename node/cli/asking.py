"""What is found out before an application is signed: the network, its lenders, the account, and who offers such a loan.

A statement is not handed out for nothing: what could bring no decision is refused here, before anything is sealed.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from node.cli.common import fail
from node.cli.remote import read_clock_ms, read_genesis
from node.client.borrower import CONSENT_MS, list_lenders
from node.client.consent import FEATURES_TEXTS, pick_underwriting
from node.client.http import ApiError, NodeClient
from node.client.network import Network, Organisation, list_auditors, read_network
from protocol.ids import PublicKey


class Plan(NamedTuple):
    """Where an application would go."""

    genesis: Network
    lenders: tuple[Organisation, ...]
    """Who is to read the statement."""
    decisions: int
    """Products that answer by themselves to what is asked for: so many decisions can be waited for."""
    auditors: tuple[Organisation, ...] = ()
    """Who is to read it as well and to attest, without lending."""
    apart: tuple[Organisation, ...] = ()
    """Who is to read its features alone."""

    @property
    def readers(self) -> tuple[Organisation, ...]:
        """To all of these the statement is sealed."""
        return (*self.lenders, *self.auditors)


async def make_plan(
    client: NodeClient,
    key: PublicKey,
    *,
    currency: str,
    terms: dict[str, Any],
    lenders: tuple[str, ...],
    auditors: tuple[str, ...] = (),
    features_to: tuple[str, ...] = (),
    genesis_path: Path | None,
) -> Plan:
    """The plan, or the end of the command: wrong_network, lender_unknown, auditor_unknown, member_unknown,
    reader_twice, account_unknown, or what `_count_products` says.
    """
    genesis = await read_network(client)
    if genesis_path is not None and read_genesis(genesis_path).calculate_chain_id() != genesis.calculate_chain_id():
        fail("wrong_network", f"The node belongs to another network than {genesis_path}: nothing was sent.")
    known = list_lenders(genesis)
    unknown = sorted(set(lenders) - {one.name for one in known})
    if unknown:
        names = ", ".join(one.name for one in known)
        fail("lender_unknown", f"{', '.join(unknown)} is no lender of this network: choose among {names}.")
    watching = list_auditors(genesis)
    if strangers := sorted(set(auditors) - {one.name for one in watching}):
        names = ", ".join(one.name for one in watching) or "none yet"
        fail("auditor_unknown", f"{', '.join(strangers)} is no auditor of this network that can attest: {names}.")
    try:
        await client.get(f"/v1/accounts/{key.hex()}")
    except ApiError as error:
        if error.code != "not_found":
            raise
        fail("account_unknown", "No account belongs to your key: open it with liushui account open. Nothing was sent.")
    apart = _pick_apart(genesis, features_to, {*lenders, *auditors})
    # Who is named for features alone is not among "all lenders".
    chosen = tuple(one for one in known if (one.name in lenders if lenders else one.name not in features_to))
    also = tuple(one for one in watching if one.name in auditors)
    decisions = await _count_products(client, chosen, currency, {**terms, "readers": len(chosen) + len(also)})
    return Plan(genesis, chosen, decisions, also, apart)


def _pick_apart(genesis: Network, names: tuple[str, ...], others: set[str]) -> tuple[Organisation, ...]:
    """Members that are to read features alone."""
    known = {one.name: one for one in genesis.members}
    if strangers := sorted(set(names) - set(known)):
        fail("member_unknown", f"{', '.join(strangers)} is no member of this network: see liushui status.")
    if twice := sorted(set(names) & others):
        fail("reader_twice", f"{', '.join(twice)} would read the statement and its features: name it once.")
    return tuple(known[name] for name in dict.fromkeys(names))


async def _count_products(
    client: NodeClient, lenders: tuple[Organisation, ...], currency: str, terms: dict[str, Any]
) -> int:
    """How many products answer to the terms by themselves; none that could answer at all ends the command."""
    from node.cli.remote import check_hex

    only = None if terms["product"] is None else check_hex(terms["product"], "a product")
    page = await client.get("/v1/products", limit="200")
    accounts = {one.account.hex() for one in lenders}
    unit, every = terms["every"]
    wanted = f"{every}{unit[0].lower()}"
    able = [
        one
        for one in page["items"]
        if one["lender"] in accounts
        and (one["segment"], one["currency"], one["every"]) == (terms["segment"], currency, wanted)
        and (one["id"] == only if only else one.get("kind", _find_kind(terms["wish"])) == _find_kind(terms["wish"]))
    ]
    fitting = [
        one
        for one in able
        if one["amount_min"] <= terms["amount_minor"] <= one["amount_max"]
        and one["instalments_min"] <= terms["periods"] <= one["instalments_max"]
    ]
    readable = [one for one in fitting if one["attestations_min"] <= terms["readers"]]
    if fitting and not readable:
        least = min(one["attestations_min"] for one in fitting)
        fail(
            "readers_too_few",
            f"Fitting products are decided by {least} equal readings: name more with --lender or --auditor.",
        )
    if not fitting and page["next"] is None:
        asked = f"product {only[:16]} for a " if only else ""
        why = (
            f"these lenders have no {asked}{terms['segment']} loan in {currency} every {wanted}:"
            " see --segment and --every"
            if not able
            else "those of this kind have other amounts or numbers of instalments: see --amount-minor and --periods"
        )
        fail("no_product", f"No product fits, {why}, and liushui product list. Nothing was sent.")
    if terms["no_automation"]:
        return 0
    return sum(one["auto_budget"] > 0 for one in readable)


def _find_kind(wish: str | None) -> str:
    """The kind of product that answers to a wish; a line is only asked for by name."""
    kinds = {"merchant": "purchase", "asset": "lease", "sales": "revenue_share"}
    return kinds.get((wish or "").partition(":")[0], "term")


def show_consent(plan: Plan, language: str, *, automated: bool = True) -> None:
    """The words agreed to, and beside them the names and the date that they speak of. On stderr."""
    until = datetime.fromtimestamp((read_clock_ms() + CONSENT_MS) // 1000, tz=UTC).date().isoformat()
    names = ", ".join(one.name for one in plan.lenders)
    click.echo(pick_underwriting(language, automated=automated), err=True)
    told = f"贷款机构：{names}" if language == "zh" else f"Lenders: {names}"
    if plan.auditors:
        also = ", ".join(one.name for one in plan.auditors)
        told += f"\n审计机构：{also}" if language == "zh" else f"\nAuditors: {also}"
    if plan.apart:
        names = ", ".join(one.name for one in plan.apart)
        words = FEATURES_TEXTS["underwrite"][language]
        told += f"\n\n{words}\n" + (f"指标阅读机构：{names}" if language == "zh" else f"Readers of features: {names}")
    click.echo(f"{told}\n期限：{until}" if language == "zh" else f"{told}\nUntil: {until}", err=True)
