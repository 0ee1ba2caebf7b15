"""Server: questions to a Redis server, each answered within a timeout, or a StoreError."""

from __future__ import annotations

import asyncio
import os
import re
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from llmcache_jupyter.caches.redis.connections import Command, Connections, connecting, unconnected
from llmcache_jupyter.caches.redis.failures import is_answer, store_error
from llmcache_jupyter.caches.redis.loop import LoopThread
from llmcache_jupyter.errors import StoreError

_CONNECTIONS = 16
_STEPS = 10
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument ('[^']*')")

# What a forked child has from its parent. To let go of it would take the parent's connections out of the
# epoll that both processes share: the parent would not hear of an answer again.
_inherited: list[object] = []
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class Server:
    """A server's answers to commands: `ask` waits for them where it is called, `aask` blocks no event loop.

    - `name`: the server in messages, without credentials. `timeout`: seconds, connecting included.
    - `on_fork` is called in a forked child.
    - Many may `aask` at once: they wait on one loop of its own, not on threads. Whoever waits for a free
      connection waits as long as the server answers others; once it does not, all are told.

    Raises:
        StoreError: redis-py is not installed, or does not take what `url` says after the `?`.
    """

    def __init__(self, url: str, name: str, timeout: float, on_fork: Callable[[], None]) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._on_fork = on_fork
        _import()
        _check(url, name, timeout)
        self._connections = Connections(connecting(url, timeout), timeout)
        self._begin()
        _servers.add(self)

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """What the server answers to each command, in one round trip. What it refuses has its error.

        Raises:
            StoreError: it doesn't answer, or not within the timeout.
        """
        try:
            return self._connections.exchange(commands)
        except Exception as error:
            raise self.error(error) from error

    def aask(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """`ask`, without blocking the event loop."""
        return self._loop.later(self._answers(commands))

    def error(self, error: Exception) -> StoreError:
        """The error for the user that `error` means."""
        return store_error(error, self._name, self._timeout)

    def disconnect(self) -> None:
        """Let go of the connections, once what was asked is answered. The next question makes new ones."""
        self._connections.disconnect()
        if self._loop.is_running:
            self._loop.wait(self._retire())

    def close(self) -> None:
        """End the thread. Nobody may be asking, nor ask any more."""
        self._connections.disconnect()
        self._loop.stop(self._disconnect)

    def _begin(self) -> None:
        self._loop = LoopThread("llmcache-redis")
        self._client: Any = None
        self._asked: set[asyncio.Future[Any]] = set()
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._answered = 0.0  # when it last did, by the loop's clock
        self._failures = 0
        self._last_failure: Exception = TimeoutError()

    def _after_fork(self) -> None:
        _inherited.append((self._client, self._loop, self._asked))
        self._begin()
        self._connections.forget()
        self._on_fork()

    # What follows runs on the server's loop

    async def _answers(self, commands: Sequence[Command]) -> list[Any]:
        failures = self._failures
        try:
            async with self._turns:
                if self._failures != failures:  # who had a turn got no answer: nobody waits any longer
                    raise self._last_failure
                return await self._in_time(commands)
        except Exception as error:
            raise self.error(error) from error

    async def _in_time(self, commands: Sequence[Command]) -> list[Any]:
        began = asyncio.get_running_loop().time()
        asked = asyncio.ensure_future(self._exchange(commands))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        try:
            for _ in range(_STEPS):  # a process too busy to look at an answer sees it in the next one
                if (await asyncio.wait({asked}, timeout=self._timeout / _STEPS))[0]:
                    answers = await asked
                    self._answered = asyncio.get_running_loop().time()
                    return answers
            raise TimeoutError
        except Exception as error:
            if not is_answer(error) and self._answered < began:  # else it answers others: this was too much
                self._failures += 1
                self._last_failure = error
                await self._disconnect_idle()
            raise
        finally:
            asked.cancel()  # and its connection with it: the next bytes may be this answer's

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        if self._client is None:
            self._client = _client(self._url)
        async with self._client.pipeline(transaction=False) as all_at_once:
            for command in commands:
                all_at_once.execute_command(*command)
            return list(await all_at_once.execute(raise_on_error=False))

    async def _retire(self) -> None:
        client, self._client = self._client, None
        if self._asked:
            await asyncio.wait(set(self._asked))
        await self._disconnected(client)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        await self._disconnected(client)

    async def _disconnect_idle(self) -> None:
        await self._disconnected(self._client, inuse_connections=False)

    async def _disconnected(self, client: Any, **which: bool) -> None:
        if client is not None:
            with suppress(Exception):
                await asyncio.wait_for(client.connection_pool.disconnect(**which), self._timeout)


def _after_fork() -> None:
    for server in list(_servers):
        server._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _import() -> Any:
    try:
        from redis import asyncio as redis
    except ImportError:
        raise StoreError(
            'A store on a server needs redis-py: pip install "llmcache-jupyter[redis]".'
        ) from None
    return redis


def _check(url: str, name: str, timeout: float) -> None:
    try:
        unconnected(url, timeout)
    except Exception as error:  # its text names the option, and holds no value
        unknown = _UNKNOWN_OPTION.search(str(error))
        why = f"there is no option {unknown[1]}" if unknown else str(error)
        raise StoreError(
            f"{name} cannot be asked so ({why}): correct what stands in the address after the ?, "
            "for example ?namespace=team&timeout=0.5."
        ) from None


def _client(url: str) -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    redis = _import()
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=_CONNECTIONS, timeout=None, retry=Retry(NoBackoff(), 0), protocol=2
    )
    client = redis.Redis(connection_pool=pool)
    client.response_callbacks.clear()  # answers as the server gave them, like those of `Connections`
    return client
