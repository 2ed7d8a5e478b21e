"""Bearer tokens (RFC 6750): who may read what is private to this node's member, and who may operate the node.

    Authorization: Bearer lst_...

A token speaks for the node, and so for the member whose node it is. Where a request came from is no proof of anything:
a proxy in front makes every caller a loopback one, so no address is let in without a token where one is needed. Never a
token in a query, a cookie or a log line, and never a word that tells an unknown token from a revoked one.
"""

from typing import Final, Literal, NamedTuple, NoReturn

from aiohttp import web

from node.api.problems import ProblemError
from node.tokens import Scope, Token, TokenRoom


class ApiSettings(NamedTuple):
    """What the operator decides of the API."""

    tokens: TokenRoom | None = None
    """None: nobody has a token."""
    status_for: Literal["everybody", "tokens"] = "everybody"
    cors_origins: tuple[str, ...] = ()
    """Pages of other origins that may read this node (`node.api.origins`)."""
    units_per_s: int = 0
    """What one caller may ask in the long run (`node.api.throttle`); 0: as much as there is."""


TOKENS: Final[web.AppKey[TokenRoom | None]] = web.AppKey("tokens")
HEADER: Final = "Authorization"
REALM: Final = "liushui"
_SHOWN: Final = web.RequestKey("shown_token", object)


class Bearer(NamedTuple):
    """What came of the token that a request showed."""

    token: Token | None
    fault: str
    """Why it is none: unknown or expired; empty for a token, or when nothing was shown."""


NOBODY: Final = Bearer(None, "")


def make_challenge(scope: Scope, *, error: str = "", signed: bool = False) -> str:
    """The value of WWW-Authenticate (RFC 6750, section 3); with the other way to ask, where there is one."""
    bearer = f'Bearer realm="{REALM}", scope="{scope}"' + (f', error="{error}"' if error else "")
    return f"Liushui-Signature, {bearer}" if signed else bearer


def find_bearer(request: web.Request, now_ms: int) -> Bearer:
    """The token that a request shows; looked up once a request."""
    known = request.get(_SHOWN)
    if isinstance(known, Bearer):
        return known
    found = _look_up(request, now_ms)
    request[_SHOWN] = found
    return found


def has_ended(request: web.Request, scope: Scope, now_ms: int) -> bool:
    """Whether the token that let a request in holds no more: asked by streams, which outlive what let them in."""
    known = request.get(_SHOWN)
    if not isinstance(known, Bearer) or known.token is None:
        return False
    token = _look_up(request, now_ms).token
    return token is None or scope not in token.scopes


def _look_up(request: web.Request, now_ms: int) -> Bearer:
    scheme, _, secret = request.headers.get(HEADER, "").partition(" ")
    room = request.app[TOKENS]
    if scheme.lower() != "bearer":
        return NOBODY
    found = "unknown" if room is None else room.find(secret.strip(), now_ms)
    return Bearer(None, found) if isinstance(found, str) else Bearer(found, "")


def require_token(request: web.Request, scope: Scope, now_ms: int, *, signed: bool = False) -> Token:
    """The token of a request that may do something. Raises ProblemError: token_missing, token_invalid,
    insufficient_scope. `signed`: a signature would do as well, and none was sent.
    """
    token, fault = find_bearer(request, now_ms)
    if token is None:
        _refuse(fault, scope, signed=signed)
    if scope not in token.scopes:
        raise ProblemError(
            "insufficient_scope",
            f"This needs a token with the scope {scope}.",
            challenge=make_challenge(scope, error="insufficient_scope"),
        )
    return token


def _refuse(fault: str, scope: Scope, *, signed: bool) -> NoReturn:
    if fault:
        detail = "Its time is over." if fault == "expired" else "This node does not know it, or no longer."
        raise ProblemError("token_invalid", detail, challenge=make_challenge(scope, error="invalid_token"))
    challenge = make_challenge(scope, signed=signed)
    if signed:
        raise ProblemError(
            "signature_missing",
            f"Send Liushui-Signature: key,ms,signature over the method, path and time; or a token with the scope"
            f" {scope}.",
            challenge=challenge,
        )
    raise ProblemError(
        "token_missing", f"Send Authorization: Bearer with a token that has the scope {scope}.", challenge=challenge
    )
