"""LangChain's real client, the stand-in server it talks to, and a SessionCache as its global cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_openai import ChatOpenAI
from stand_in import StandIn

from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.session.cache import SessionCache
from llmcache_jupyter.session.events import Event

MakeChat = Callable[..., ChatOpenAI]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="session")
def _server() -> Iterator[StandIn]:
    with StandIn(port=0) as running:
        yield running


@pytest.fixture(scope="session")
def run(_server: StandIn) -> Iterator[Run]:
    """What a coroutine returns. All run in one loop, because LangChain's models share their connections."""
    with asyncio.Runner() as runner:
        yield lambda coroutine: runner.run(coroutine, context=copy_context())
        chat = ChatOpenAI(base_url=_server.base_url, model="stand-in", api_key="unused")  # type: ignore[arg-type]
        runner.run(chat.root_async_client.close())


@pytest.fixture
def server(_server: StandIn) -> StandIn:
    """The server, with its requests counted from 0."""
    _server.reset()
    return _server


@pytest.fixture
def make_chat(server: StandIn) -> MakeChat:
    def make(**options: Any) -> ChatOpenAI:
        options = {"model": "stand-in", "api_key": "unused", "max_retries": 0, **options}
        return ChatOpenAI(base_url=server.base_url, **options)

    return make


@pytest.fixture
def chat(make_chat: MakeChat) -> ChatOpenAI:
    return make_chat()


@pytest.fixture
def use() -> Iterator[Callable[[SessionCache], SessionCache]]:
    """Makes a cache LangChain's global one until the test ends."""
    earlier = get_llm_cache()

    def install(cache: SessionCache) -> SessionCache:
        set_llm_cache(cache)  # type: ignore[arg-type]
        return cache

    yield install
    set_llm_cache(earlier)


@pytest.fixture(params=["memory", "file"])
def cache(
    request: pytest.FixtureRequest, use: Callable[[SessionCache], SessionCache], tmp_path: Path
) -> Iterator[SessionCache]:
    """A session's cache over each backend whose answers come about differently: kept, or written and read."""
    if request.param == "memory":
        yield use(SessionCache())
    else:
        with SQLiteCache(tmp_path / "notes.sqlite") as backend:
            yield use(SessionCache(backend))


@pytest.fixture
def events(cache: SessionCache) -> list[Event]:
    """What happens to calls, from here on."""
    seen: list[Event] = []
    cache.events.subscribe(seen.append)
    return seen
