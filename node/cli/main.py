"""`liushui`: the group of all commands. Each is imported only when it is called, so that the command line starts fast.

Adding a command is one line in COMMANDS. Never import a command's module, or anything heavy, at the top here.
"""

import importlib
import os
from gettext import gettext
from typing import Any, Final, NamedTuple

import click

from node.cli.common import EXIT_TEXT, pick_language

SENTENCE_MAX: Final = 1_000


class Entry(NamedTuple):
    """Where a command lives and what the overview says of it."""

    target: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "version": Entry("node.cli.version:version", "Print the version."),
    "demo": Entry("node.cli.demo:demo", "Run a whole lending network on this machine and tell its story."),
    "bench": Entry("node.cli.bench:bench", "Measure a throw-away network of real nodes on this machine."),
    "sim": Entry("node.cli.sim:sim", "Try the consensus code against simulated faults, by seed; needs no node."),
    "testnet": Entry("node.cli.found:testnet", "Lay out a network of your own: genesis, nodes, keys."),
    "init": Entry("node.cli.found:init", "Make the keys and settings of one member's node."),
    "start": Entry("node.cli.start:start", "Run the node of a data directory."),
    "status": Entry("node.cli.status:status", "Say where a node stands, and what it waits for."),
    "peers": Entry("node.cli.peers:peers", "Show peers; ban and unban them by key."),
    "token": Entry("node.cli.token:token", "Make, list and revoke the tokens of a node's API."),
    "doctor": Entry("node.cli.doctor:doctor", "Check this machine and a data directory for what stops a node."),
    "config": Entry("node.cli.config:config", "Show a node's settings and what set each of them."),
    "inspect": Entry("node.cli.disk:inspect", "Say what lies in a data directory; changes nothing."),
    "check": Entry("node.cli.disk:check", "Check that a node's database is whole, and repair it."),
    "backup": Entry("node.cli.backup:backup", "Make, verify and restore copies of a node."),
    "rollback": Entry("node.cli.disk:rollback", "Set a stopped node's books back to an earlier height."),
    "debug": Entry("node.cli.debug:debug", "Collect what somebody who helps needs to know; no secrets."),
    "keys": Entry("node.cli.keys:keys", "Make, show and change your own key."),
    "statement": Entry("node.cli.statement:statement", "Check a bank statement file, or make a sample; needs no node."),
    "score": Entry("node.cli.statement:score", "Score a bank statement file; needs no node."),
    "invoices": Entry(
        "node.cli.invoices:invoices", "Check a firm's invoices and compute their features; needs no node."
    ),
    "model": Entry("node.cli.model:model", "List, read, measure and fit scoring models, and put them to a vote."),
    "monitor": Entry(
        "node.cli.monitor:monitor", "Explain early-warning rules, measure them on past loans, refresh statements."
    ),
    "schedule": Entry("node.cli.schedule:schedule", "Compute a repayment schedule and its APR; needs no node."),
    "account": Entry("node.cli.account:account", "Open and show accounts; freeze them as an issuer."),
    "money": Entry("node.cli.money:money", "Bring money in, move it, pay it out, see it."),
    "pool": Entry("node.cli.pool:pool", "Open, fund, leave, secure and show lenders' pools."),
    "product": Entry("node.cli.product:product", "List, describe and publish loan products."),
    "apply": Entry("node.cli.borrow:apply", "Apply for a loan with a bank statement."),
    "offers": Entry("node.cli.taking:offers", "Show the decisions and offers on an application."),
    "accept": Entry("node.cli.taking:accept", "Accept an offer after seeing its whole cost."),
    "withdraw": Entry("node.cli.taking:withdraw", "Withdraw an open application."),
    "offer": Entry("node.cli.officer:offer", "Answer applications as a lender's officer."),
    "repay": Entry("node.cli.paying:repay", "Pay on a loan."),
    "payoff": Entry("node.cli.paying:payoff", "Pay what closes a loan today."),
    "autopay": Entry("node.cli.paying:autopay", "Let the ledger take instalments on their due days."),
    "loan": Entry("node.cli.loans:loan", "Show loans and their schedules; default, write-off, corrections."),
    "portfolio": Entry("node.cli.portfolio:portfolio", "Add all loans up: by lateness, class, stage, month."),
    "alerts": Entry("node.cli.alerts:alerts", "Read a lender's early warnings, and follow them."),
    "report": Entry("node.cli.report:report", "What supervisors ask: principal at risk, concentration, exposure."),
    "export": Entry("node.cli.export:export", "Write what the ledger holds into files for auditors, and check them."),
    "trial-balance": Entry("node.cli.portfolio:trial_balance", "Add all books up: debits equal credits."),
    "draw": Entry("node.cli.special:draw", "Draw on a credit line."),
    "line": Entry("node.cli.special:line", "Give up what is undrawn of a credit line."),
    "sales": Entry("node.cli.special:sales", "Report sales of an advance that a share of them repays."),
    "asset": Entry("node.cli.things:asset", "Register, transfer, retire, seize and sell things."),
    "lease": Entry("node.cli.things:lease", "End a lease: return, buy or pay on."),
    "assign": Entry("node.cli.special:assign", "Sell a pool's share of a loan to another pool."),
    "amend": Entry("node.cli.trouble:amend", "Agree on other terms for what is left of a loan."),
    "dispute": Entry("node.cli.trouble:dispute", "Contest an amount of a loan, answer, decide."),
    "consent": Entry("node.cli.consents:consent", "Give, list and withdraw consents to read your statements."),
    "data": Entry("node.cli.rights:data", "See who read your statements; export, correct or erase them."),
    "gov": Entry("node.cli.gov:gov", "Propose what the validators decide, and vote on it."),
    "tx": Entry("node.cli.tx:tx", "Send, draft and co-sign any transaction type."),
    "receipt": Entry("node.cli.receipt:receipt", "Say what became of a transaction, and fetch its receipt."),
    "audit": Entry("node.cli.audit:audit", "Check a node's whole database again, from the genesis on."),
    "verify": Entry("node.cli.verify:verify", "Verify a receipt, or a proof of rows, offline, with no node at all."),
    "light": Entry("node.cli.light:light", "Read balances, loans and pools from nodes that need not be trusted."),
    "completion": Entry("node.cli.completion:completion", "Print what makes a shell complete commands and options."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one only when it runs."""

    is_chinese = False

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run in the environment's language."""
        told: click.Group = self
        if pick_language(os.environ) == "zh":
            from node.cli.language import translate

            told = translate(self)
            told.is_chinese = True
        return click.Group.main(told, *args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table: the order of a network's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None for an unknown name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), entry.target
        if self.is_chinese:
            from node.cli.language import translate

            return translate(command)
        _tell_whole(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, from the table alone."""
        rows = [(name, entry.help) for name, entry in COMMANDS.items()]
        if self.is_chinese:
            from node.cli.language import say

            rows = [(name, say(text)) for name, text in rows]
        with formatter.section(gettext("Commands")):
            formatter.write_dl(rows)


def _tell_whole(command: click.Command) -> None:
    """Give subcommands their whole first sentence for an overview: click would cut it at the end of the line."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            one.short_help = one.get_short_help_str(SENTENCE_MAX)
            _tell_whole(one)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_TEXT)
def main() -> None:
    """Liushui: a peer-to-peer lending network. Lenders share one ledger of loans granted on cash flow."""


if __name__ == "__main__":
    main()
