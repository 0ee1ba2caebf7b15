"""Counters per session and model, made from events."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from llmcache_jupyter.session.events import CALL_EVENTS, Event, Events, Hit, Miss, Stored


@dataclass(slots=True)
class Counts:
    """What became of some calls.

    - `bypassed`: calls made in mode "off"; they are no misses.
    - `seconds_saved`, `tokens_saved`: the sum over the hits whose figures are known; None where hits were
      counted and not one of them is known.
    """

    hits: int = 0
    misses: int = 0
    bypassed: int = 0
    stored: int = 0
    evicted: int = 0
    known_seconds: float | None = None
    known_tokens: int | None = None

    @property
    def rate(self) -> float | None:
        """Hits among the calls that could be hits, from 0 to 1; None before the first."""
        calls = self.hits + self.misses
        return self.hits / calls if calls else None

    @property
    def seconds_saved(self) -> float | None:
        return self.known_seconds if self.hits else 0.0

    @property
    def tokens_saved(self) -> int | None:
        return self.known_tokens if self.hits else 0

    def add(self, other: Counts) -> None:
        """Add what others count."""
        self.hits += other.hits
        self.misses += other.misses
        self.bypassed += other.bypassed
        self.stored += other.stored
        self.evicted += other.evicted
        if other.known_seconds is not None:
            self.known_seconds = (self.known_seconds or 0.0) + other.known_seconds
        if other.known_tokens is not None:
            self.known_tokens = (self.known_tokens or 0) + other.known_tokens

    def count(self, event: Event) -> None:
        """Add one event."""
        match event:
            case Hit(seconds=seconds, tokens=tokens):
                self.hits += 1
                if seconds is not None:
                    self.known_seconds = (self.known_seconds or 0.0) + seconds
                if tokens is not None:
                    self.known_tokens = (self.known_tokens or 0) + tokens
            case Miss(reason="off"):
                self.bypassed += 1
            case Miss():
                self.misses += 1
            case Stored(evicted=evicted):
                self.stored += 1
                self.evicted += evicted


class Statistics:
    """Counts of a session since it began, in all and by model. Safe under threads."""

    def __init__(self, events: Events) -> None:
        self._counts: defaultdict[str | None, Counts] = defaultdict(Counts)
        self._events = events.count(self._add)

    def total(self) -> Counts:
        """The counts of the whole session."""
        total = Counts()
        with self._events.lock:
            self._events.settle()
            for counts in self._counts.values():
                total.add(counts)
        return total

    def by_model(self) -> dict[str | None, Counts]:
        """The counts of each model, in the order of first use."""
        with self._events.lock:
            self._events.settle()
            return {model: replace(counts) for model, counts in self._counts.items()}

    def _add(self, event: Event) -> None:
        if isinstance(event, CALL_EVENTS):
            self._counts[event.model].count(event)
