"""A page of entries as a table: its cells as text, a static HTML table and the plain-text twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmcache_jupyter.caches import Entry, Page
from llmcache_jupyter.caches.entry import SortColumn
from llmcache_jupyter.caches.generation import answer_text
from llmcache_jupyter.caches.prompt import asked
from llmcache_jupyter.views.format import UNKNOWN, count, number, seconds, short
from llmcache_jupyter.views.style import safe, styled, visible

CellLabel = Callable[[str | None], str | None]

CELL_CHARACTERS = 160
# text begins at A; figures and times at the greatest
SORTED_UPWARD: tuple[SortColumn, ...] = ("model", "cell", "prompt", "answer")

# `.llmcache` and the resets outweigh what JupyterLab sets for tables in an output
_CSS = """
.llmcache .llmcache-entries { overflow-x: auto; }
.llmcache .llmcache-entries table { margin: 4px 0; border: 0; border-collapse: collapse; table-layout: auto;
  font-size: inherit; color: inherit; }
.llmcache .llmcache-entries tr { background: none; }
.llmcache .llmcache-entries th, .llmcache .llmcache-entries td { max-width: 15em; padding: 3px 14px 3px 0;
  overflow: hidden; text-align: left; text-overflow: ellipsis; white-space: nowrap; vertical-align: baseline;
  border: 0; border-bottom: 1px solid var(--jp-border-color2, #8884); }
.llmcache .llmcache-entries th { font-weight: normal; color: var(--jp-ui-font-color2, #757575); }
.llmcache .llmcache-entries .llmcache-figure { text-align: right; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, named as in the DataFrame of `%llmcache entries`.

    - `sort`: what a query calls it; None cannot be sorted by.
    - `width`: in the plain-text table, in characters; 0 leaves it out there, where room is scarce.
    """

    name: str
    sort: SortColumn | None
    width: int

    @property
    def is_figure(self) -> bool:
        return self.name in ("tokens", "took", "hits")


COLUMNS = (
    Column("id", None, 12),
    Column("stored", "stored", 19),
    Column("cell", "cell", 6),
    Column("model", "model", 14),
    Column("prompt", "prompt", 26),
    Column("answer", "answer", 26),
    Column("tokens", "tokens", 0),
    Column("took", "took", 0),
    Column("hits", "hits", 5),
    Column("last used", "last_used", 0),
)


def cells(entry: Entry, *, cell_label: CellLabel = lambda cell: cell) -> list[str]:
    """An entry as a table shows it: one short line of harmless text a column."""
    cell, model = cell_label(entry.cell) or UNKNOWN, entry.model or UNKNOWN
    said = (cell, model, asked(entry.prompt), answer_text(entry.generations))
    return [
        entry.id, moment(entry.stored), *(visible(short(text, CELL_CHARACTERS)) for text in said),
        number(entry.tokens), seconds(entry.took), number(entry.hits), moment(entry.last_used),
    ]  # fmt: skip


def moment(at: float | None) -> str:
    """A moment in local time: `2026-03-01 14:05:09`."""
    return UNKNOWN if at is None else f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def entries_html(page: Page, *, cell_label: CellLabel = lambda cell: cell) -> str:
    """The page as an HTML table that needs no script, and how many entries there are."""
    head = "".join(_header_html(column) for column in COLUMNS)
    rows = "".join(_row_html(cells(entry, cell_label=cell_label)) for entry in page.entries)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    extent = f"<div class='llmcache-muted'>{safe(_extent(page))}</div>"
    return styled(_CSS, f"<div class='llmcache-entries'>{table}</div>{extent}")


def entries_text(page: Page, *, cell_label: CellLabel = lambda cell: cell) -> str:
    """The page as lines of text, and how many entries there are."""
    rows = [cells(entry, cell_label=cell_label) for entry in page.entries]
    if rows:
        rows.insert(0, [column.name for column in COLUMNS])
    return "\n".join([*map(_row_text, rows), _extent(page)])


def _extent(page: Page) -> str:
    shown = len(page.entries)
    if shown == page.total:
        return count(shown, "entry", "entries")
    return f"{number(shown)} of {count(page.total, 'entry', 'entries')}"


def _header_html(column: Column) -> str:
    return f"<th scope='col'{_kind(column)}>{safe(column.name)}</th>"


def _row_html(texts: Sequence[str]) -> str:
    tds = (
        f"<td{_kind(column)}><bdi>{safe(text)}</bdi></td>"
        for column, text in zip(COLUMNS, texts, strict=True)
    )
    return f"<tr>{''.join(tds)}</tr>"


def _kind(column: Column) -> str:
    return " class='llmcache-figure'" if column.is_figure else ""


def _row_text(texts: Sequence[str]) -> str:
    parts = []
    for column, text in zip(COLUMNS, texts, strict=True):
        if column.width:
            part = short(text, column.width)
            parts.append(part.rjust(column.width) if column.is_figure else part.ljust(column.width))
    return "  ".join(parts).rstrip()
