"""All addresses of the API in the order in which the document shows them; routes and the document both follow from it.

An address is added to a table of `node.api.table`, never elsewhere.
"""

from typing import Final

from node.api import goods, loanviews
from node.api.answers import EventView
from node.api.openapi import Endpoint
from node.api.table.chain import CHAIN
from node.api.table.lending import LENDING
from node.api.table.operating import OPERATING
from node.api.table.oversight import OVERSIGHT
from node.api.table.proofs import PROOFS

ENDPOINTS: Final[tuple[Endpoint, ...]] = (*CHAIN, *LENDING, *OVERSIGHT, *OPERATING, *PROOFS)
STREAMED: Final = (
    EventView,
    goods.ExitView,
    loanviews.LoanSummary,
)
"""Types that only appear inside streams or pages; they are part of the document too."""
