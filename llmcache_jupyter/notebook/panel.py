"""Panel: the status, a page of the entries and the chosen one in full, wherever widgets are shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from llmcache_jupyter.caches import Entry, Page, Query
from llmcache_jupyter.errors import LLMCacheError
from llmcache_jupyter.notebook.background import Background, Throttle
from llmcache_jupyter.notebook.panel_view import PanelView, page_state
from llmcache_jupyter.session.events import Cleared, Event, Miss, logger
from llmcache_jupyter.session.session import Session
from llmcache_jupyter.views.entry_view import entry_html
from llmcache_jupyter.views.format import count
from llmcache_jupyter.views.lookup import SHOWN, LookupView
from llmcache_jupyter.views.static_panel import StaticPanel
from llmcache_jupyter.views.status import status_line_html
from llmcache_jupyter.views.style import styled, visible
from llmcache_jupyter.views.table import SORTED_UPWARD

if TYPE_CHECKING:
    import pandas as pd

PAGE_SIZE = 50
STATUS_PAUSE = 0.25
# Entries are read anew at most so often, and never for more than a tenth of the time
ENTRIES_PAUSE = 0.5
ENTRIES_SHARE = 10

NOTHING_CHOSEN = styled("", "<span class='llmcache-muted'>Choose an entry to read it in full.</span>")

Message = dict[str, Any]


def static_panel(session: Session) -> StaticPanel:
    """The status and the newest entries as HTML and text, for terminals and saved notebooks.

    Raises:
        CacheInactiveError: the cache was never on.
        BackendError: the store failed.
    """
    page = session.entries(Query(limit=PAGE_SIZE))
    return StaticPanel(session.status(), page, cell_label=session.cell_label)


class Panel:
    """The panel of a session. As a cell's last expression, or by `display`, it is shown.

    - Searching, sorting and paging happen in Python; the browser has one page, its long cells cut, and the
      chosen entry.
    - It follows the session by events until `close`, and rests while no browser shows it.
    - Looking changes no statistics. What goes wrong is shown in the panel.
    - Handlers and events only start work; the work happens on the panels' own thread, in the order it came.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._query = Query(limit=PAGE_SIZE)
        self._page = Page([], 0)
        self._models: dict[str, str] = {}
        self._read: list[Entry] = []
        self._views = 0
        self._is_resting = self._entries_went = self._load_failed = False
        self._asked = self._answered = 0
        self._background = Background()
        self._follow_status = Throttle(self._background, self._show_status, STATUS_PAUSE)
        self._follow_entries = Throttle(self._background, self._load, ENTRIES_PAUSE)
        self._handlers: dict[str, Callable[[Message], Coroutine[Any, Any, None]]] = {
            "search": self._search, "model": self._choose_model, "sort": self._sort, "go": self._go,
            "choose": self._choose, "lookup": self._lookup, "delete": self._delete, "clear": self._clear,
            "refresh": self._refresh, "shown": self._shown, "hidden": self._hidden,
        }  # fmt: skip
        self.view = PanelView()
        self.view.fallback = f"llmcache-{self.view.model_id}"
        self.view.on_msg(self._on_message)
        self._open()
        self._unsubscribe = session.subscribe(self._on_event)

    @property
    def frame(self) -> pd.DataFrame:
        """The page that is shown, as a DataFrame."""
        from llmcache_jupyter.views.frames import entries_frame

        return entries_frame(self._page.entries, cell_label=self._session.cell_label)

    @property
    def chosen(self) -> Entry | None:
        """The entry that is shown in full, with its whole texts."""
        return self._read[0] if self._read else None

    def close(self) -> None:
        """Take the panel away, for good: it no longer follows the session."""
        self._unsubscribe()
        self._background.cancel()
        layout = self.view.layout
        self.view.close()
        layout.close()

    def _ipython_display_(self) -> None:
        """Show the panel, with a static table beside it for a saved notebook.

        JupyterLab shows a widget's output only as that widget, and an error once its kernel is gone, whatever
        else that output holds. So the table is an output of its own; the panel hides it while it is there.
        """
        static = self._static()
        if not hasattr(get_ipython(), "kernel"):
            display(static)
            return
        html = f"<div id='{self.view.fallback}'>{static._repr_html_()}</div>"
        display({"text/html": html, "text/plain": repr(static)}, raw=True)
        display({**self._widget_bundle(), "text/plain": "LLM cache panel"}, raw=True)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        static = self._static()
        return {**self._widget_bundle(), "text/html": static._repr_html_(), "text/plain": repr(static)}

    def _static(self) -> StaticPanel:
        return StaticPanel(self._session.status(), self._page, cell_label=self._session.cell_label)

    def _widget_bundle(self) -> dict[str, Any]:
        bundle = self.view._repr_mimebundle_()
        return dict(bundle[0]) if bundle else {}

    def _open(self) -> None:
        """Fill the panel before it is shown, so that it is there while a cell keeps the kernel busy.

        Counting the models takes as long as there are entries: that is left for the background.
        """
        self.view.status = status_line_html(self._session.status())
        self._show_in_full([])
        try:
            self._show(self._session.entries(self._query), {})
        except Exception as error:
            self._show(self._page, {})
            self._tell_load_error(error)
        else:
            self._follow_entries.trigger()

    # From here on, whatever happens, happens on the panels' thread; except these two, which hand it over.

    def _on_message(self, _view: Any, content: Message, _buffers: Any) -> None:
        self._background.start(self._handle(content))

    def _on_event(self, event: Event) -> None:
        self._entries_went |= isinstance(event, Cleared)
        if self._is_resting:
            return
        self._follow_status.trigger()
        if not isinstance(event, Miss):
            self._follow_entries.trigger()

    async def _handle(self, message: Message) -> None:
        try:
            await self._handlers[message["kind"]](message)
        except Exception as error:
            self._tell_error(error)
        finally:
            self.view.done = max(self.view.done, int(message.get("n", 0)))

    async def _search(self, message: Message) -> None:
        await self._list(replace(self._query, text=str(message["text"]) or None, offset=0))

    async def _choose_model(self, message: Message) -> None:
        await self._list(replace(self._query, model=self._models.get(message["model"]), offset=0))

    async def _sort(self, message: Message) -> None:
        column = message["column"]
        again = column == self._query.sort
        descending = not self._query.descending if again else column not in SORTED_UPWARD
        await self._list(replace(self._query, sort=column, descending=descending, offset=0))

    async def _go(self, message: Message) -> None:
        last = _last_offset(self._page.total)
        offsets = {
            "first": 0,
            "previous": max(0, self._query.offset - PAGE_SIZE),
            "next": min(last, self._query.offset + PAGE_SIZE),
            "last": last,
        }
        await self._list(replace(self._query, offset=offsets[message["to"]]))

    async def _choose(self, message: Message) -> None:
        self._show_in_full([entry for entry in self._page.entries if entry.id == message["id"]])
        self._tell("")

    async def _lookup(self, message: Message) -> None:
        prompt = str(message["prompt"])
        if not prompt.strip():
            self._tell("Type the prompt to look up, as you asked it.")
            return
        found = await self._session.alookup(prompt)
        self._show_in_full(found[:SHOWN])
        self._tell(LookupView(prompt, found, self._session.cell_label).headline)

    async def _delete(self, message: Message) -> None:
        ids = [entry.id for entry in self._page.entries]
        place = ids.index(message["id"]) if message["id"] in ids else None
        removed = await self._session.adelete(message["id"])
        self._show_in_full([])
        await self._load()
        if place is not None:
            self._show_in_full(self._page.entries[place : place + 1] or self._page.entries[-1:])
        self._tell(f"{count(removed, 'entry', 'entries')} deleted")

    async def _clear(self, message: Message) -> None:
        removed = await self._session.aclear(shared=True)  # the question said whom it affects
        self._show_in_full([])
        await self._load()
        self._tell(f"{count(removed, 'entry', 'entries')} cleared")

    async def _refresh(self, _message: Message) -> None:
        self._tell("")
        await self._show_status()
        await self._load()

    async def _shown(self, message: Message) -> None:
        self._views += 1
        if self._is_resting:
            self._is_resting = False
            await self._refresh(message)

    async def _hidden(self, _message: Message) -> None:
        self._views -= 1
        self._is_resting = self._views <= 0

    async def _list(self, query: Query) -> None:
        self._query = query
        self._tell("")
        await self._load()

    async def _load(self) -> None:
        """Read the page and show it, unless another one is wanted by then or a later reading is shown."""
        self._asked += 1
        mine, query, began = self._asked, self._query, time.perf_counter()
        went, self._entries_went = self._entries_went, False
        try:
            page, models = await asyncio.gather(self._session.aentries(query), self._session.amodels())
        except Exception as error:
            self._entries_went |= went
            if query == self._query:
                self._tell_load_error(error)
            return
        self._follow_entries.seconds = max(ENTRIES_PAUSE, ENTRIES_SHARE * (time.perf_counter() - began))
        if query != self._query or mine < self._answered:
            self._entries_went |= went
            return
        self._answered = mine
        if query.offset > (last := _last_offset(page.total)):
            self._entries_went |= went
            self._query = replace(query, offset=last)
            await self._load()
            return
        self._show(page, models)
        now = {entry.id: entry for entry in page.entries}
        self._show_in_full([now.get(entry.id, entry) for entry in self._read if entry.id in now or not went])
        if self._load_failed:
            self._load_failed = False
            self._tell("")

    def _show(self, page: Page, models: dict[str | None, int]) -> None:
        self._page = page
        self._models = {visible(model): model for model in models if model is not None}
        if self._query.model is not None:
            self._models.setdefault(visible(self._query.model), self._query.model)
        self.view.models = list(self._models)
        stored = max(page.total, sum(models.values()))
        session = self._session
        self.view.page = page_state(page, self._query, stored, session.cell_label, session.shared_store)

    def _show_in_full(self, entries: list[Entry]) -> None:
        self._read = entries
        label = self._session.cell_label
        self.view.detail = "".join(entry_html(entry, cell_label=label) for entry in entries) or NOTHING_CHOSEN
        self.view.chosen = entries[0].id if entries else None

    async def _show_status(self) -> None:
        try:
            self.view.status = status_line_html(await asyncio.to_thread(self._session.status))
        except Exception as error:
            self._tell_error(error)

    def _tell(self, text: str) -> None:
        self.view.message = {"text": visible(text), "isError": False}

    def _tell_error(self, error: Exception) -> None:
        if isinstance(error, LLMCacheError):
            text = str(error)
        else:
            logger.error("the panel failed", exc_info=error)
            text = f"The panel failed ({type(error).__name__}: {error}). Press Refresh to try again."
        self.view.message = {"text": visible(text), "isError": True}

    def _tell_load_error(self, error: Exception) -> None:
        self._load_failed = True
        self._tell_error(error)


def _last_offset(total: int) -> int:
    return max(0, total - 1) // PAGE_SIZE * PAGE_SIZE
