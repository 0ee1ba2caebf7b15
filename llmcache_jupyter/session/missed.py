"""Missed calls: what was asked when a call was not a hit, and what was known at that moment."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Literal

from llmcache_jupyter.caches import Key
from llmcache_jupyter.session.events import Cleared, Event, Events, Hit, MissReason, Removal, Stored

_MAX_CALLS = 200
_MAX_ENTRIES = 20_000
_MAX_REMOVALS = 500

What = Removal | Literal["expired", "gone"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an entry that was here: when it was stored or last seen, and when and how it went."""

    what: What
    at: float | None = None
    maxsize: int | None = None


@dataclass(frozen=True, slots=True)
class MissedCall:
    """A call that was not a hit.

    - `key`, `sent`: what it asked for, and the prompt as it was sent.
    - `at`: when, in seconds since the epoch.
    - `reason`: as in the event `Miss`; `error` is the store's where that is "failed", and what to do where
      it is "unreachable".
    - `fate`: what had become of the entry that would have answered it; None where none was seen.
    - `notes`: traps that it holds.
    """

    id: str
    key: Key
    sent: str
    model: str | None
    cell: str | None
    at: float
    reason: MissReason
    error: str | None = None
    fate: Fate | None = None
    notes: tuple[str, ...] = ()


class MissedCalls:
    """The latest 200 calls that were not hits, and what events tell of this session's entries."""

    def __init__(self, events: Events) -> None:
        self._calls: deque[MissedCall] = deque(maxlen=_MAX_CALLS)
        self._last_seen: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._removals: deque[Cleared] = deque(maxlen=_MAX_REMOVALS)
        self._last_eviction: float | None = None
        self._events = events.count(self._follow)

    def add(self, call: MissedCall) -> None:
        """Remember a missed call."""
        self._calls.append(call)

    def all(self) -> list[MissedCall]:
        """The missed calls, the latest first."""
        return list(self._calls)[::-1]

    def fate(self, entry: str, now: float, *, maxsize: int | None, ttl: float | None) -> Fate | None:
        """What has become of the entry with this id, which is no longer there; None where none was seen."""
        with self._events.lock:
            self._events.settle()
            seen = self._last_seen.get(entry)
            if seen is None:
                return None
            at, was_stored = seen
            removals = list(self._removals)
            evicted = self._last_eviction
        removals = [removal for removal in removals if removal.at >= at]
        for removal in reversed(removals):
            if removal.why != "evicted" and (removal.ids is None or entry in removal.ids):
                return Fate(removal.why, removal.at)
        if ttl is not None and was_stored and now - at >= ttl:
            return Fate("expired", at + ttl)
        if any(removal.why == "evicted" for removal in removals) or (evicted is not None and evicted >= at):
            return Fate("evicted", maxsize=maxsize)
        return Fate("gone", at)

    def removed_since(self, at: float) -> float | None:
        """When entries were last removed on request, if that was later than `at`."""
        with self._events.lock:
            self._events.settle()
            removals = [removal.at for removal in self._removals if removal.why != "evicted"]
        return max((removal for removal in removals if removal > at), default=None)

    def _follow(self, event: Event) -> None:
        match event:
            case Stored(id=id, at=at, evicted=evicted):
                self._see(id, at, stored=True)
                self._last_eviction = at if evicted else self._last_eviction
            case Hit(id=id, at=at):
                self._see(id, at, stored=False)
            case Cleared(count=count) if count != 0:
                self._removals.append(event)

    def _see(self, entry: str, at: float, *, stored: bool) -> None:
        earlier = self._last_seen.get(entry)
        if stored or earlier is None or not earlier[1]:
            self._last_seen[entry] = at, stored
        self._last_seen.move_to_end(entry)
        if len(self._last_seen) > _MAX_ENTRIES:
            self._last_seen.popitem(last=False)
