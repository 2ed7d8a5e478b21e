"""What must never leave a node in a log or a support bundle: values under the names of secrets, blacked out.

    redact({"seed": b"..."})        -> {"seed": "[redacted]"}
    redact_line('{"token": "t1"}')  -> '{"token": "[redacted]"}'

Names decide, at any depth: a secret must not be logged under a name that does not say so. Never a list of values.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

BLACKED_OUT: Final = "[redacted]"
SECRET_NAMES: Final = frozenset(
    {
        "authorization",
        "cookie",
        "credential",
        "data_key",
        "mnemonic",
        "passphrase",
        "password",
        "private_key",
        "salt",
        "secret",
        "seed",
        "signing_key",
        "token",
        "words",
    }
)
_SECRET: Final = re.compile(r"(?:^|_)(?:" + "|".join(sorted(SECRET_NAMES)) + r")s?$")
_SPOKEN: Final = re.compile(
    r"(?i)\b((?:\w+_)?(?:"
    + "|".join(sorted(SECRET_NAMES - {"words"}))
    + r")s?)(\s*[=:]\s*|\s+is\s+)(\"[^\"]*\"|'[^']*'|\S+)"
)
_TOKEN: Final = re.compile(r"\blst_[\w-]{16,}")  # of this node's API (node.tokens)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")


def is_secret(name: str) -> bool:
    """Whether what stands under a name is not to be told."""
    return _SECRET.search(name.lower().replace("-", "_")) is not None


def redact(value: Any) -> Any:
    """The same with everything under the name of a secret blacked out."""
    if isinstance(value, Mapping):
        return {name: BLACKED_OUT if is_secret(str(name)) else redact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [redact(inner) for inner in value]
    return value


def redact_line(line: str) -> str:
    """A line of a log, in JSON or for people, with the same blacked out."""
    try:
        found = json.loads(line)
    except ValueError:
        return redact_text(line)
    if not isinstance(found, dict):
        return redact_text(line)
    plain = {name: redact_text(inner) if isinstance(inner, str) else inner for name, inner in redact(found).items()}
    return json.dumps(plain, ensure_ascii=False)


def redact_text(text: str) -> str:
    """Free text: what follows the name of a secret, what authorises a request, and tokens wherever they stand."""
    plain = _TOKEN.sub(BLACKED_OUT, _BEARER.sub(rf"\1 {BLACKED_OUT}", text))
    return _SPOKEN.sub(rf"\1\2{BLACKED_OUT}", plain)
