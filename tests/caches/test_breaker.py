"""Breaker: what fails is left alone for a while, and tried by one."""

from __future__ import annotations

from llmcache_jupyter.caches.breaker import LONGEST, SHORTEST, Breaker
from tests.caches.contract import FakeClock


def test_what_works_is_asked() -> None:
    breaker = Breaker(FakeClock())
    assert breaker.allows()
    breaker.worked()
    assert breaker.allows()
    assert (breaker.is_open, breaker.remaining) == (False, 0.0)


def test_what_fails_is_left_alone_for_a_while() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    breaker.failed()
    assert (breaker.is_open, breaker.remaining, breaker.allows()) == (True, SHORTEST, False)
    clock.advance(SHORTEST)
    assert breaker.remaining == 0.0
    assert breaker.allows()


def test_one_tries_while_the_others_wait() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    breaker.failed()
    clock.advance(SHORTEST)
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.worked()
    assert breaker.allows()


def test_one_who_never_came_back_is_not_waited_for() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    breaker.failed()
    clock.advance(SHORTEST)
    assert breaker.allows()
    clock.advance(SHORTEST)
    assert breaker.allows()


def test_the_pause_grows_to_its_longest_and_begins_anew() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    pauses = []
    for _ in range(8):
        assert breaker.allows()
        breaker.failed()
        pauses.append(breaker.remaining)
        clock.advance(breaker.remaining)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST, LONGEST, LONGEST]
    breaker.worked()
    breaker.failed()
    assert breaker.remaining == SHORTEST


def test_what_fails_for_many_at_once_fails_once() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(20):
        breaker.failed()
        clock.advance(0.01)
    assert breaker.remaining < SHORTEST
    clock.advance(SHORTEST)
    assert breaker.allows()
    breaker.failed()
    assert breaker.remaining == 2 * SHORTEST
