"""What happens to calls, as events; whoever wants to know subscribes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from operator import is_not
from typing import Literal, NamedTuple

from llmcache_jupyter.caches.backlog import Backlog
from llmcache_jupyter.caches.locks import new_lock

logger = logging.getLogger("llmcache_jupyter")

MissReason = Literal["absent", "refresh", "off", "replay", "unreachable", "failed"]
Removal = Literal["cleared", "deleted", "evicted"]


# one of these is made at each call: a tuple in a third of the time of a frozen dataclass
class Hit(NamedTuple):
    """A call was answered from the cache. `seconds` and `tokens` are what it saved; None is unknown."""

    id: str
    model: str | None
    cell: str | None
    at: float
    seconds: float | None
    tokens: int | None


class Miss(NamedTuple):
    """A call was not answered from the cache.

    - `reason`: nothing is stored ("absent"), the mode is "refresh" or "off", nothing is stored in mode
      "replay", or none could be as the call is "unreachable" for the cache, or the store "failed".
    """

    id: str
    model: str | None
    cell: str | None
    at: float
    reason: MissReason


class Stored(NamedTuple):
    """A model's answer was stored. It took `seconds`; `evicted` others had to go for it."""

    id: str
    model: str | None
    cell: str | None
    at: float
    seconds: float | None
    tokens: int | None
    evicted: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """`count` entries were removed on request; None where the store could not tell.

    - `ids`: which; None is all of them, or where they were "evicted" by a smaller maximum, not known.
    """

    at: float
    count: int | None
    why: Removal = "cleared"
    ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Switched:
    """The session was switched on or off, or its settings changed."""

    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The store failed at `operation`; the call went on without it."""

    at: float
    operation: str
    error: str


CallEvent = Hit | Miss | Stored
CALL_EVENTS = (Hit, Miss, Stored)  # in `isinstance`, the union takes three times as long
Event = CallEvent | Cleared | Switched | Failed


class Events:
    """Hands each event to every subscriber. A subscriber that fails is logged, and harms no call."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Event], None]] = []
        self._counters: list[Callable[[Event], None]] = []
        self._uncounted = Backlog(partial(self._tell, self._counters))
        self._lock = new_lock()

    def count(self, counter: Callable[[Event], None]) -> Backlog[Event]:
        """Calls `counter` with each event, but later. Who reads what it counted settles the backlog first."""
        self._counters.append(counter)
        return self._uncounted

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Calls `subscriber` with each event, on the thread where it happens. Returns its unsubscribe."""
        tell = partial(subscriber)  # one for each subscription: the same function may have two

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = list(filter(partial(is_not, tell), self._subscribers))

        with self._lock:
            self._subscribers = [*self._subscribers, tell]
        return unsubscribe

    def emit(self, event: Event) -> None:
        """Hand `event` to every subscriber."""
        self._uncounted.add(event)
        self._tell(self._subscribers, event)

    @staticmethod
    def _tell(subscribers: Iterable[Callable[[Event], None]], event: Event) -> None:
        for subscriber in subscribers:
            try:
                subscriber(event)
            except Exception:
                logger.exception("a subscriber failed at %r", event)
