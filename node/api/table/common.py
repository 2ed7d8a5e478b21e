"""Parameters that addresses of several families take. Never a parameter of one address alone."""

from typing import Final

from node.api.parameters import HEX, POSITION, WORDS, Query, one_of

READ: Final = ("not_found",)
OWNER: Final = Query("owner", "Of this account.", HEX)
EVENTS: Final = (
    Query("after", "Position height-index to resume behind.", POSITION),
    Query("kind", "Only events of this kind; may be repeated.", WORDS),
    Query("follow", "false: end where no more are saved.", one_of(("true", "false"), default="true")),
)
