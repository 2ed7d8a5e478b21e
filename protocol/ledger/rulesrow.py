"""Which rules the books are kept by, now and later: the row that every node executes by. A wire shape; no rule here."""

from typing import Annotated

import msgspec

from protocol.ids import Height, HeightField

VersionField = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class RulesEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One version and where it begins."""

    version: VersionField
    planned_at: HeightField
    """Height whose execution decided it; 0 for the genesis."""
    since: HeightField
    """The first block that is executed by it; 0 for the genesis."""


class RulesRow(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One row."""

    present: RulesEntry
    next: RulesEntry | None = None
    """Decided, and not begun: it can be neither changed nor taken back."""

    @property
    def entries(self) -> tuple[RulesEntry, ...]:
        """What is in force and what is to come, in order."""
        return (self.present,) if self.next is None else (self.present, self.next)

    def find_version_at(self, height: Height) -> int:
        """The version by which a block above the last one is executed."""
        return self.next.version if self.next is not None and height >= self.next.since else self.present.version
