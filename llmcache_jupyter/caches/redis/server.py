"""Server: questions to a Redis server, each answered within a timeout, or a StoreError."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from llmcache_jupyter.caches.redis.failures import is_answer, store_error
from llmcache_jupyter.caches.redis.loop import LoopThread
from llmcache_jupyter.errors import LLMCacheError, StoreError

T = TypeVar("T")

_CONNECTIONS = 16


# What a forked child has from its parent. To let go of it would take the parent's connections out of the
# epoll that both processes share: the parent would not hear of an answer again.
_inherited: list[object] = []
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class Server:
    """The connections to a server, made when they are needed, on a thread of their own.

    - `name`: the server in messages, without credentials. `timeout`: seconds.

    Raises:
        StoreError: redis-py is not installed.
    """

    def __init__(self, url: str, name: str, timeout: float) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._loop = LoopThread("llmcache-redis")
        self._client: Any = None
        self._asked: set[asyncio.Future[Any]] = set()
        self._client_loop: asyncio.AbstractEventLoop | None = None
        self.wait = self._loop.wait
        self.later = self._loop.later
        _import()
        _servers.add(self)

    async def ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        """What the server answers to `question`, which is given the client. Runs on the server's own loop.

        Raises:
            StoreError: it doesn't, or not within the timeout: connecting and waiting in line included.
        """
        try:
            asked = asyncio.ensure_future(_awaited(question, self._connected()))
            self._asked.add(asked)
            asked.add_done_callback(self._asked.discard)
            return await asyncio.wait_for(asked, self._timeout)
        except LLMCacheError:
            raise
        except Exception as error:
            if not is_answer(error):
                await self._disconnect()  # what is on its way must not be taken for another answer
            raise self.error(error) from error

    def error(self, error: Exception) -> StoreError:
        """The error for the user that `error` means."""
        return store_error(error, self._name, self._timeout)

    def disconnect(self) -> None:
        """Let go of the connections, once what was asked is answered. The next question makes new ones."""
        if self._loop.is_running:
            self.wait(self._retire())

    def close(self) -> None:
        """End the thread. Nobody may be asking, nor ask any more."""
        self._loop.stop(self._disconnect)

    def _connected(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._client_loop is not loop:
            self._client, self._client_loop = _client(self._url), loop
        return self._client

    def _forked(self) -> None:
        _inherited.append((self._client, self._client_loop, self._asked))
        self._client = self._client_loop = None
        self._asked = set()

    async def _retire(self) -> None:
        client, self._client = self._client, None
        if self._asked:
            await asyncio.wait(set(self._asked))
        await self._disconnected(client)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        await self._disconnected(client)

    async def _disconnected(self, client: Any) -> None:
        if client is not None:
            with suppress(Exception):
                await asyncio.wait_for(client.connection_pool.disconnect(), self._timeout)


def _after_fork() -> None:
    for server in list(_servers):
        server._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def _awaited(question: Callable[[Any], Awaitable[T]], client: Any) -> T:
    return await question(client)


def _import() -> Any:
    try:
        from redis import asyncio as redis
    except ImportError:
        raise StoreError(
            'A store on a server needs redis-py: pip install "llmcache-jupyter[redis]".'
        ) from None
    return redis


def _client(url: str) -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    redis = _import()
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=_CONNECTIONS, timeout=None, retry=Retry(NoBackoff(), 0), protocol=2
    )
    return redis.Redis(connection_pool=pool)
