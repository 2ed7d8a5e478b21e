"""How much one caller may ask of this node: a bucket of units that fills steadily, for each address and each token.

A unit is a plain read, about 0.3 ms of one core; heavier reads cost more (`Endpoint.cost`). Reads share the process
with votes, so what one caller can take is a share of a core and not all of it. Submissions cost nothing here: the door
has its own bounds and its own word, `busy`. So do the probes, for who is asked whether he lives must always answer.
Callers are remembered up to a number, the longest unheard forgotten first. Never a bucket for what a stranger makes up.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from node.allowance import Allowance
from node.api.access import find_bearer
from node.api.meter import REQUESTS
from node.api.problems import Handler, ProblemError
from node.api.reading import NOW_MS
from node.listening import find_address_key
from protocol.limits import API_BURST_S, API_CALLERS_MAX

COST_OF_OTHERS: Final = 1
"""Of an address that is not in the table, and of a method that it does not know."""


class Throttle:
    """The buckets of one node. `costs`: units by method and address of the table; `clock_ms` never steps."""

    def __init__(self, units_per_s: int, costs: Mapping[tuple[str, str], int], clock_ms: Callable[[], int]) -> None:
        self._units_per_s = units_per_s
        self._costs = costs
        self._clock_ms = clock_ms
        self._buckets: OrderedDict[bytes, Allowance] = OrderedDict()

    def get_cost(self, method: str, route: str) -> int:
        """Units that an address costs."""
        return self._costs.get((method, route), COST_OF_OTHERS)

    def try_spend(self, caller: bytes, units: int) -> int:
        """Spend units; 0, or the milliseconds to wait, and nothing is spent then. A heavy read goes through whole, and
        what it overdraws is waited off.
        """
        now_ms = self._clock_ms()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = Allowance(self._units_per_s, self._units_per_s * API_BURST_S, now_ms)
            self._buckets[caller] = bucket
            if len(self._buckets) > API_CALLERS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        wait_ms = bucket.calculate_wait_ms(now_ms)
        if not wait_ms:
            bucket.spend(units, now_ms)
        return wait_ms

    @property
    def callers(self) -> int:
        """How many are remembered."""
        return len(self._buckets)


THROTTLE: Final[web.AppKey[Throttle | None]] = web.AppKey("throttle")
"""None: everybody may ask as much as there is."""


@web.middleware
async def throttle_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a caller has no units left for. Raises ProblemError(too_many_requests)."""
    throttle = request.app[THROTTLE]
    resource = request.match_info.route.resource
    cost = 0 if throttle is None else throttle.get_cost(request.method, "" if resource is None else resource.canonical)
    if throttle is not None and cost:
        wait_ms = throttle.try_spend(_find_caller(request), cost)
        if wait_ms:
            request.app[REQUESTS].limited += 1
            raise ProblemError(
                "too_many_requests", "This caller's share of the node is used up for now.", retry_after_ms=wait_ms
            )
    return await handler(request)


def _find_caller(request: web.Request) -> bytes:
    """A token that holds, else the address; one customer's whole network of IPv6 is one address."""
    token = find_bearer(request, request.app[NOW_MS]()).token
    return b"address " + find_address_key(request.remote or "") if token is None else b"token " + token.name.encode()
