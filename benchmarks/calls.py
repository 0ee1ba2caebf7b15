"""`ChatOpenAI.invoke` on a hit: through an active session, and through LangChain's own cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.caches import InMemoryCache as LangChainCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import BaseMessage, HumanMessage

from benchmarks.inputs import chat_model, conversation
from benchmarks.report import Row, Target
from benchmarks.timing import Pass, in_turns, now
from llmcache_jupyter import Session

CALLS = 20
"""Calls in a pass."""

_ASKED: dict[str, list[BaseMessage]] = {
    "a short question": [HumanMessage("What is the capital of France?")],
    "a chat's third turn": conversation("Now show it for one customer only, as a bar chart."),
}


def hits(rounds: int) -> Iterator[Row]:
    """A short question, and the third turn of a chat."""
    session = Session()
    session.activate()
    try:
        for what, messages in _ASKED.items():
            ours, other = (calling(cache, messages) for cache in (session.cache, LangChainCache()))
            result = in_turns(ours, other, rounds).each(CALLS)
            yield Row(f"hit, {what}", result.ours, result.other, result.ratio, Target(1.15))
        assert session.status().counts.misses == len(_ASKED)
    finally:
        session.deactivate()


def calling(cache: Any, messages: list[BaseMessage]) -> Pass:
    """Passes of calls while `cache` is LangChain's global one. What they ask is in the cache by then."""
    model = chat_model("Paris.")

    def call() -> float:
        earlier = get_llm_cache()
        set_llm_cache(cache)
        try:
            begin = now()
            for _ in range(CALLS):
                model.invoke(messages)
            return now() - begin
        finally:
            set_llm_cache(earlier)

    call()
    return call
