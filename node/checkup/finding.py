"""One finding of a check-up: what was looked at, how it is, and what to do about it. Data only."""

from typing import Literal, NamedTuple

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """`fail`: the node would not start, not vote, or not keep what it has. `warn`: it runs; a person should look."""

    code: str
    """Stable, of what was looked at and how it is, for example `disk_low`; the name alone when all is well."""
    level: Level
    name: str
    sentence: str
    fix: str = ""
    """What to do; empty when nothing."""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done before a start."""
        return self.level != "fail"


def well(name: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(name.replace(" ", "_").lower(), "ok", name, sentence)


def warn(code: str, name: str, sentence: str, fix: str) -> Finding:
    """It runs, and a person should look."""
    return Finding(code, "warn", name, sentence, fix)


def failed(code: str, name: str, sentence: str, fix: str) -> Finding:
    """It would not run as it should."""
    return Finding(code, "fail", name, sentence, fix)
