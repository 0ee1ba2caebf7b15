"""Session: what this kernel has active. One cache, one mode, statistics, the clients that are hooked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache, partial
from os import PathLike

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.limits import LimitedCache, Policy
from llmcache_jupyter.caches.tiered import TieredCache
from llmcache_jupyter.clients.langchain import LangChainClient
from llmcache_jupyter.errors import EntryNotFoundError, StoreError
from llmcache_jupyter.session import recording
from llmcache_jupyter.session.browsing import Browsing
from llmcache_jupyter.session.cache import SessionCache
from llmcache_jupyter.session.events import CALL_EVENTS, Event, Miss, Switched
from llmcache_jupyter.session.explain import (
    Explanation,
    as_of_now,
    explain,
    missed_call,
    no_miss,
    of_an_entry,
)
from llmcache_jupyter.session.missed import MissedCall
from llmcache_jupyter.session.progress import Progress, quietly
from llmcache_jupyter.session.recording import Loaded, Recording, Saved
from llmcache_jupyter.session.scope import CellRun, Mode, check_mode, current_run
from llmcache_jupyter.session.settings import KEEP, Keep, Settings
from llmcache_jupyter.session.statistics import Counts
from llmcache_jupyter.session.storage import Storage
from llmcache_jupyter.session.stores import StoreSpec, placed, shown
from llmcache_jupyter.session.used import UsedEntries


@dataclass(frozen=True, slots=True)
class Status:
    """What the session is and has done. `entries` is None where the store cannot tell.

    - `store`: what the store behind the memory is called, or None.
    - `notes`: what the user should know, a sentence each: a failing store, another global cache.
    """

    active: bool
    mode: Mode
    entries: int | None
    maxsize: int | None
    policy: Policy
    ttl: float | None
    counts: Counts
    store: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Activation:
    """What switching on did: `kept` entries were there, `dropped` had to go for a smaller maximum.

    - `restored`: how many of them were in the store that was opened; None where none was.
    - `loaded`: what came of the file that was to be loaded; None where none was.
    """

    kept: int
    dropped: int
    restored: int | None = None
    loaded: Loaded | None = None


class Session(Browsing):
    """One cache for everything that calls models in this kernel.

    - `activate` hooks the clients; `deactivate` brings back exactly what was there, and keeps the entries.
    - `clock`: seconds since the epoch.
    - `progress`: shows how far a save or a load is; by default nothing does.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(SessionCache(clock=clock), clock=clock)
        self.progress: Progress = quietly
        self._used = UsedEntries()
        self._client = LangChainClient(self.cache.bypassed)
        self._storage = Storage(
            clock=clock,
            on_switch=partial(setattr, self.cache, "backend"),
            on_failure=self.cache.store_failed,
            on_recovery=self.cache.store_works,
            on_leave=self.cache.store_left,
        )
        self._store: StoreSpec | None = None
        self.active = False
        self._cells: dict[str, str] = {}
        self._outside = CellRun(id="outside of cells", label="outside of cells")
        self._last_run: CellRun | None = None
        self.cache.events.subscribe(self._note_call)

    @property
    def mode(self) -> Mode:
        """The session's mode, where no block or cell sets another."""
        return "replay" if self.cache.replay_only else self.cache.mode

    @mode.setter
    def mode(self, name: str) -> None:
        self.cache.mode = check_mode(name)
        self._tell_switched()

    def restrict_to_replay(self) -> None:
        """Switch the cache on, and from here on have it answer each call or fail it, whatever else is set.

        - Nothing switches it off or to another mode, not for a cell either; and it has no limits.
        """
        self.cache.replay_only = True
        self.activate()

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
        store: StoreSpec | Keep | None = KEEP,
        load: str | PathLike[str] | None = None,
    ) -> Activation:
        """Switch the cache on, or change what is named and keep the entries.

        - `maxsize`: entries at most; None is no maximum. `ttl`: seconds, a timedelta or text like "1h".
        - `store`: a file's name, a redis:// address, or a cache; None is memory alone. One that cannot be
          opened is a CacheWarning: the cache is on without it.
        - `load`: a file that `save` wrote, whose entries are put into the cache.

        Raises:
            InvalidSettingError: one of the values cannot be; nothing was changed.
            StoreError: the file to load cannot be read. Nothing was changed; but a replay is on without it.
        """
        settings = Settings(maxsize, policy, ttl, mode, store)
        try:
            found = None if load is None else recording.read(load, progress=self.progress)
        except StoreError as error:
            wanted = self.mode if self.cache.replay_only or isinstance(mode, Keep) else mode
            if wanted != "replay":
                raise
            self._switch_on(settings)
            self.cache.missed.note_failed_load(str(load), error)
            raise StoreError(f"{error} Mode replay is on without it: no call is sent.") from None
        dropped, restored = self._switch_on(settings)
        kept = len(self._backend)
        loaded = None if found is None else self._put(found)
        return Activation(kept, dropped, restored, loaded)

    def _switch_on(self, settings: Settings) -> tuple[int, int | None]:
        """Returns how many entries had to go, and how many a store brought."""
        before = self.active, self._store, self.cache.mode
        try:
            self.active = True
            dropped, restored = self._set(settings)
        except BaseException:  # an interrupt, while a store is opened
            self.active, self._store, self.cache.mode = before
            raise
        self._was_active = True
        self._client.attach(self.cache)
        self._tell_switched(dropped)
        return dropped, restored

    def configure(
        self,
        *,
        maxsize: int | Keep | None = KEEP,
        policy: Policy | Keep = KEEP,
        ttl: str | float | timedelta | Keep | None = KEEP,
        mode: str | Keep = KEEP,
        store: StoreSpec | Keep | None = KEEP,
    ) -> int:
        """Change what is named, on or off, and keep the entries. Returns how many had to go.

        - While the cache is off, a store is not opened yet.

        Raises:
            InvalidSettingError: one of the values cannot be; nothing was changed.
        """
        dropped, _ = self._set(Settings(maxsize, policy, ttl, mode, store))
        self._tell_switched(dropped)
        return dropped

    def deactivate(self) -> None:
        """Bring back what was there before `activate`. The entries stay for the next one."""
        if self.cache.replay_only:
            return
        self._client.detach()
        self.active = False
        self._storage.flush()
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
            maxsize=None if self._has_no_maximum() else self._backend.maxsize,
            policy=self._backend.policy,
            ttl=self._backend.ttl,
            counts=self.cache.statistics.total(),
            store=self._store_name(),
            notes=tuple(self._notes()),
        )

    @property
    def store_failing(self) -> str | None:
        """Why the store does not work, or could not be opened; None where it works, or none was asked for."""
        return self._storage.problem or self.cache.failing

    def save(
        self,
        path: str | PathLike[str],
        *,
        model: str | None = None,
        used: bool = False,
        cell: str | int | None = None,
        add: bool = False,
    ) -> Saved:
        """Write the entries to a file, one a line: without what changes by use, and without credentials.

        - `model`: those of this model. `used`: those that this kernel's calls hit or stored. `cell`: those
          that the calls of one cell run did, as the notebook shows it: 7, or `[7]`.
        - `add`: besides the entries that the file holds already.
        - A file is replaced as a whole, and only one that was saved so. Saving again gives the same bytes.

        Raises:
            StoreError: there is nothing to save, or the file cannot be written. It is as it was.
            InvalidSettingError: no such cell used any entry.
            BackendError: the store failed.
        """
        ids = self._used.ids(cell) if used or cell is not None else None
        return self._ask(
            "list its entries",
            lambda: recording.save(
                self._backend, path, ids=ids, model=model, add=add, progress=self.progress
            ),
        )

    def load(self, path: str | PathLike[str]) -> Loaded:
        """Put the entries of a file that `save` wrote into the cache, those of its lines that are sound.

        - An entry that the cache has gives way only to one that was stored later.

        Raises:
            StoreError: the file cannot be read, or none of its lines.
            BackendError: the store failed; what was loaded by then is there.
        """
        try:
            found = self._ask("load", lambda: recording.read(path, progress=self.progress))
        except StoreError as error:
            if self.mode == "replay":
                self.cache.missed.note_failed_load(str(path), error)
            raise
        return self._put(found)

    def why(self, what: str | None = None) -> Explanation:
        """Why the last call that missed was not a hit, or another one.

        - `what`: a missed call's id or an entry's, a unique beginning of it, or the prompt as a person would
          write it.

        Raises:
            CacheInactiveError: the cache was never on.
            EntryNotFoundError: neither a remembered call nor an entry goes by it, or several do.
            BackendError: the store failed.
        """
        found = self._ask("explain", lambda: self._why(what))
        cell = None if found.call is None else self.cell_label(found.call.cell)
        return as_of_now(replace(found, cell=cell), mode=self.mode, active=self.active)

    def last_run(self) -> CellRun | None:
        """The latest cell run that made calls, or the calls made outside of cells; None before the first."""
        return self._last_run

    def unanswered(self, run: CellRun) -> list[MissedCall]:
        """The calls of a cell run that mode replay did not answer, each once."""
        missed = {event.id for event in run.events if isinstance(event, Miss)}
        latest = {call.id: call for call in reversed(self.cache.missed.all()) if call.id in missed}
        return [call for call in latest.values() if call.mode == "replay" or call.reason == "unreachable"]

    def cell_label(self, cell: str | None) -> str | None:
        """A cell as the notebook shows it, `[7]`, where its id was seen in this session."""
        return None if cell is None else self._cells.get(cell, cell[:8])

    def _why(self, what: str | None) -> Explanation:
        call = missed_call(self.cache.missed.all(), what)
        if call is not None:
            notes = (*call.notes, *call.out_of_reach, *self.cache.traps.notes_of(call.key[1]))
            return explain(call, self._backend, self.cache.missed, notes=notes)
        if what is None:
            return no_miss(self.cache.statistics.total().hits)
        found = self.entries(Query(id=what.lower(), limit=2)).entries if what.isalnum() else []
        if len(found) != 1:
            found = self.lookup(what)
        if not found:
            shown = what if len(what) <= 60 else f"{what[:59]}…"
            raise EntryNotFoundError(
                f"No call that missed lately, and no entry, goes by {shown!r}. `%llmcache why` explains the "
                "last miss, `%llmcache last` lists the latest calls."
            )
        return of_an_entry(found[0], mode=self.mode, active=self.active)

    def _set(self, settings: Settings) -> tuple[int, int | None]:
        """Set what was checked. Returns how many entries had to go, and how many a store brought."""
        if self.cache.replay_only:
            settings = replace(settings, maxsize=None, ttl=None)
        if not isinstance(settings.mode, Keep):
            self.cache.mode = check_mode(settings.mode)
        if not isinstance(settings.store, Keep):
            self._store = None if settings.store is None else placed(settings.store)
        limits, before = settings.limits(self._backend), self._backend
        restored = self._open_store() if self.active else None
        if self._backend is not before and (given := self._storage.given) is not None:
            limits = settings.limits(given)
        if settings.names_limits or self._backend is not before:
            return self._storage.configure(limits), restored
        return 0, restored

    def _put(self, found: Recording) -> Loaded:
        put, backend = recording.put, self._backend
        loaded = self._ask(
            "take what was loaded",
            lambda: put(backend, found, now=self._clock(), ttl=backend.ttl, progress=self.progress),
        )
        self.cache.missed.note_load(found, self._clock(), backend.ttl)
        self._tell_switched(loaded.evicted)
        return loaded

    def _open_store(self) -> int | None:
        """Have the store open that is set, if it can be. Returns how many entries it brought."""
        note = partial(self.cache.missed.note_out_of_reach, "store")
        try:
            restored = self._storage.use(self._store, self.progress)
        except StoreError as error:
            self.cache.warn(f"{error} The LLM cache goes on without it.")
            note(f"{error} This call's entry may be there.")
            return None
        note(None)
        return restored

    def _store_name(self) -> str | None:
        if not self.active and self._store != self._storage.spec:  # the next `activate` opens it
            return None if self._store is None else shown(self._store)
        store = self._storage.store
        return None if store is None else store.name

    def _has_no_maximum(self) -> bool:
        """Whether the maximum is that of this kernel's memory alone, and the store has none."""
        store = self._storage.store
        return isinstance(store, LimitedCache) and store.maxsize is None

    def _tell_switched(self, dropped: int = 0) -> None:
        if dropped:
            self.cache.removed(dropped, "evicted")
        self.cache.events.emit(Switched(self._clock()))

    def _note_call(self, event: Event) -> None:
        if not isinstance(event, CALL_EVENTS):
            return
        run = current_run() or self._outside
        run.note(event)
        while run.outer is not None:
            run = run.outer
            run.note(event)
        self._cells[run.id] = run.label
        self._used.note(run.label, event)
        self._last_run = run

    def _outlook(self) -> str:
        """What becomes of a store that fails: when it is asked again, and what waits for it."""
        backend = self._backend
        if not isinstance(backend, TieredCache) or (pause := backend.retry_in) is None:
            return ""
        waiting = f", and {backend.waiting} of the entries wait to be written" if backend.waiting else ""
        return f" It is asked again in {pause:.0f} s{waiting}."

    def _notes(self) -> Iterable[str]:
        if self._storage.problem:
            yield f"{self._storage.problem} The cache goes on without it."
        if (most := self._backend.maxsize) is not None and self._has_no_maximum():
            yield f"The store has no maximum: that of {most:,} entries is for this kernel's memory alone."
        if self.cache.failing:
            yield f"The store fails ({self.cache.failing}); calls go on without it.{self._outlook()}"
        if self.active and (other := self._client.displaced) is not None:
            yield f"Other code set LangChain's global cache to {other}: `%llmcache on` takes it back."
        yield from self.cache.traps.notes


@lru_cache(maxsize=1)
def default_session() -> Session:
    """The one session of this kernel, which the magics and the package's functions share."""
    return Session()
