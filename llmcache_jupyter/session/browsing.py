"""Browsing: what can be asked of a session's entries, and what can be removed of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar, cast

from llmcache_jupyter.caches import Entry, Page, Query
from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.limits import LimitedCache
from llmcache_jupyter.caches.prompt import asked
from llmcache_jupyter.errors import (
    BackendError,
    CacheInactiveError,
    EntryNotFoundError,
    InvalidSettingError,
    LLMCacheError,
)
from llmcache_jupyter.session.cache import SessionCache
from llmcache_jupyter.session.duration import seconds
from llmcache_jupyter.session.events import Removal

T = TypeVar("T")


class Browsing:
    """A session's view of its entries.

    - Looking changes no statistics. What is removed is told as an event.
    """

    def __init__(self, cache: SessionCache, *, clock: Callable[[], float]) -> None:
        self.cache = cache
        self._clock = clock
        self._was_active = False

    @property
    def _backend(self) -> LimitedCache:
        return cast(LimitedCache, self.cache.backend)

    @property
    def shared_store(self) -> str | None:
        """What the store is called where others use it too, who would lose what is cleared; or None."""
        return self._backend.name if self._backend.shared else None

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

    def by_id(self, ids: Iterable[str]) -> dict[str, Entry]:
        """The entries with these whole ids, as far as there are any. Raises as `entries`."""
        return self._ask("find entries", lambda: self._backend.by_id(ids))

    def delete(self, *ids: str) -> int:
        """Remove the entries with these ids, or unique beginnings of ids. Returns how many.

        Raises:
            EntryNotFoundError: one of them names none or several; nothing was removed.
        """
        return self._remove([self.find(beginning).id for beginning in ids], "deleted")

    def clear(
        self,
        *,
        model: str | None = None,
        older_than: str | float | timedelta | None = None,
        shared: bool = False,
    ) -> int:
        """Remove all entries, or those of a model or older than a duration. Returns how many.

        - `shared`: do so even in a store that others share.

        Raises:
            InvalidSettingError: `older_than` is no duration; or others share the store, and `shared` is not
                set.
            BackendError: the store failed.
        """
        if self.shared_store and not shared:
            raise InvalidSettingError(
                f"Everyone who uses {self.shared_store} would lose these entries. "
                "If that is meant: `%llmcache clear --shared`."
            )
        if model is None and older_than is None:
            count = self._ask("count its entries", self._backend.__len__)
            self._ask("clear", self._backend.clear)
            self.cache.removed(count)
            return count
        before = None if older_than is None else self._clock() - seconds(older_than)
        page = self.entries(Query(model=model, stored_before=before, limit=None))
        return self._remove([entry.id for entry in page.entries], "cleared")

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
        self,
        *,
        model: str | None = None,
        older_than: str | float | timedelta | None = None,
        shared: bool = False,
    ) -> int:
        """`clear`, without blocking the event loop."""
        return await run_in_executor(self.clear, model=model, older_than=older_than, shared=shared)

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

    def _remove(self, ids: list[str], why: Removal) -> int:
        count = self._ask("delete entries", lambda: self._backend.delete(ids))
        self.cache.removed(count, why, frozenset(ids))
        return count
