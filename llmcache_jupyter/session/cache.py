"""SessionCache: the one cache that is handed to clients. It holds every promise that a notebook needs."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

from llmcache_jupyter.caches import BaseCache, Entry, EntryCache, InMemoryCache, Key
from llmcache_jupyter.caches.base import run_in_executor
from llmcache_jupyter.caches.entry import entry_id
from llmcache_jupyter.caches.generation import total_tokens
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.clients.langchain_bypasses import Bypass
from llmcache_jupyter.clients.langchain_model import Asking, asking
from llmcache_jupyter.errors import CacheWarning, EncodingError, LLMCacheError
from llmcache_jupyter.session.events import (
    Cleared,
    Events,
    Failed,
    Hit,
    Miss,
    MissReason,
    Removal,
    Stored,
    logger,
)
from llmcache_jupyter.session.identity.asking import AskingModels
from llmcache_jupyter.session.identity.keys import canonical_key
from llmcache_jupyter.session.isolation import Copies, storable
from llmcache_jupyter.session.missed import MissedCall, MissedCalls
from llmcache_jupyter.session.replay import INSTEAD, bypass_error, miss_error
from llmcache_jupyter.session.scope import Mode, check_mode, current_scope
from llmcache_jupyter.session.statistics import Statistics
from llmcache_jupyter.session.traps import Traps, name_of, spoken_name

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# of so many misses it is remembered when they were; the answers to earlier ones took an unknown time
_MAX_IN_FLIGHT = 4096


@dataclass(slots=True)  # frozen, it would take four times as long to make
class _Call:
    """One call on its way: what is asked, in which mode and cell; by which flight (thread or task)."""

    key: Key
    sent: str
    llm_string: str
    mode: Mode
    cell: str | None
    flight: int
    who: Asking | None

    @property
    def id(self) -> str:
        return entry_id(self.key)

    @property
    def model(self) -> str | None:
        return model_name(self.key[1])

    @property
    def place(self) -> tuple[int, int, int]:
        # a model may ask another one the same on its way: LangChain may describe both alike
        return hash((self.sent, self.llm_string)), self.flight, id(self.who and self.who[0])


class SessionCache(BaseCache):
    """A cache around a backend that keeps a notebook's promises.

    - Modes: `on` looks up and stores; `refresh` only stores; `readonly` only looks up; `replay` looks up and
      raises CacheMissError on a miss, before any paid call; `off` does neither. A mode that is set for a
      block or a cell goes before `mode`.
    - Calls that send the same thing to the model share a key.
    - A backend that fails is a miss and one CacheWarning, until it works again; never an exception, and
      never a lost answer.
    - What is stored shares no mutable object with what the caller holds, and neither does what a hit returns.
    - A hit's message carries no message id; a structured answer comes back as data.
    - Each call becomes an event. `statistics` counts them.
    - `replay_only`: while it is set, each call is made in mode replay, whatever else says.

    Args:
        backend: where entries are kept; an unbounded InMemoryCache by default.
        mode: the mode where no block or cell sets one.
        clock: seconds since the epoch.
        timer: seconds from any beginning, for how long a model takes.
    """

    def __init__(
        self,
        backend: EntryCache | None = None,
        *,
        mode: str = "on",
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        if backend is not None and not isinstance(backend, EntryCache):
            raise TypeError(f"SessionCache needs an EntryCache such as InMemoryCache(), not {backend!r}")
        self.backend = InMemoryCache() if backend is None else backend
        self.mode: Mode = check_mode(mode)
        self.replay_only = False
        self.events = Events()
        self.statistics = Statistics(self.events)
        self.missed = MissedCalls(self.events)
        self._clock = clock
        self._timer = timer
        self._lock = new_lock()
        self._started: OrderedDict[tuple[int, int, int], tuple[float, str]] = OrderedDict()
        self._failing: dict[str, str] = {}
        self._unwritable: set[str] = set()
        self.traps = Traps(self.warn)
        self._models = AskingModels(self.traps)
        self._copies = Copies()

    @property
    def failing(self) -> str | None:
        """What the backend's latest failure was, or None where it works."""
        return next(iter(self._failing.copy().values()), None)

    def lookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        call = self._call(prompt, llm_string, threading.get_ident(), asking(sys._getframe(1)))
        if call.mode == "off" or call.mode == "refresh":
            self._miss(call, call.mode)
            return None
        answer = self._look_up(call)
        if answer is None and self._is_other_call_by_now(call):
            answer = self._look_up(call)
        if answer is None:
            missed = self._missed(call)
            if call.mode == "replay":
                raise miss_error(missed, self.backend, self.missed)
        return answer

    async def alookup(self, prompt: str, llm_string: str) -> list[Any] | None:
        call = self._call(prompt, llm_string, id(asyncio.current_task()), asking(sys._getframe(1)))
        if call.mode == "off" or call.mode == "refresh":
            self._miss(call, call.mode)
            return None
        answer = await self._alook_up(call)
        if answer is None and self._is_other_call_by_now(call):
            answer = await self._alook_up(call)
        if answer is None:
            missed = self._missed(call)
            if call.mode == "replay":
                raise await run_in_executor(miss_error, missed, self.backend, self.missed)
        return answer

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        answered = self._answered(prompt, llm_string, threading.get_ident(), asking(sys._getframe(1)))
        if (entry := self._entry(*answered, return_val)) is not None:
            self._stored(entry, self._guarded("update", self.backend.put, entry))

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        answered = self._answered(prompt, llm_string, id(asyncio.current_task()), asking(sys._getframe(1)))
        if (entry := self._entry(*answered, return_val)) is not None:
            self._stored(entry, await self._aguarded("update", self.backend.aput, entry))

    def clear(self, **kwargs: Any) -> None:
        count = self._guarded("clear", len, self.backend)
        self._guarded("clear", partial(self.backend.clear, **kwargs))
        self._cleared(count)

    async def aclear(self, **kwargs: Any) -> None:
        count = await self._aguarded("clear", run_in_executor, len, self.backend)
        await self._aguarded("clear", partial(self.backend.aclear, **kwargs))
        self._cleared(count)

    def removed(self, count: int | None, why: Removal = "cleared", ids: frozenset[str] | None = None) -> None:
        """Tell that entries were removed, as `Cleared` does, and hold on to none of their answers."""
        self._copies.forget()
        self.events.emit(Cleared(self._clock(), count, why, ids))

    def bypassed(self, model: Any, prompt: str, bypass: Bypass) -> None:
        """Note that this model is about to be called past the cache.

        Raises:
            CacheMissError: the mode is replay.
        """
        mode, cell = self._scope()
        if mode == "off":
            return
        call = self._unreachable(model, prompt, cell, INSTEAD[bypass])
        if mode == "replay":
            self.events.emit(Miss(call.id, call.model, cell, call.at, "unreachable"))
            raise bypass_error(model, prompt, bypass)
        self.traps.bypassed(model, bypass)

    def _call(self, prompt: str, llm_string: str, flight: int, who: Asking | None) -> _Call:
        key = canonical_key(prompt, self._models.llm_string(llm_string, who))
        return _Call(key, prompt, llm_string, *self._scope(), flight, who)

    def _scope(self) -> tuple[Mode, str | None]:
        """The mode in which the calling code makes its calls, and its cell."""
        mode, cell = current_scope()
        return "replay" if self.replay_only else mode or self.mode, cell

    def _answered(
        self, prompt: str, llm_string: str, flight: int, who: Asking | None
    ) -> tuple[_Call, float | None]:
        """The call that this answers, as it was looked up, and when; None where that is not known.

        - The model may have changed since: by answering, or by other code.
        """
        call = _Call(("", ""), prompt, llm_string, *self._scope(), flight, who)
        with self._lock:  # it stays: a batch may hold one prompt twice, and is told its answer twice
            looked_up = self._started.get(call.place)
        if looked_up is None:
            return self._call(prompt, llm_string, flight, who), None
        self._models.answered(who, flight)
        call.key = canonical_key(prompt, looked_up[1])
        return call, looked_up[0]

    def _look_up(self, call: _Call) -> list[Any] | None:
        answer = self._guarded("lookup", self._find, call)
        if answer:
            self._guarded("touch", self.backend.touch, call.key)
        return answer

    async def _alook_up(self, call: _Call) -> list[Any] | None:
        answer = await self._aguarded("lookup", self._afind, call)
        if answer:
            await self._aguarded("touch", self.backend.atouch, call.key)
        return answer

    def _find(self, call: _Call) -> list[Any] | None:
        entry = self.backend.find(call.key)
        return None if entry is None else self._answer(call, entry)

    async def _afind(self, call: _Call) -> list[Any] | None:
        entry = await self.backend.afind(call.key)
        return None if entry is None else self._answer(call, entry)

    def _is_other_call_by_now(self, call: _Call) -> bool:
        """Whether other code changed the model while the store was asked: the call is sent as it is now.

        - Only of models that LangChain writes down: others may change as they answer, in another thread.
        """
        if not call.llm_string.startswith('{"'):
            return False
        key = canonical_key(call.sent, self._models.llm_string(call.llm_string, call.who))
        if key == call.key:
            return False
        call.key = key
        return True

    def _answer(self, call: _Call, entry: Entry) -> list[Any] | None:
        """The entry's generations for the caller alone, with the hit accounted for; None if it has none."""
        answer = self._copies.of(entry)
        if not answer:
            return None
        self.events.emit(Hit(entry.id, call.model, call.cell, self._clock(), entry.took, entry.tokens))
        return answer

    def _missed(self, call: _Call) -> MissedCall:
        failure = self.failing if self._failing.keys() & {"lookup", "read"} else None
        reason: MissReason = "replay" if call.mode == "replay" else "absent"
        return self._miss(call, reason if failure is None else "failed")

    def _unreachable(self, model: Any, prompt: str, cell: str | None, instead: str) -> MissedCall:
        key, name, at = (prompt, spoken_name(model)), name_of(model), self._clock()
        call = MissedCall(entry_id(key), key, prompt, name, cell, at, "unreachable", instead)
        self.missed.add(call)
        return call

    def _miss(self, call: _Call, reason: MissReason) -> MissedCall:
        off = reason == "off"
        notes = () if off else self.traps.look_at(call.sent, call.llm_string, call.model, call.key)
        missed = self._remember_miss(call, reason, notes, at := self._clock())
        self.events.emit(Miss(call.id, call.model, call.cell, at, reason))
        if reason != "replay":
            self._models.sent(call.who, call.flight)
        with self._lock:
            self._started[call.place] = self._timer(), call.key[1]
            self._started.move_to_end(call.place)
            if len(self._started) > _MAX_IN_FLIGHT:
                self._started.popitem(last=False)
        return missed

    def _remember_miss(
        self, call: _Call, reason: MissReason, notes: tuple[str, ...], at: float
    ) -> MissedCall:
        told = (call.id, call.key, call.sent, call.model, call.cell, at, reason)
        missed = MissedCall(*told, notes=notes, mode=call.mode)
        if reason == "failed":
            missed = replace(missed, error=self.failing)
        elif reason in ("absent", "replay"):
            limits = {name: getattr(self.backend, name, None) for name in ("maxsize", "ttl")}
            fate = self.missed.fate(call.id, at, **limits)
            missed = replace(missed, fate=fate, out_of_reach=() if fate else self._out_of_reach(reason))
        self.missed.add(missed)
        return missed

    def _out_of_reach(self, reason: MissReason) -> tuple[str, ...]:
        known = self.missed.out_of_reach
        if not known and reason == "replay":
            with suppress(Exception):  # a store that fails tells of itself
                if not len(self.backend):
                    return ("The cache is empty: `%llmcache load FILE` brings what was recorded.",)
        return known

    def _entry(self, call: _Call, started: float | None, generations: Sequence[Any]) -> Entry | None:
        """What to store of this answer: nothing where the mode, or what it is made of, says so."""
        now = self._timer()
        if call.mode not in ("on", "refresh") or not generations:
            return None
        kept = self._guarded("copy", storable, generations)
        if kept is None:
            return None
        return Entry(
            call.key,
            kept,
            self._clock(),
            sent=None if call.sent == call.key[0] else call.sent,
            took=None if started is None else now - started,
            tokens=total_tokens(kept),
            cell=call.cell,
        )

    def _stored(self, entry: Entry, evicted: int | None) -> None:
        if evicted is not None:
            self.events.emit(
                Stored(entry.id, entry.model, entry.cell, entry.stored, entry.took, entry.tokens, evicted)
            )

    def _cleared(self, count: int | None) -> None:
        # a wish, not a call: nobody may ever ask again, so a failure is not remembered
        if self._failing.pop("clear", None) is None:
            self.removed(count)

    def _guarded(self, operation: str, run: Callable[[Unpack[Ts]], T], *args: *Ts) -> T | None:
        try:
            result = run(*args)
        except Exception as error:
            self.store_failed(operation, error)
            return None
        if self._failing:
            self.store_works(operation)
        return result

    async def _aguarded(
        self, operation: str, run: Callable[[Unpack[Ts]], Awaitable[T]], *args: *Ts
    ) -> T | None:
        try:
            result = await run(*args)
        except Exception as error:
            self.store_failed(operation, error)
            return None
        if self._failing:
            self.store_works(operation)
        return result

    def store_works(self, operation: str) -> None:
        """Note that the store does `operation` again."""
        self._failing.pop(operation, None)

    def store_left(self) -> None:
        """Note that another store takes its place: what that one fails at is news."""
        self._failing.clear()

    def store_failed(self, operation: str, error: Exception) -> None:
        """Tell that the store failed: once, until what failed works again.

        - An answer that it cannot hold is no failure: that is told once for each kind.
        """
        is_ours = isinstance(error, LLMCacheError)
        text = str(error).removesuffix(".") if is_ours else f"{type(error).__name__}: {error}"
        if isinstance(error, EncodingError):
            self._tell_unwritable(error)
            return
        with self._lock:
            is_news = not self._failing
            self._failing[operation] = text
        self.events.emit(Failed(self._clock(), operation, text))
        if not is_news:
            return
        message = (
            f"The LLM cache's store failed at {operation} ({text}). Your calls go on without it; "
            "what was answered is not lost. `%llmcache` shows when it works again, `%llmcache off` stops it."
        )
        self.warn(message)

    def warn(self, message: str) -> None:
        """Show the user a CacheWarning. It breaks no cell, even where warnings are errors."""
        try:
            # not `warn`: that shows a text once for each line of code, and a line of this package's with it
            warnings.warn_explicit(message, CacheWarning, "<llmcache>", 1)
        except CacheWarning:
            logger.warning(message)

    def _tell_unwritable(self, error: EncodingError) -> None:
        text = str(error)
        if text not in self._unwritable:
            self._unwritable.add(text)
            self.warn(f"{text[:1].upper()}{text[1:]}: it is kept in memory, for this kernel alone.")
