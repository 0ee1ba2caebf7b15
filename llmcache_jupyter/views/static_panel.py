"""The panel where no widget can be shown: the status line and a page of the entries, as HTML and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmcache_jupyter.caches import Page
from llmcache_jupyter.views.status import status_line, status_line_html
from llmcache_jupyter.views.style import visible
from llmcache_jupyter.views.table import entries_html, entries_text

if TYPE_CHECKING:
    from llmcache_jupyter.session.session import Status


class StaticPanel:
    """A session at one moment: its status and a page of its entries."""

    def __init__(self, status: Status, page: Page, *, cell_label: Callable[[str | None], str | None]) -> None:
        self.status = status
        self.page = page
        self._cell_label = cell_label

    def __repr__(self) -> str:
        notes = [f"! {note}" for note in self.status.notes]
        lines = [status_line(self.status), *notes, "", entries_text(self.page, cell_label=self._cell_label)]
        return visible("\n".join(lines))

    def _repr_html_(self) -> str:
        return status_line_html(self.status) + entries_html(self.page, cell_label=self._cell_label)
