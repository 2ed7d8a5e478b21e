"""Pages made from the code are those that stand in docs, and the page of the ledger forgets no kind of loan."""

from pathlib import Path

import pytest

from protocol.loans.lifecycle import LoanState
from protocol.transactions.products import ProductKind
from tests.rules import pages

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_page_made_from_the_code_is_up_to_date(name: str) -> None:
    """Otherwise: python -m tests.rules.pages."""
    assert (DOCS / name).read_text("utf-8") == pages.PAGES[name]()


def test_the_page_of_the_ledger_names_every_kind_and_state() -> None:
    """docs/ledger.md is what an auditor reads first: nothing that holds may be missing there."""
    page = (DOCS / "ledger.md").read_text("utf-8")
    wanted = [*(kind.__name__ for kind in ProductKind.__args__), *(one.name.lower() for one in LoanState)]
    assert [one for one in wanted if f"`{one}`" not in page] == []
