"""What a training run tells: intervals, groups, drift, the card as a page. No training extra is needed here."""

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scoring.models import load_default
from scoring.train.dataset import load_loans
from scoring.train.evaluate import evaluate, measure_periods, name_period
from scoring.train.fairness import GROUP_LOANS_MIN, GROUPS_MAX, measure_groups
from scoring.train.measures import calculate_interval, calculate_psi_by_chance, calculate_wilson
from scoring.train.page import render_page
from tests.scoring.labelled import write_loans

CARD = """# Model card: x & co

A line of `code <b>`
and **bold** text.

## Discrimination
| name | AUC |
|---|---|
| `all` | 0.912 |
| some | - |

- one
- two
"""


@dataclass(frozen=True)
class Drawn:
    section: str
    caption: str
    png: bytes


class Elements(HTMLParser):
    """Every element with what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_intervals_hold_the_rate_and_stay_between_nothing_and_all() -> None:
    """Wilson's interval of a known case, of none and of all; a normal interval is cut at 0 and 1."""
    assert calculate_wilson(8, 10) == [0.4902, 0.9433]
    assert calculate_wilson(0, 10) == [0.0, 0.2775]
    assert calculate_wilson(10, 10) == [0.7225, 1.0]
    assert calculate_wilson(0, 0) is None
    assert calculate_interval(0.98, 0.02) == [0.9408, 1.0]
    assert calculate_interval(0.5, 0.1) == [0.304, 0.696]
    assert calculate_psi_by_chance(7, 50, 100) == pytest.approx(0.18)


def test_groups_are_told_apart_by_columns_that_nothing_else_reads(tmp_path: Path) -> None:
    """Rates per group, the ratio to the highest, none where a group is small; features do not change by the column."""
    size = GROUP_LOANS_MIN
    thrifts = [40] * size + [40, 125] * (size // 2) + [125] * 2
    bad = [False] * size + [False, True] * (size // 2) + [True, False]
    folder = write_loans(tmp_path, thrifts, bad)
    plain = evaluate(load_default(), folder)
    assert plain["fairness"] == []
    write_loans(tmp_path, thrifts, bad, sex=["f"] * size + ["m"] * size + ["", " "])
    grouped = evaluate(load_default(), folder)
    assert grouped["digest"] == plain["digest"]
    (attribute,) = grouped["fairness"]
    rows = {row["group"]: row for row in attribute["groups"]}
    assert (attribute["attribute"], list(rows)) == ("sex", ["f", "m", "not stated"])
    assert (rows["f"]["loans"], rows["f"]["bad"], rows["f"]["auc"]) == (size, 0, None)
    assert (rows["m"]["bad"], rows["m"]["bad_rate"], rows["m"]["auc"]) == (size // 2, 0.5, 1.0)
    assert rows["f"]["approval_ratio"] == 1.0
    assert rows["m"]["approval_ratio"] == round(rows["m"]["approval_rate"] / rows["f"]["approval_rate"], 4) < 0.8
    assert rows["not stated"]["approval_ratio"] is None


def test_a_column_with_a_value_for_everyone_is_no_group(tmp_path: Path) -> None:
    """Names or numbers of people would make a table of persons: refused."""
    count = GROUPS_MAX + 1
    write_loans(tmp_path, [50] * count, [True] + [False] * (count - 1), name=[str(index) for index in range(count)])
    with pytest.raises(ValueError, match="group_name has 21 values"):
        measure_groups(load_loans(tmp_path), [0.1] * count)


def test_drift_is_measured_per_half_year_against_the_reference_or_the_others() -> None:
    """A half-year like the reference has no PSI, one unlike it has; without a reference the others are it."""
    days = [728_300, 728_301, 728_500, 728_501]  # 1995-01 and 1995-08
    assert [name_period(day) for day in days] == ["1995 H1", "1995 H1", "1995 H2", "1995 H2"]
    bands, bad = [0, 1, 1, 1], [False, True, True, False]
    first, second = measure_periods(days, bands, bad, (500, 500))
    assert (first["psi"], first["loans"], first["bad"]) == (0.0, 2, 1)
    assert second["psi"] > 0.25
    assert [one["psi"] for one in measure_periods(days, [0, 1, 0, 1], bad, None)] == [0.0, 0.0]
    assert measure_periods(days[:2], bands[:2], bad[:2], None)[0]["psi"] is None


def test_a_card_becomes_a_page_that_needs_nothing_else() -> None:
    """Headings, text, table, list and pictures each in their place; every picture is inside, nothing is a script."""
    page = render_page(CARD, [Drawn("Discrimination", 'a "curve"', b"\x89PNG")])
    found = Elements(page)
    assert {"h1", "h2", "table", "ul", "code", "strong", "figure"} <= set(found.tags)
    assert found.sources == ["data:image/png;base64,iVBORw=="]
    assert not {"script", "link", "iframe"} & set(found.tags)
    assert "url(" not in page
    assert "A line of <code>code &lt;b&gt;</code> and <strong>bold</strong> text." in page
    assert "<title>Model card: x &amp; co</title>" in page
    assert '<td class="number">0.912</td>' in page
    assert page.index("<li>two</li>") < page.index("<figure>")
    assert 'alt="a &quot;curve&quot;"' in page


@pytest.mark.parametrize("line", ["### deep", "1. first", "* star", "> quote", "```", "<script>"])
def test_a_line_without_a_rule_is_refused_and_not_lost(line: str) -> None:
    """The page shows all of a card or there is no page."""
    with pytest.raises(ValueError, match="no rule"):
        render_page(CARD + "\n" + line + "\n")


def test_a_picture_without_its_section_is_refused() -> None:
    """A plot cannot silently be left out."""
    with pytest.raises(ValueError, match="no section"):
        render_page(CARD, [Drawn("Nowhere", "", b"")])
