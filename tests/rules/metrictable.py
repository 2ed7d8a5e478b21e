"""The table of metrics in docs/operations.md, from the catalogue: `python -m tests.rules.metrictable` rewrites it."""

from typing import Final

from node.api.endpoints import ENDPOINTS
from node.metrics.catalog import Metric, make_catalog
from tests.rules import tree

PAGE: Final = tree.ROOT / "docs" / "operations.md"
BEGIN: Final = "<!-- metrics: made by python -m tests.rules.metrictable -->\n"
END: Final = "<!-- end of metrics -->\n"


def make_table() -> str:
    """One row per metric: its name in a query, its kind, its labels with what they can say, and what it tells."""
    rows = ["| Metric | Kind | Labels | Tells |", "|---|---|---|---|"]
    rows += [
        f"| `{one.full_name}` | {one.kind} | {_list_labels(one)} | {one.text} |"
        for one in make_catalog(tuple(dict.fromkeys(each.path for each in ENDPOINTS)))
    ]
    return "\n".join(rows) + "\n"


def _list_labels(metric: Metric) -> str:
    parts = []
    for label in metric.labels:
        few = len(label.values) <= 12 and label.values
        parts.append(f"`{label.name}`" + (": " + ", ".join(label.values) if few else ""))
    return "; ".join(parts)


def put_table(page: str) -> str:
    """The page with the table as it should be. Raises ValueError when the page has no place for it."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + make_table() + END + after


if __name__ == "__main__":
    PAGE.write_text(put_table(PAGE.read_text("utf-8")), "utf-8")
