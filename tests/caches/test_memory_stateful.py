"""InMemoryCache beside a reference model that is slow and obvious, through any sequence of operations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from llmcache_jupyter.caches import Entry, InMemoryCache, Query
from llmcache_jupyter.caches.entry import entry_id
from tests.caches.contract import FakeClock

# few, so that what is asked for is often there
ALL_KEYS = [("a", "m"), ("b", "m"), ("ab", "m"), ("a", "bm"), ("", "a")]
KEYS = st.sampled_from(ALL_KEYS)
LIMITS: dict[str, Any] = {
    "maxsize": st.none() | st.integers(1, 4),
    "policy": st.sampled_from(["fifo", "lru"]),
    "ttl": st.none() | st.integers(5, 40),
}
# never 0, or the order of storing and that of time would be two
STEPS = st.integers(1, 9)


class Reference:
    """A list, the oldest entry first. `removed` counts what a limit cost."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.maxsize: int | None = None
        self.policy = "fifo"
        self.ttl: float | None = None

    def live(self, now: float) -> list[Entry]:
        return [e for e in self.entries if self.ttl is None or now - e.stored < self.ttl]

    def find(self, key: Any, now: float) -> Entry | None:
        return next((e for e in self.live(now) if e.key == key), None)

    def store(self, new: Entry, now: float) -> None:
        self.entries = [e for e in self.entries if e.key != new.key] + [new]
        self.trim()

    def use(self, used: Entry, changed: Entry) -> None:
        place = self.entries.index(used)
        self.entries[place] = changed
        if self.policy == "lru":
            self.entries.append(self.entries.pop(place))

    def trim(self) -> None:
        if self.maxsize is not None:
            self.entries = self.entries[-self.maxsize :]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.cache = InMemoryCache(clock=self.clock)
        self.reference = Reference()
        self.number = 0

    @initialize(**LIMITS)
    def begin(self, maxsize: Any, policy: Any, ttl: Any) -> None:
        self.cache = InMemoryCache(maxsize=maxsize, policy=policy, ttl=ttl, clock=self.clock)
        self.reference.maxsize, self.reference.policy, self.reference.ttl = maxsize, policy, ttl

    def purge(self) -> None:
        """The expired may still be there, or not: whichever looks at all of them removes them."""
        self.reference.entries = self.reference.live(self.clock())

    @rule(key=KEYS)
    def update(self, key: Any) -> None:
        self.clock.advance(1)
        self.purge_both()
        self.number += 1
        self.cache.update(key[0], key[1], [self.number])
        self.reference.store(Entry(key, [self.number], self.clock()), self.clock())

    @rule(key=KEYS, took=st.none() | st.floats(0, 9))
    def put(self, key: Any, took: float | None) -> None:
        self.clock.advance(1)
        self.purge_both()
        self.number += 1
        new = Entry(key, [self.number], self.clock(), took=took)
        before = {e.key for e in self.reference.entries} | {key}
        self.reference.store(new, self.clock())
        assert self.cache.put(new) == len(before) - len(self.reference.entries)

    def purge_both(self) -> None:
        """Which of the expired still take a place is up to the cache: here, none."""
        len(self.cache)
        self.purge()

    @rule(key=KEYS)
    def lookup(self, key: Any) -> None:
        found = self.reference.find(key, self.clock())
        assert self.cache.lookup(*key) == (found.generations if found else None)
        if found:
            self.reference.use(found, found)

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        assert self.cache.get(key) == self.reference.find(key, self.clock())

    @rule(key=KEYS)
    def find(self, key: Any) -> None:
        found, expected = self.cache.find(key), self.reference.find(key, self.clock())
        assert (found and found.generations) == (expected and expected.generations)

    @rule(key=KEYS)
    def touch(self, key: Any) -> None:
        self.cache.touch(key)
        found = self.reference.find(key, self.clock())
        if found:
            hits = found.hits + 1
            changed = Entry(
                key, found.generations, found.stored, took=found.took, hits=hits, last_used=self.clock()
            )
            self.reference.use(found, changed)

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete(self, keys: Any) -> None:
        self.purge_both()
        gone = [e for e in self.reference.entries if e.key in keys]
        assert self.cache.delete(entry_id(key) for key in keys) == len(gone)
        self.reference.entries = [e for e in self.reference.entries if e.key not in keys]

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.reference.entries = []

    @rule(seconds=STEPS)
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(**LIMITS)
    def configure(self, maxsize: Any, policy: Any, ttl: Any) -> None:
        self.purge_both()
        before = len(self.reference.entries)
        self.reference.maxsize, self.reference.policy, self.reference.ttl = maxsize, policy, ttl
        self.purge()
        if policy == "fifo":
            self.reference.entries.sort(key=lambda e: e.stored)
        self.reference.trim()
        dropped = self.cache.configure(maxsize=maxsize, policy=policy, ttl=ttl)
        assert dropped == before - len(self.reference.entries)

    @rule(wrong=st.sampled_from([{"maxsize": 0}, {"ttl": 0}, {"policy": "mru"}]))
    def configure_by_mistake(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            self.cache.configure(**{"maxsize": 1, "policy": "fifo", "ttl": 1, **wrong})

    @rule(offset=st.integers(0, 5), limit=st.none() | st.integers(0, 5), text=st.none() | st.just("a"))
    def page(self, offset: int, limit: int | None, text: str | None) -> None:
        live = sorted(self.reference.live(self.clock()), key=lambda e: -e.stored)
        if text:
            live = [e for e in live if text in e.prompt]
        page = self.cache.entries(Query(text=text, offset=offset, limit=limit))
        assert page.total == len(live)
        assert page.entries == live[offset : None if limit is None else offset + limit]
        self.purge()

    @invariant()
    def the_same_entries(self) -> None:
        """Without looking at them: looking would remove the expired before the cache has to."""
        live = {e.key: e for e in self.reference.live(self.clock())}
        for key in ALL_KEYS:
            assert self.cache.get(key) == live.get(key)
        assert [key for key in self.cache._stored if key in live] == list(live)  # the oldest first
        assert self.reference.maxsize is None or len(self.cache._stored) <= self.reference.maxsize


@pytest.mark.soak
class TestAgainstReference(Machine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(stateful_step_count=40)
