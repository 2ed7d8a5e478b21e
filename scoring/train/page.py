"""A model card as one HTML page that needs no network: the Markdown of `card` with its plots. Standard library only.

It renders what `card` writes (headings, paragraphs, tables, lists, code, bold) and refuses anything else, so that no
line is lost. Never a script, a font or a picture from elsewhere.
"""

import base64
import html
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol

STYLE: Final = """
:root { color-scheme: light; --ink: #1d2733; --quiet: #5b6673; --line: #d9dfe6; --soft: #f4f6f9; --blue: #14508c; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 58rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", sans-serif; }
h1 { margin: 0 0 1rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.6rem 0 .8rem; padding-top: .9rem; border-top: 2px solid var(--ink); font-size: 1.25rem; }
p, ul { max-width: 46rem; }
code { padding: .05em .3em; border-radius: 3px; background: var(--soft); font-size: .86em; overflow-wrap: anywhere; }
td code { white-space: nowrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { border-bottom: 1.5px solid var(--ink); text-align: left; font-weight: 600; }
td { border-bottom: 1px solid var(--line); }
th, td { padding: .38rem .9rem .38rem 0; vertical-align: top; }
th.number, td.number { text-align: right; white-space: nowrap; }
figure { margin: 1.4rem 0; }
img { display: block; width: 38rem; max-width: 100%; height: auto; }
figcaption { max-width: 46rem; margin-top: .4rem; color: var(--quiet); font-size: .86rem; }
@media print { body { padding: 0; max-width: none; font-size: 11pt; } figure, tr { break-inside: avoid; } }
""".strip()

_NUMBER: Final = re.compile(r"^[-\d.,]+( %)?( to -?[\d.]+( %)?)?$")


class Picture(Protocol):
    """A plot as `plots` draws it."""

    @property
    def section(self) -> str:
        """Title of its section."""

    @property
    def caption(self) -> str:
        """What it shows."""

    @property
    def png(self) -> bytes:
        """The picture."""


def render_page(card: str, pictures: Sequence[Picture] = ()) -> str:
    """The page of a card. Raises ValueError for a line it has no rule for, or a picture without its section."""
    blocks = [list(lines) for blank, lines in groupby(card.splitlines(), lambda line: not line.strip()) if not blank]
    waiting = list(pictures)
    parts: list[str] = []
    title = "Model card"
    section = ""

    def show_pictures() -> None:
        for picture in [one for one in waiting if one.section == section]:
            waiting.remove(picture)
            parts.append(_render_picture(picture))

    for lines in blocks:
        if lines[0].startswith("## "):
            show_pictures()
            section = lines[0].removeprefix("## ")
        elif lines[0].startswith("# "):
            title = lines[0].removeprefix("# ")
        parts.extend(_render_block(lines))
    show_pictures()
    if waiting:
        raise ValueError(f"no section {waiting[0].section!r} for a picture")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}<title>{html.escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _render_block(lines: list[str]) -> Iterator[str]:
    """A run of lines without a blank one; a heading may stand right above its text."""
    for kind, held in groupby(lines, _name_kind):
        block = list(held)
        if kind == "heading":
            for line in block:
                level = len(line) - len(line.lstrip("#"))
                yield f"<h{level}>{_render_inline(line[level + 1 :])}</h{level}>"
        elif kind == "table":
            yield _render_table(block)
        elif kind == "list":
            yield "<ul>\n" + "\n".join(f"<li>{_render_inline(line[2:])}</li>" for line in block) + "\n</ul>"
        else:
            yield f"<p>{_render_inline(' '.join(block))}</p>"


def _name_kind(line: str) -> str:
    if re.match(r"#{1,2} ", line):
        return "heading"
    if line.startswith("|"):
        return "table"
    if line.startswith("- "):
        return "list"
    if re.match(r"[#>+=`~<]|\d+\. |\* |---| {4}", line):
        raise ValueError(f"no rule for the line {line!r}")
    return "text"


def _render_table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    head, body = rows[0], rows[2:]
    # The first column names the row, even where its name is a number.
    numbers = [index > 0 and all(_NUMBER.match(row[index]) for row in body) for index in range(len(head))]

    def render_row(cells: list[str], tag: str) -> str:
        marks = [' class="number"' if number else "" for number in numbers]
        told = (f"<{tag}{mark}>{_render_inline(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True))
        return "<tr>" + "".join(told) + "</tr>"

    inside = "\n".join(render_row(row, "td") for row in body)
    table = f"<table>\n<thead>{render_row(head, 'th')}</thead>\n<tbody>\n{inside}\n</tbody>\n</table>"
    return f'<div class="wide">{table}</div>'


def _render_inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _render_picture(picture: Picture) -> str:
    source = base64.b64encode(picture.png).decode("ascii")
    caption = html.escape(picture.caption)
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )
