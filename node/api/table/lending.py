"""Addresses of pools, products, applications, offers, loans, credit lines and registered things."""

from typing import Final

from node.api import books, goods, loans, loanviews, offers, views
from node.api.answers import ListView
from node.api.openapi import Endpoint
from node.api.parameters import HEX, NUMBER_MAX, PAGE, POSITION, Query, one_of
from node.api.table.common import READ
from node.tokens import Scope
from protocol.ledger.rows import ApplicationState
from protocol.loans.lifecycle import LoanState

_AMOUNT: Final = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX, "examples": [100_000]}

LENDING: Final = (
    Endpoint(
        "GET",
        "/v1/pools",
        books.list_pools,
        "Lenders' pools",
        ListView,
        query=PAGE,
        cost=10,
    ),
    Endpoint("GET", "/v1/pools/{id}", books.get_pool, "A pool", views.PoolView, problems=READ),
    Endpoint(
        "GET",
        "/v1/products",
        books.list_products,
        "Products",
        ListView,
        query=PAGE,
        cost=10,
    ),
    Endpoint("GET", "/v1/products/{id}", books.get_product, "A product", views.ProductView, problems=READ),
    Endpoint(
        "GET",
        "/v1/applications",
        books.list_applications,
        "Applications of a borrower; of all borrowers for members, who sign the request",
        ListView,
        query=(
            *PAGE,
            Query("borrower", "Of this account.", HEX),
            Query("state", "In this state.", one_of(ApplicationState)),
        ),
        problems=("not_permitted",),
        may_sign=True,
        scope=Scope.READ_PRIVATE,
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/applications/{id}",
        books.get_application,
        "An application with scores, decisions, reasons and offers",
        views.ApplicationView,
        problems=READ,
        cost=5,
    ),
    Endpoint(
        "GET",
        "/v1/offers/{id}",
        books.get_offer,
        "An offer with its whole cost",
        offers.OfferView,
        problems=READ,
        cost=5,
    ),
    Endpoint(
        "GET",
        "/v1/loans",
        loans.list_loans,
        "Loans",
        ListView,
        query=(
            *PAGE,
            Query("borrower", "Of this account.", HEX),
            Query("lender", "Of this account.", HEX),
            Query("state", "In this state.", one_of(LoanState)),
        ),
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}",
        loans.get_loan,
        "A loan, its schedule and history",
        loanviews.LoanView,
        problems=READ,
        cost=5,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/history",
        loans.list_loan_history,
        "All events of a loan with their postings, oldest first",
        ListView,
        query=(PAGE[0], Query("after", "Position height-index to go on behind.", POSITION)),
        problems=(*READ, "history_pruned"),
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/disputes",
        loans.list_loan_disputes,
        "Disputes about a loan",
        ListView,
        query=PAGE,
        problems=READ,
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/amendments",
        loans.list_loan_amendments,
        "Amendments proposed for a loan",
        ListView,
        query=PAGE,
        problems=READ,
        cost=10,
    ),
    Endpoint(
        "GET",
        "/v1/loans/{id}/extension",
        loans.get_extension_quote,
        "What paying on a lease's residual from today would be",
        offers.QuoteView,
        problems=(*READ, "no_terms"),
        cost=5,
    ),
    Endpoint("GET", "/v1/disputes/{id}", loans.get_dispute, "A dispute", loans.DisputeView, problems=READ),
    Endpoint("GET", "/v1/amendments/{id}", loans.get_amendment, "An amendment", loans.AmendmentView, problems=READ),
    Endpoint(
        "GET",
        "/v1/amendments/{id}/quote",
        loans.get_amendment_quote,
        "What accepting an amendment today would sign",
        offers.QuoteView,
        problems=(*READ, "no_terms"),
        cost=5,
    ),
    Endpoint(
        "GET",
        "/v1/lines",
        goods.list_lines,
        "Credit lines",
        ListView,
        query=(*PAGE, Query("borrower", "Of this account.", HEX)),
        cost=10,
    ),
    Endpoint("GET", "/v1/lines/{id}", goods.get_line, "A credit line", goods.LineView, problems=READ),
    Endpoint(
        "GET",
        "/v1/lines/{id}/quote",
        goods.get_draw_quote,
        "What drawing on a line today would sign",
        offers.QuoteView,
        query=(
            Query("amount", "In minor units.", _AMOUNT, required=True),
            Query("instalments", "In how many it is repaid.", _AMOUNT, required=True),
        ),
        problems=(*READ, "no_terms"),
        cost=5,
    ),
    Endpoint(
        "GET",
        "/v1/assets",
        goods.list_assets,
        "Registered things",
        ListView,
        query=(*PAGE, Query("owner", "Whose title this account holds.", HEX)),
        cost=10,
    ),
    Endpoint("GET", "/v1/assets/{id}", goods.get_asset, "A registered thing", goods.AssetView, problems=READ),
)
