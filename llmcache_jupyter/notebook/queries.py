"""Queries: what the JupyterLab extension asks, answered from the session. No Jupyter import.

A query is answered on whichever thread it came, while a cell runs on another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from llmcache_jupyter.caches import Entry, Query
from llmcache_jupyter.caches.entry import SortColumn
from llmcache_jupyter.errors import LLMCacheError
from llmcache_jupyter.notebook.protocol import (
    CellEntry,
    Explained,
    Kind,
    PageOfRows,
    ProtocolError,
    Reply,
    Request,
    Row,
    error_reply,
    reply,
)
from llmcache_jupyter.notebook.rows import explained, in_full, missed_row, row
from llmcache_jupyter.notebook.tallies import Outcome, Tallies
from llmcache_jupyter.session.events import logger
from llmcache_jupyter.session.explain import Explanation
from llmcache_jupyter.session.missed import MissedCall
from llmcache_jupyter.session.scope import Mode, check_mode
from llmcache_jupyter.session.session import Session
from llmcache_jupyter.session.settings import KEEP
from llmcache_jupyter.views.explanation import ExplanationView
from llmcache_jupyter.views.style import visible

MAX_ROWS = 500
MAX_CELL_ENTRIES = 25
_FORGOTTEN = Explanation(None, "This miss is no longer known: the kernel remembers only its latest ones.")


class Queries:
    """Answers requests.

    - `state`: what the kernel pushes, and where.
    - `plan`: has a cell's next run made in a mode.
    """

    def __init__(
        self,
        session: Session,
        tallies: Tallies,
        *,
        state: Callable[[], Mapping[str, Any]],
        plan: Callable[[str, Mode], None],
    ) -> None:
        self._session = session
        self._tallies = tallies
        self._state = state
        self._plan = plan
        self._answers: dict[Kind, Callable[[Request], object]] = {
            "state": lambda _: self._state(),
            "entries": self._entries,
            "models": self._models,
            "entry": self._entry,
            "cell": self._cell,
            "missed": lambda _: self._last_missed(),
            "why": self._why,
            "delete": self._delete,
            "clear": lambda request: {"removed": session.clear(shared=request.flag("shared"))},
            "switch": self._switch,
            "plan": self._plan_cell,
        }

    def answer(self, data: Mapping[str, Any]) -> Reply:
        """The reply to a request: its result, or why there is none. Never raises."""
        try:
            request = Request(data)
            return reply(data, self._answers[request.kind](request))
        except ProtocolError as error:
            return error_reply(data, error.code, str(error))
        except LLMCacheError as error:
            return error_reply(data, "refused", visible(error))
        except Exception as error:
            logger.exception("a query failed: %r", data.get("kind"))
            return error_reply(
                data, "failed", visible(f"The kernel could not answer ({type(error).__name__}: {error}).")
            )

    def _entries(self, request: Request) -> PageOfRows:
        query = Query(
            text=request.text_or_none("text") or None,
            model=request.text_or_none("model"),
            sort=cast(SortColumn, request.text("sort")),
            descending=request.flag("descending"),
            offset=request.number("offset"),
            limit=min(request.number("limit"), MAX_ROWS),
        )
        page = self._session.entries(query)
        label = self._session.cell_label
        return {"rows": [row(entry, label) for entry in page.entries], "total": page.total}

    def _models(self, _request: Request) -> list[tuple[str, int]]:
        return [(name, count) for name, count in self._session.models().items() if name is not None]

    def _entry(self, request: Request) -> object:
        return in_full(self._session.find(request.text("entry")), self._session.cell_label)

    def _cell(self, request: Request) -> dict[str, Any]:
        outcomes = self._tallies.outcomes(request.text("cell"))
        # of many, those that missed: they are what the user looks for
        by_need = sorted(outcomes.items(), key=lambda one: not (one[1].misses or one[1].failed))
        some = by_need[:MAX_CELL_ENTRIES]
        found = self._session.by_id(entry for entry, _ in some)
        entries = [self._cell_entry(entry, outcome, found.get(entry)) for entry, outcome in some]
        return {"entries": entries, "total": len(outcomes)}

    def _cell_entry(self, name: str, outcome: Outcome, entry: Entry | None) -> CellEntry:
        label = self._session.cell_label
        call = self._missed(name) if entry is None else None
        return {
            "id": name,
            "hits": outcome.hits,
            "misses": outcome.misses,
            "failed": outcome.failed,
            "row": row(entry, label) if entry else missed_row(call, label) if call else None,
        }

    def _last_missed(self) -> Row | None:
        """The last call that was not a hit: as its entry, where it is stored by now."""
        call = next(iter(self._session.cache.missed.all()), None)
        if call is None:
            return None
        entry = self._session.by_id([call.id]).get(call.id)
        label = self._session.cell_label
        return missed_row(call, label) if entry is None else row(entry, label)

    def _why(self, request: Request) -> Explained:
        """A missed call goes by the id of the entry that would have answered it."""
        call = request.text("entry")
        explanation = _FORGOTTEN if self._missed(call) is None else self._session.why(call)
        return explained(ExplanationView(explanation, cell_label=self._session.cell_label))

    def _missed(self, entry: str) -> MissedCall | None:
        return next((call for call in self._session.cache.missed.all() if call.id == entry), None)

    def _delete(self, request: Request) -> dict[str, int]:
        return {"removed": self._session.delete(request.text("entry"))}

    def _switch(self, request: Request) -> None:
        """On or off, in the mode that is named, if any."""
        mode = request.text_or_none("mode")
        if request.flag("active"):
            self._session.activate(mode=KEEP if mode is None else mode)
        else:
            self._session.deactivate()

    def _plan_cell(self, request: Request) -> None:
        self._plan(request.text("cell"), check_mode(request.text("mode")))
