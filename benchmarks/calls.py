"""`ChatOpenAI.invoke` on a hit: through an active session, and through LangChain's own cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from langchain_core.caches import InMemoryCache as LangChainCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import BaseMessage, HumanMessage

from benchmarks.inputs import chat_model, conversation
from benchmarks.report import Row, Target
from benchmarks.timing import Comparison, Pass, in_turns, now
from llmcache_jupyter import Session

CALLS = 20
"""Calls in a pass."""

ASKED: dict[str, list[BaseMessage]] = {
    "a short question": [HumanMessage("What is the capital of France?")],
    "a chat's third turn": conversation("Now show it for one customer only, as a bar chart."),
}


def hits(rounds: int) -> Iterator[Row]:
    """A short question, and the third turn of a chat."""
    session = Session()
    for what, messages in ASKED.items():
        result = compared(session, messages, rounds)
        yield Row(f"hit, {what}", result.ours, result.other, result.ratio, Target(1.15))
    assert session.status().counts.misses == len(ASKED)


def compared(session: Session, messages: list[BaseMessage], rounds: int) -> Comparison:
    """Seconds of a call: with the session on, and with it off and LangChain's cache in its place."""
    ours = _calling(partial(_active, session), messages)
    other = _calling(partial(_global, LangChainCache()), messages)
    return in_turns(ours, other, rounds).each(CALLS)


def _calling(cached: Callable[[], AbstractContextManager[None]], messages: list[BaseMessage]) -> Pass:
    """Passes of calls that are cached so. What they ask is in the cache by then."""
    model = chat_model("Paris.")

    def call() -> float:
        with cached():
            begin = now()
            for _ in range(CALLS):
                model.invoke(messages)
            return now() - begin

    call()
    return call


@contextmanager
def _active(session: Session) -> Iterator[None]:
    session.activate()
    try:
        yield
    finally:
        session.deactivate()


@contextmanager
def _global(cache: LangChainCache) -> Iterator[None]:
    earlier = get_llm_cache()
    set_llm_cache(cache)
    try:
        yield
    finally:
        set_llm_cache(earlier)
