"""Uses: hits are noted in memory, told when it is time to write, and none is lost when writing fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from llmcache_jupyter.caches.uses import Use, Uses

A, B = b"a" * 16, b"b" * 16


@pytest.fixture
def uses() -> Uses:
    return Uses()


def test_hits_add_up_and_the_last_one_counts(uses: Uses) -> None:
    assert uses.of(A) is None
    assert not uses
    for now in (1.0, 2.0, 2.5):
        uses.note(A, now)
    assert uses.of(A) == Use(3, 2.5)
    assert uses


def test_it_is_time_after_two_seconds(uses: Uses) -> None:
    assert [uses.note(A, now) for now in (10.0, 11.9, 12.0)] == [False, False, True]


def test_it_is_time_after_a_thousand(uses: Uses) -> None:
    told = [uses.note(b"%d" % number, 1.0) for number in range(1_000)]
    assert told == [False] * 999 + [True]


def test_they_are_taken_in_the_order_of_their_last_hits_and_once(uses: Uses) -> None:
    for digest in (A, B, A):
        uses.note(digest, 1.0)
    assert list(uses.take().items()) == [(B, Use(1, 1.0)), (A, Use(2, 1.0))]
    assert uses.take() == {}
    assert not uses.note(A, 100.0)  # the two seconds begin anew


def test_what_could_not_be_written_is_added_to_what_came_since(uses: Uses) -> None:
    uses.note(A, 1.0)
    uses.note(B, 1.0)
    taken = uses.take()
    uses.note(A, 2.0)
    uses.put_back(taken, 2.0)
    assert list(uses.take().items()) == [(B, Use(1, 1.0)), (A, Use(2, 2.0))]


def test_after_a_failure_it_is_tried_again_only_later(uses: Uses) -> None:
    uses.note(A, 1.0)
    uses.put_back(uses.take(), 5.0)
    assert not uses.is_due(6.9)
    assert uses.is_due(7.0)


def test_a_store_that_is_gone_for_long_fills_no_memory(uses: Uses) -> None:
    for number in range(10_500):
        uses.note(b"%d" % number, 1.0)
    uses.put_back(uses.take(), 1.0)
    kept = uses.take()
    assert len(kept) == 10_000
    assert b"10499" in kept  # the oldest go


def test_a_forked_child_has_none(uses: Uses) -> None:
    uses.note(A, 1.0)
    uses.forget()
    assert not uses
    assert not uses.is_due(100.0)


def test_no_hit_of_any_thread_is_lost(uses: Uses) -> None:
    def note(_: int) -> None:
        for _ in range(500):
            uses.note(A, 1.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(8)))
    assert uses.of(A) == Use(4_000, 1.0)
