"""`liushui money`: claims on a settlement agent, minted for fiat received, moved, and redeemed against fiat paid out.

The ledger sees hashes of bank references and payout accounts, never the words. Never a balance computed here.
"""

from pathlib import Path
from typing import Any

import click

from node.cli.account import print_balances, read_account
from node.cli.common import fail, format_money, json_option, node_option, print_facts, print_json
from node.cli.desk import Desk, signing
from node.cli.sign import officer_option, who_options, yes_option
from node.cli.typed import AMOUNT

_amount_option = click.option(
    "--amount-minor", type=AMOUNT, required=True, help="Amount in minor units: 150000 is 1,500.00 CNY."
)
_currency_option = click.option("--currency", default=None, help="ISO 4217 code; by default the network's first.")
_agent_option = officer_option("--agent-dir", "Directory of the settlement agent, e.g. mynet/authorities/clearing.")


@click.group()
def money() -> None:
    """Bring money in, move it, pay it out, see it."""


@money.command()
@_agent_option
@click.option("--to", required=True, metavar="ACCOUNT", help="A member's name, or an account's id.")
@_amount_option
@_currency_option
@click.option("--ref", required=True, help="The bank's own reference of the money received; it counts once.")
@yes_option
@node_option
@json_option
def mint(
    *,
    directory: Path,
    to: str,
    amount_minor: int,
    currency: str | None,
    ref: str,
    yes: bool,
    node_url: str,
    as_json: bool,
) -> None:
    """Credit ACCOUNT with fiat that the settlement agent has received. The agent signs.

    Example: liushui money mint --agent-dir mynet/authorities/clearing --to lender1 --amount-minor 500000 --ref BANK-1
    """
    from node.cli import sign
    from protocol.money import Amount, Currency

    genesis = sign.read_network(node_url, directory)
    unit = sign.find_currency(genesis, currency)
    agent = sign.open_officer(directory, genesis, "settlement_agent")
    account = sign.resolve_account(genesis, to)
    shown = format_money(amount_minor, unit.exponent, unit.code)
    facts = [("amount", shown), ("to", _tell(to, account.hex())), ("reference", _check_ref(ref)), ("agent", agent.name)]
    sign.confirm("Credit money received:", facts, yes=yes)
    (made,) = sign.send(
        node_url,
        genesis,
        agent.signer,
        lambda wallet: [
            wallet.mint(
                to=account, currency=Currency(unit.code), amount=Amount(amount_minor), ext_ref=_hash("ext-ref", ref)
            )
        ],
    )
    _report({"transaction": made.id.hex(), "to": account.hex(), "amount": amount_minor}, as_json, shown)


@money.command()
@click.option("--to", required=True, metavar="ACCOUNT", help="A member's name, or an account's id.")
@_amount_option
@_currency_option
@signing
def transfer(*, desk: Desk, to: str, amount_minor: int, currency: str | None) -> None:
    """Move money to ACCOUNT.

    Example: liushui money transfer --to lender1 --amount-minor 5000 --key li-na.key
    """
    from node.cli import sign
    from protocol.ids import ZERO_DIGEST
    from protocol.money import Amount, Currency
    from protocol.transactions.money import Transfer

    unit = sign.find_currency(desk.network, currency)
    account = desk.resolve(to)
    payload = Transfer(to=account, currency=Currency(unit.code), amount=Amount(amount_minor), memo_commit=ZERO_DIGEST)
    made = desk.send("Move money:", payload, beside=[("from", desk.account.hex())])
    shown = format_money(amount_minor, unit.exponent, unit.code)
    _report({"transaction": made.id.hex(), "to": account.hex(), "amount": amount_minor}, desk.as_json, shown)


