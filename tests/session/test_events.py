"""Events: every subscriber is told, and none harms a call."""

from __future__ import annotations

import pytest

from llmcache_jupyter.session.events import Cleared, Event, Events

CLEARED = Cleared(at=1.0, count=3)


def test_every_subscriber_is_told_in_order() -> None:
    events, told = Events(), list[str]()
    events.subscribe(lambda _: told.append("one"))
    events.subscribe(lambda _: told.append("two"))
    events.emit(CLEARED)
    assert told == ["one", "two"]


def test_unsubscribe_ends_one_subscription_and_may_be_called_twice() -> None:
    events, told = Events(), list[Event]()
    first, second = events.subscribe(told.append), events.subscribe(told.append)
    events.emit(CLEARED)
    assert len(told) == 2
    first()
    first()
    events.emit(CLEARED)
    assert len(told) == 3
    second()
    events.emit(CLEARED)
    assert len(told) == 3


def test_the_same_function_may_subscribe_twice() -> None:
    events, told = Events(), list[Event]()

    def tell(event: Event) -> None:
        told.append(event)

    first = events.subscribe(tell)
    events.subscribe(tell)
    first()
    events.emit(CLEARED)
    assert len(told) == 1


def test_a_subscriber_that_fails_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    events, told = Events(), list[Event]()

    def fail(event: Event) -> None:
        raise ValueError("a bug")

    events.subscribe(fail)
    events.subscribe(told.append)
    events.emit(CLEARED)
    assert told == [CLEARED]
    assert "a bug" in caplog.text


def test_a_subscriber_may_unsubscribe_while_it_is_told() -> None:
    events, told = Events(), list[str]()

    def once(_event: Event) -> None:
        told.append("once")
        leave()

    leave = events.subscribe(once)
    events.subscribe(lambda _: told.append("always"))
    events.emit(CLEARED)
    events.emit(CLEARED)
    assert told == ["once", "always", "always"]
