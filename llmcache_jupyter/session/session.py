"""Session: what this kernel has active. One cache, one mode, statistics, the clients that are hooked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final, TypeVar

from llmcache_jupyter.caches import Entry, InMemoryCache, Page, Query
from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.memory import Policy
from llmcache_jupyter.caches.prompt import asked
from llmcache_jupyter.clients.langchain import LangChainClient
from llmcache_jupyter.errors import (
    BackendError,
    CacheInactiveError,
    EntryNotFoundError,
    InvalidSettingError,
    LLMCacheError,
)
from llmcache_jupyter.session.cache import SessionCache
from llmcache_jupyter.session.duration import seconds
from llmcache_jupyter.session.events import CallEvent, Cleared, Event, Switched
from llmcache_jupyter.session.scope import CellRun, Mode, check_mode, current_run
from llmcache_jupyter.session.statistics import Counts

T = TypeVar("T")


class Keep:
    """The setting stays as it is."""


KEEP: Final = Keep()


@dataclass(frozen=True, slots=True)
class Status:
    """What the session is and has done. `entries` is None where the store cannot tell.

    - `notes`: what the user should know, a sentence each: a failing store, another global cache.
    """

    active: bool
    mode: Mode
    entries: int | None
    maxsize: int | None
    policy: Policy
    ttl: float | None
    counts: Counts
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Activation:
    """What switching on did: `kept` entries were there, `dropped` had to go for a smaller maximum."""

    kept: int
    dropped: int


class Session:
    """One cache for everything that calls models in this kernel.

    - `activate` hooks the clients; `deactivate` brings back exactly what was there, and keeps the entries.
    - `clock`: seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._client = LangChainClient()
        self._backend = InMemoryCache(clock=clock)
        self.cache = SessionCache(self._backend, clock=clock)
        self.active = False
        self._was_active = False
        self._cells: dict[str, str] = {}
        self._outside = CellRun(id="outside of cells", label="outside of cells")
        self._last_run: CellRun | None = None
        self.cache.events.subscribe(self._note_call)

    @property
    def mode(self) -> Mode:
        """The session's mode, where no block or cell sets another."""
        return self.cache.mode

    @mode.setter
    def mode(self, name: str) -> None:
        self.cache.mode = check_mode(name)
        self._tell_switched()

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Calls `subscriber` with each event. Returns its unsubscribe."""
        return self.cache.events.subscribe(subscriber)

    def activate(
        self,
        *,
        maxsize: int | Keep | None = KEEP,
        policy: Policy | Keep = KEEP,
        ttl: str | float | timedelta | Keep | None = KEEP,
        mode: str | Keep = KEEP,
    ) -> Activation:
        """Switch the cache on, or change what is named and keep the entries.

        - `maxsize`: entries at most; None is no maximum. `ttl`: seconds, a timedelta or text like "1h".

        Raises:
            InvalidSettingError: one of the values cannot be; nothing was changed.
        """
        dropped = self._set(maxsize, policy, ttl, mode)
        self._client.attach(self.cache)
        self.active = self._was_active = True
        self._tell_switched(dropped)
        return Activation(kept=len(self._backend), dropped=dropped)

    def configure(
        self,
        *,
        maxsize: int | Keep | None = KEEP,
        policy: Policy | Keep = KEEP,
        ttl: str | float | timedelta | Keep | None = KEEP,
        mode: str | Keep = KEEP,
    ) -> int:
        """Change what is named, on or off, and keep the entries. Returns how many had to go.

        Raises:
            InvalidSettingError: one of the values cannot be; nothing was changed.
        """
        dropped = self._set(maxsize, policy, ttl, mode)
        self._tell_switched(dropped)
        return dropped

    def deactivate(self) -> None:
        """Bring back what was there before `activate`. The entries stay for the next one."""
        self._client.detach()
        self.active = False
        self._tell_switched()

    def status(self) -> Status:
        """What the session is and has done."""
        try:
            entries: int | None = len(self._backend)
        except Exception:
            entries = None
        return Status(
            active=self.active,
            mode=self.mode,
            entries=entries,
            maxsize=self._backend.maxsize,
            policy=self._backend.policy,
            ttl=self._backend.ttl,
            counts=self.cache.statistics.total(),
            notes=tuple(self._notes()),
        )

    def entries(self, query: Query = Query()) -> Page:
        """The page of entries that `query` asks for. Looking changes no statistics.

        Raises:
            CacheInactiveError: the cache was never on.
            BackendError: the store failed.
        """
        return self._ask("list its entries", lambda: self._backend.entries(query))

    def models(self) -> dict[str | None, int]:
        """How many entries there are of each model. Raises as `entries`."""
        return self._ask("list its models", self._backend.models)

    def lookup(self, prompt: str, model: str | None = None) -> list[Entry]:
        """The entries for this prompt as a person would write it, the newest first; empty is a miss.

        - The text of the last human message is enough; white space counts as one space.
        - Looking changes no statistics. Raises as `entries`.
        """
        words = prompt.split()
        longest = max(words, key=len, default=None)
        found = self.entries(Query(text=longest, model=model, limit=None)).entries
        return [entry for entry in found if words in (asked(entry.prompt).split(), entry.prompt.split())]

    def find(self, beginning: str) -> Entry:
        """The entry whose id has this beginning.

        Raises:
            EntryNotFoundError: there is none, or more than one.
        """
        found = self.entries(Query(id=beginning.lower(), limit=5)) if beginning else Page([], 0)
        if not found.entries:
            raise EntryNotFoundError(
                f"No entry's id begins with {beginning!r}: `%llmcache entries` lists the ids."
            )
        if found.total > 1:
            some = ", ".join(entry.id for entry in found.entries)
            raise EntryNotFoundError(
                f"{found.total} ids begin with {beginning!r} ({some}): write more of the one you mean."
            )
        return found.entries[0]

    def delete(self, *ids: str) -> int:
        """Remove the entries with these ids, or unique beginnings of ids. Returns how many.

        Raises:
            EntryNotFoundError: one of them names none or several; nothing was removed.
        """
        return self._remove([self.find(beginning).id for beginning in ids])

    def clear(self, *, model: str | None = None, older_than: str | float | timedelta | None = None) -> int:
        """Remove all entries, or those of a model or older than a duration. Returns how many.

        Raises:
            InvalidSettingError: `older_than` is no duration.
            BackendError: the store failed.
        """
        if model is None and older_than is None:
            count = self._ask("count its entries", self._backend.__len__)
            self._ask("clear", self._backend.clear)
            self.cache.events.emit(Cleared(self._clock(), count))
            return count
        before = None if older_than is None else self._clock() - seconds(older_than)
        page = self.entries(Query(model=model, stored_before=before, limit=None))
        return self._remove([entry.id for entry in page.entries])

    async def aentries(self, query: Query = Query()) -> Page:
        """`entries`, without blocking the event loop."""
        return await run_in_executor(self.entries, query)

    async def amodels(self) -> dict[str | None, int]:
        """`models`, without blocking the event loop."""
        return await run_in_executor(self.models)

    async def alookup(self, prompt: str, model: str | None = None) -> list[Entry]:
        """`lookup`, without blocking the event loop."""
        return await run_in_executor(self.lookup, prompt, model)

    async def adelete(self, *ids: str) -> int:
        """`delete`, without blocking the event loop."""
        return await run_in_executor(self.delete, *ids)

    async def aclear(
        self, *, model: str | None = None, older_than: str | float | timedelta | None = None
    ) -> int:
        """`clear`, without blocking the event loop."""
        return await run_in_executor(self.clear, model=model, older_than=older_than)

    def last_run(self) -> CellRun | None:
        """The latest cell run that made calls, or the calls made outside of cells; None before the first."""
        return self._last_run

    def cell_label(self, cell: str | None) -> str | None:
        """A cell as the notebook shows it, `[7]`, where its id was seen in this session."""
        return None if cell is None else self._cells.get(cell, cell[:8])

    def _set(
        self,
        maxsize: int | Keep | None,
        policy: Policy | Keep,
        ttl: str | float | timedelta | Keep | None,
        mode: str | Keep,
    ) -> int:
        backend = self._backend
        new_mode = self.mode if isinstance(mode, Keep) else check_mode(mode)
        try:
            dropped = backend.configure(
                maxsize=backend.maxsize if isinstance(maxsize, Keep) else maxsize,
                policy=backend.policy if isinstance(policy, Keep) else policy,
                ttl=backend.ttl if isinstance(ttl, Keep) else None if ttl is None else seconds(ttl),
            )
        except ValueError as error:
            raise error if isinstance(error, LLMCacheError) else InvalidSettingError(str(error)) from None
        self.cache.mode = new_mode
        return dropped

    def _ask(self, what: str, run: Callable[[], T]) -> T:
        if not self._was_active:
            raise CacheInactiveError("The cache was not on yet: run `%llmcache on` first.")
        try:
            return run()
        except LLMCacheError:
            raise
        except Exception as error:
            text = f"The store could not {what} ({type(error).__name__}: {error})."
            raise BackendError(f"{text} Try again, or stop using it: `%llmcache off`.") from error

    def _remove(self, ids: list[str]) -> int:
        count = self._ask("delete entries", lambda: self._backend.delete(ids))
        self.cache.events.emit(Cleared(self._clock(), count))
        return count

    def _tell_switched(self, dropped: int = 0) -> None:
        if dropped:
            self.cache.events.emit(Cleared(self._clock(), dropped))
        self.cache.events.emit(Switched(self._clock()))

    def _note_call(self, event: Event) -> None:
        if not isinstance(event, CallEvent):
            return
        run = current_run() or self._outside
        run.note(event)
        while run.outer is not None:
            run = run.outer
            run.note(event)
        self._cells[run.id] = run.label
        self._last_run = run

    def _notes(self) -> Iterable[str]:
        if self.cache.failing:
            yield f"The store fails ({self.cache.failing}); calls go on without it."
        if self.active and (other := self._client.displaced) is not None:
            yield f"Other code set LangChain's global cache to {other}: `%llmcache on` takes it back."


@lru_cache(maxsize=1)
def default_session() -> Session:
    """The one session of this kernel, which the magics and the package's functions share."""
    return Session()