@money.command()
@_amount_option
@_currency_option
@click.option("--agent", default=None, help="The settlement agent; needed only where there are several.")
@click.option("--pay-to", required=True, metavar="TEXT", help="Bank account to pay to; only a salted hash is sent.")
@signing
def redeem(*, desk: Desk, amount_minor: int, currency: str | None, agent: str | None, pay_to: str) -> None:
    """Ask the settlement agent to pay fiat out. The amount waits in escrow until the agent answers.

    Tell the agent the redemption, the bank account and the salt that are printed: the ledger holds their hash, so the
    agent can see that no other account was meant.

    Example: liushui money redeem --amount-minor 5000 --pay-to "ICBC 6222 0202 0001" --key li-na.key
    """
    from nacl.utils import random

    from node.cli import sign
    from protocol.crypto import calculate_hash
    from protocol.money import Amount, Currency
    from protocol.transactions.money import RedeemRequest

    unit = sign.find_currency(desk.network, currency)
    named = _pick_agent(desk.network, agent)
    salt = random(32)
    payload = RedeemRequest(
        agent=named.account,
        currency=Currency(unit.code),
        amount=Amount(amount_minor),
        payout_commit=calculate_hash("payout", salt, pay_to.strip().encode()),
    )
    made = desk.send("Ask for a payout:", payload, beside=[("pay to", pay_to), ("from", desk.account.hex())])
    shown = format_money(amount_minor, unit.exponent, unit.code)
    found = {"transaction": made.id.hex(), "redemption": made.made.hex(), "amount": amount_minor, "salt": salt.hex()}
    _report(found, desk.as_json, shown)


@money.command()
@_agent_option
@click.argument("redemption_id", metavar="REDEMPTION")
@click.option("--outcome", type=click.Choice(["paid", "failed"]), required=True, help="What became of the payout.")
@click.option("--ref", required=True, help="The bank's own reference of the payout; it counts once.")
@yes_option
@node_option
@json_option
def settle(
    *, directory: Path, redemption_id: str, outcome: str, ref: str, yes: bool, node_url: str, as_json: bool
) -> None:
    """Say what became of a payout: paid (the claim is burned) or failed (the money returns). The agent signs.

    Example: liushui money settle REDEMPTION --outcome paid --ref BANK-2 --agent-dir mynet/authorities/clearing
    """
    from node.cli import sign
    from node.cli.remote import check_hex
    from protocol.ids import ObjectId
    from protocol.transactions.money import RedeemOutcome

    redemption = ObjectId(bytes.fromhex(check_hex(redemption_id, "a redemption")))
    genesis = sign.read_network(node_url, directory)
    agent = sign.open_officer(directory, genesis, "settlement_agent")
    facts = [("redemption", redemption.hex()), ("outcome", outcome), ("reference", _check_ref(ref))]
    sign.confirm("Settle a payout:", [*facts, ("agent", agent.name)], yes=yes)
    (made,) = sign.send(
        node_url,
        genesis,
        agent.signer,
        lambda wallet: [
            wallet.settle_redemption(
                redemption=redemption, outcome=RedeemOutcome[outcome.upper()], ext_ref=_hash("ext-ref", ref)
            )
        ],
    )
    _report({"transaction": made.id.hex(), "redemption": redemption.hex(), "outcome": outcome}, as_json, None)


@money.command()
@who_options
@node_option
@json_option
def balance(*, who: str | None, key_path: Path | None, directory: Path | None, node_url: str, as_json: bool) -> None:
    """What an account holds. WHO is a member's name (lender1) or an account's id; --key FILE looks at your own."""
    one = read_account(node_url, who, key_path, directory)
    if as_json:
        print_json({name: one[name] for name in ("height", "id", "name", "balances", "shares")})
        return
    print_facts([("account", one["id"]), ("name", one["name"])])
    print_balances(one)


def hash_reference(ref: str) -> Any:
    """What the ledger keeps of a bank's reference, so that it counts once."""
    return _hash("ext-ref", _check_ref(ref))


def _hash(tag: str, text: str) -> Any:
    from protocol.crypto import calculate_hash

    return calculate_hash(tag, text.strip().encode())


def _check_ref(ref: str) -> str:
    plain = ref.strip()
    if not plain:
        fail("reference_empty", "--ref is empty: give the bank's own reference, so that nothing is entered twice.")
    return plain


def _tell(typed: str, account: str) -> str:
    return account if typed.strip().lower() == account else f"{typed.strip()} ({account})"


def _pick_agent(genesis: Any, name: str | None) -> Any:
    """The member that pays out: the one named, or the only one."""
    able = [one for one in genesis.members if one.settlement_agent]
    chosen = [one for one in able if name in (None, one.name)]
    if len(chosen) != 1:
        fail("agent_unknown", f"Name the settlement agent with --agent: {', '.join(one.name for one in able)}.")
    return chosen[0]


def _report(found: dict[str, Any], as_json: bool, amount: str | None) -> None:
    if as_json:
        print_json(found)
    else:
        print_facts((name, amount if name == "amount" else value) for name, value in found.items())
