"""Missed calls: what was asked when a call was not a hit, and what was known at that moment."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple

from llmcache_jupyter.caches import Key
from llmcache_jupyter.session.events import Cleared, Event, Events, Hit, MissReason, Stored
from llmcache_jupyter.session.fate import Fate
from llmcache_jupyter.session.recording import Recording
from llmcache_jupyter.session.scope import Mode
from llmcache_jupyter.views.format import count

_MAX_CALLS = 200
_MAX_ENTRIES = 20_000
_MAX_REMOVALS = 500


@dataclass(frozen=True, slots=True)
class MissedCall:
    """A call that was not a hit.

    - `key`, `sent`: what it asked for, and the prompt as it was sent.
    - `at`: when, in seconds since the epoch.
    - `reason`: as in the event `Miss`; `error` is the store's where that is "failed", and what to do where
      it is "unreachable".
    - `mode`: what the session did with it.
    - `fate`: what had become of the entry that would have answered it; None where none was seen.
    - `notes`: traps that it holds.
    - `out_of_reach`: what could not be loaded or opened, where its entry may be; nothing where its fate is
      known.
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
    out_of_reach: tuple[str, ...] = ()
    mode: Mode = "on"


class _Seen(NamedTuple):
    """An entry that was here: when last seen, when stored, and the file whose load left it out."""

    at: float
    stored: float | None = None
    left_out: Fate | None = None


class MissedCalls:
    """The latest 200 calls that were not hits, and what events tell of this session's entries."""

    def __init__(self, events: Events) -> None:
        self._calls: deque[MissedCall] = deque(maxlen=_MAX_CALLS)
        self._last_seen: OrderedDict[str, _Seen] = OrderedDict()
        self._out_of_reach: dict[str, str] = {}
        self._not_loaded: dict[str, str] = {}
        self._removals: deque[Cleared] = deque(maxlen=_MAX_REMOVALS)
        self._last_eviction: float | None = None
        self._events = events.count(self._follow)

    def add(self, call: MissedCall) -> None:
        """Remember a missed call."""
        self._calls.append(call)

    def all(self) -> list[MissedCall]:
        """The missed calls, the latest first."""
        return list(self._calls)[::-1]

    def sent_before(self, call: MissedCall) -> MissedCall | None:
        """The latest identical call that missed before this one and was sent to its model, or None."""
        calls = self.all()
        earlier = calls[calls.index(call) + 1 :] if call in calls else []
        return next((one for one in earlier if one.key == call.key and one.mode != "replay"), None)

    def fate(self, entry: str, now: float, *, maxsize: int | None, ttl: float | None) -> Fate | None:
        """What has become of the entry with this id, which is no longer there; None where none was seen."""
        with self._events.lock:
            self._events.settle()
            seen = self._last_seen.get(entry)
            if seen is None:
                return None
            removals = list(self._removals)
            evicted = self._last_eviction
        if seen.left_out is not None:
            return seen.left_out
        removals = [removal for removal in removals if removal.at >= seen.at]
        for removal in reversed(removals):
            if removal.why != "evicted" and (removal.ids is None or entry in removal.ids):
                return Fate(removal.why, removal.at)
        if ttl is not None and seen.stored is not None and now - seen.stored >= ttl:
            return Fate("expired", seen.stored + ttl)
        was_evicted = evicted is not None and evicted >= seen.at
        if was_evicted or any(removal.why == "evicted" for removal in removals):
            return Fate("evicted", maxsize=maxsize)
        return Fate("gone", seen.at)

    def note_load(self, recording: Recording, now: float, ttl: float | None) -> None:
        """Remember what a file that is loaded now has, and what of it cannot be loaded."""
        path, left_out = recording.path, _left_out(recording)
        with self._events.lock:
            self._events.settle()
            for entry in recording.entries[-_MAX_ENTRIES:]:
                is_old = ttl is not None and now - entry.stored >= ttl
                fate = Fate("left out", entry.stored + ttl, path=path) if ttl is not None and is_old else None
                self._see(entry.id, _Seen(now, entry.stored, fate))
        without = f"{path} was loaded without {left_out}: this call's entry may be among them."
        self.note_out_of_reach(path, without if left_out else None)
        self._not_loaded.clear()

    def note_failed_load(self, path: str, error: Exception) -> None:
        """Remember that a file could not be loaded, until one can: that is the one that was meant."""
        self._not_loaded[path] = f"{path} could not be loaded: {error}"

    def note_out_of_reach(self, place: str, told: str | None) -> None:
        """Remember what is told of entries that a place has and this session does not; None: it has all."""
        self._out_of_reach.pop(place, None)
        if told is not None:
            self._out_of_reach[place] = told

    @property
    def out_of_reach(self) -> tuple[str, ...]:
        """What is told of entries elsewhere."""
        return (*self._out_of_reach.values(), *self._not_loaded.values())

    def removed_since(self, at: float) -> float | None:
        """When entries were last removed on request, if that was later than `at`."""
        with self._events.lock:
            self._events.settle()
            removals = [removal.at for removal in self._removals if removal.why != "evicted"]
        return max((removal for removal in removals if removal > at), default=None)

    def dropped_before(self, at: float) -> Cleared | None:
        """The last removal before `at`, where it was that entries had to go for new limits; or None."""
        with self._events.lock:
            self._events.settle()
            removals = [removal for removal in self._removals if removal.at <= at]
        return removals[-1] if removals and removals[-1].why == "evicted" else None

    def _follow(self, event: Event) -> None:
        match event:
            case Stored(id=id, at=at, evicted=evicted):
                self._see(id, _Seen(at, at))
                self._last_eviction = at if evicted else self._last_eviction
            case Hit(id=id, at=at):
                self._see(id, _Seen(at))
            case Cleared(count=count) if count != 0:
                self._removals.append(event)

    def _see(self, entry: str, seen: _Seen) -> None:
        if seen.stored is None and (earlier := self._last_seen.get(entry)) is not None:
            seen = _Seen(seen.at, earlier.stored)
        self._last_seen[entry] = seen
        self._last_seen.move_to_end(entry)
        if len(self._last_seen) > _MAX_ENTRIES:
            self._last_seen.popitem(last=False)


def _left_out(recording: Recording) -> str:
    parts = [
        (recording.redacted, "entry that lost its credential at the save", "entries that lost credentials"),
        (recording.bad, "line that cannot be read", "lines that cannot be read"),
    ]
    return " and ".join(count(*part) for part in parts if part[0])
