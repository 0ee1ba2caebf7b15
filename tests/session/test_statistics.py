"""Counts: known is counted, unknown stays unknown."""

from __future__ import annotations

import threading
from typing import Any

from llmcache_jupyter.session.events import Cleared, Event, Events, Failed, Hit, Miss, Stored
from llmcache_jupyter.session.statistics import Counts, Statistics


def hit(seconds: float | None = None, tokens: int | None = None, **where: Any) -> Hit:
    return Hit("id", where.get("model", "m"), where.get("cell"), 1.0, seconds, tokens)


def miss(reason: Any = "absent", **where: Any) -> Miss:
    return Miss("id", where.get("model", "m"), where.get("cell"), 1.0, reason)


def stored(evicted: int = 0, **where: Any) -> Stored:
    return Stored("id", where.get("model", "m"), where.get("cell"), 1.0, 2.0, 7, evicted)


def counts_of(events: list[Event]) -> Counts:
    counts = Counts()
    for event in events:
        counts.count(event)
    return counts


def test_nothing_yet() -> None:
    counts = Counts()
    assert (counts.hits, counts.misses, counts.rate, counts.seconds_saved, counts.tokens_saved) == (
        0,
        0,
        None,
        0,
        0,
    )


def test_what_is_counted() -> None:
    counts = counts_of([miss(), stored(2), hit(1.5, 7), hit(0.5, 3), miss("refresh"), stored(1), miss("off")])
    assert (counts.hits, counts.misses, counts.bypassed, counts.stored, counts.evicted) == (2, 2, 1, 2, 3)
    assert (counts.rate, counts.seconds_saved, counts.tokens_saved) == (0.5, 2.0, 10)


def test_every_reason_but_off_is_a_miss() -> None:
    counts = counts_of([miss(reason) for reason in ("absent", "refresh", "replay", "failed", "off")])
    assert (counts.misses, counts.bypassed, counts.rate) == (4, 1, 0.0)


def test_the_unknown_is_none_and_never_0() -> None:
    assert (counts_of([hit()]).seconds_saved, counts_of([hit()]).tokens_saved) == (None, None)
    some = counts_of([hit(), hit(2.0), hit(tokens=5)])
    assert (some.seconds_saved, some.tokens_saved) == (2.0, 5)
    free = counts_of([hit(0.0, 0)])
    assert (free.seconds_saved, free.tokens_saved) == (0.0, 0)


def test_by_model_and_in_all() -> None:
    events = Events()
    statistics = Statistics(events)
    happened: list[Event] = [
        miss(cell="a"), stored(cell="a"), hit(cell="b"), hit(model=None, cell="a"), miss(model="x"),
        Cleared(1.0, 3), Failed(1.0, "get", "error"),
    ]  # fmt: skip
    for event in happened:
        events.emit(event)
    assert statistics.by_model() == {
        "m": Counts(hits=1, misses=1, stored=1), None: Counts(hits=1), "x": Counts(misses=1)
    }  # fmt: skip
    assert statistics.total() == Counts(hits=2, misses=2, stored=1)


def test_what_was_handed_out_stays_as_it_was() -> None:
    events = Events()
    statistics = Statistics(events)
    total, by_model = statistics.total(), statistics.by_model()
    events.emit(hit())
    assert (total, by_model) == (Counts(), {})
    statistics.total().hits = 99
    statistics.by_model()["m"].hits = 99
    assert statistics.total().hits == statistics.by_model()["m"].hits == 1


def test_threads_lose_no_count() -> None:
    events = Events()
    statistics = Statistics(events)

    def count() -> None:
        for _ in range(2_000):
            events.emit(hit(1.0, 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.total() == Counts(hits=16_000, known_seconds=16_000.0, known_tokens=16_000)
