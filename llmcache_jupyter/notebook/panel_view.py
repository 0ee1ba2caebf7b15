"""PanelView: what of a panel is in the browser. It shows what it is told, and tells what its user does.

Why not itables: it sorts what it is given, in the browser, and it can be given only one page. So the table is
our own, on anywidget, which shows wherever ipywidgets do. The search field and the buttons live in the same
widget: that keeps focus, labels and the order of tabs in one hand, and opens in one message instead of forty.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from llmcache_jupyter.caches import Page, Query
from llmcache_jupyter.views.format import count, number
from llmcache_jupyter.views.style import visible
from llmcache_jupyter.views.table import COLUMNS, CellLabel, cells

_HERE = Path(__file__).parent


class PanelView(anywidget.AnyWidget):
    """The panel in the browser. Only Python writes its traits; the browser sends messages, one a click.

    A message is `{"kind": ..., "n": number}`, and `done` is set to its number once it is dealt with. Kinds:
    `search` (`text`), `model` (`model`, None for all), `sort` (`column`), `go` (`to`: first, previous, next,
    last), `choose` (`id`), `lookup` (`prompt`), `delete` (`id`), `clear`, `refresh`; and, without a number,
    `shown` and `hidden` for each view.

    - `status`, `detail`: HTML. It is put into the page as it is: whatever is not ours was escaped.
    - `columns`: `{"name", "sort", "isFigure"}`, in order. `models`: names.
    - `page`: what `page_state` returns.
    - `chosen`: the id of the entry in `detail`, or None.
    - `message`: `{"text", "isError"}`.
    - `fallback`: the id of the static table's element, which is hidden while a view is there.
    """

    _esm = (_HERE / "panel.js").read_text("utf-8")
    _css = (_HERE / "panel.css").read_text("utf-8")

    status = traitlets.Unicode().tag(sync=True)
    columns: Any = traitlets.List(
        [{"name": column.name, "sort": column.sort, "isFigure": column.is_figure} for column in COLUMNS]
    ).tag(sync=True)
    models: Any = traitlets.List().tag(sync=True)
    page: Any = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    detail = traitlets.Unicode().tag(sync=True)
    message: Any = traitlets.Dict({"text": "", "isError": False}).tag(sync=True)
    fallback = traitlets.Unicode().tag(sync=True)
    done = traitlets.Int(0).tag(sync=True)


def page_state(
    page: Page, query: Query, stored: int, cell_label: CellLabel, shared_store: str | None = None
) -> dict[str, Any]:
    """All that the browser knows of a page, ready to be shown: its rows, where it is, how it came about.

    - `stored`: how many entries there are in all, found or not.
    - `shared_store`: what the store is called whose other users would lose what is cleared.
    """
    whose = "" if shared_store is None else f", for everyone who uses {shared_store}"
    first, last = query.offset + 1, query.offset + len(page.entries)
    extent = f"{number(first)}\u2013{number(last)} of {number(page.total)}" if page.entries else "0 entries"
    nothing = "No entry matches." if stored else "No entries yet. The next call of a model adds one."
    return {
        "rows": [{"id": entry.id, "cells": cells(entry, cell_label=cell_label)} for entry in page.entries],
        "extent": extent,
        "isFirst": first == 1,
        "isLast": last >= page.total,
        "isCleared": stored == 0,
        "empty": nothing,
        "question": visible(f"Remove all {count(stored, 'entry', 'entries')}{whose}?"),
        "today": f"{datetime.now().astimezone():%Y-%m-%d}",
        "place": [query.offset, query.sort, query.descending],
        "sort": query.sort,
        "descending": query.descending,
        "text": visible(query.text or ""),
        "model": None if query.model is None else visible(query.model),
    }
