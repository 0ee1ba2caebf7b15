"""Backlog: everything that was added is counted once and in order, later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from llmcache_jupyter.caches.backlog import Backlog


def test_it_is_counted_when_somebody_wants_to_know() -> None:
    counted: list[str] = []
    backlog = Backlog(counted.append)
    for thing in "abc":
        backlog.add(thing)
    assert (counted, len(backlog)) == ([], 3)
    backlog.settle()
    backlog.settle()
    assert (counted, len(backlog)) == (["a", "b", "c"], 0)


def test_no_more_than_a_thousand_wait() -> None:
    counted: list[int] = []
    backlog = Backlog(counted.append)
    for number in range(2_500):
        backlog.add(number)
    assert counted == list(range(2_000))


def test_each_thread_has_all_of_its_own_counted_once_and_in_order() -> None:
    counted: list[tuple[int, int]] = []
    backlog = Backlog(counted.append)

    def add(thread: int) -> None:
        for number in range(3_000):
            backlog.add((thread, number))
            if number % 100 == 0:
                with backlog.lock:
                    backlog.settle()
                    assert counted.count((thread, number)) == 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    backlog.settle()
    assert sorted(counted) == [(thread, number) for thread in range(4) for number in range(3_000)]
    assert [number for thread, number in counted if thread == 0] == list(range(3_000))
