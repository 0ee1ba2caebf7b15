"""Connections: a server's, for callers that block; each has one caller at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.caches.redis.timed_socket import TimedSocket

Command = tuple[Any, ...]

_MANY = 16
_PAUSE = 0.005  # seconds


class Connections:
    """Answers to commands, on a connection that is free or a new one.

    - `connect` returns a connection, made: redis-py's, whose socket is a TimedSocket.
    - `timeout`: seconds that `exchange` takes at most, looking up the name and connecting included.
    - What failed or was interrupted is not used again: its next bytes may be half an answer.
    """

    def __init__(
        self, connect: Callable[[], Any], timeout: float, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._timeout = timeout
        self._timer = timer
        self._lock = new_lock()
        self.forget()

    def forget(self) -> None:
        """Leave the connections as they are: in a forked child they are the parent's."""
        self._free: list[Any] = []
        self._attempts: list[_Attempt] = []

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answer to each command, in one round trip. What the server refuses has its error.

        Raises:
            Exception: redis-py's or the system's, for all else that fails.
        """
        until = self._timer() + self._timeout
        free = self._free
        connection = self._taken(free) or self._new(until)
        try:
            connection.timed.settimeout(max(until - self._timer(), 1e-6))
            connection.send_packed_command(connection.pack_commands(commands))
            answers = _answers(connection, len(commands))
        except BaseException:
            connection.disconnect()
            self.disconnect()  # the others may be as dead
            raise
        self._give_back(connection, free)
        return answers

    def disconnect(self) -> None:
        """Let go of the connections; of one in use, when it is given back."""
        with self._lock:
            free, self._free = self._free, []
        while (connection := _pop(free)) is not None:
            connection.disconnect()

    def _taken(self, free: list[Any]) -> Any:
        """A connection from which nothing is left to be read, not even its end; or None."""
        while (connection := _pop(free)) is not None:
            with suppress(Exception):
                if not connection.can_read():
                    return connection
            connection.disconnect()
        return None

    def _give_back(self, connection: Any, free: list[Any]) -> None:
        with self._lock:
            is_wanted = free is self._free and len(free) < _MANY
            if is_wanted:
                free.append(connection)
        if not is_wanted:
            connection.disconnect()

    def _new(self, until: float) -> Any:
        """A new connection, made on a thread: to look up a name knows no timeout."""
        while len(unfinished := [one for one in self._attempts if not one.is_finished]) >= _MANY:
            if self._timer() >= until:
                raise TimeoutError("no answer to so many attempts to connect")
            time.sleep(_PAUSE)
        attempt = _Attempt(self._connect)
        self._attempts = [*unfinished, attempt]
        threading.Thread(target=attempt.run, name="llmcache-connect", daemon=True).start()
        return attempt.result(until - self._timer())


class _Attempt:
    """A connection in the making. It is told by a queue, which no interrupt leaves locked."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.is_finished = False
        self._connect = connect
        self._told: SimpleQueue[None] = SimpleQueue()
        self._made: Any = None
        self._is_given_up = False

    def run(self) -> None:
        """Make it, or find out why not."""
        try:
            self._made = self._connect()
        except BaseException as error:
            self._made = error
        self.is_finished = True
        self._told.put(None)
        if self._is_given_up:
            self._drop()

    def result(self, timeout: float) -> Any:
        """The connection, or its error raised. Nobody waits for one any more that comes too late."""
        try:
            self._told.get(timeout=max(timeout, 0))
        except BaseException as error:
            self._is_given_up = True
            self._drop()
            if isinstance(error, Empty):
                raise TimeoutError("no answer to an attempt to connect") from None
            raise
        if isinstance(self._made, BaseException):
            raise self._made
        return self._made

    def _drop(self) -> None:
        made = self._made
        if made is not None and not isinstance(made, BaseException):
            made.disconnect()


def _pop(free: list[Any]) -> Any:
    try:
        return free.pop()  # in one step: no two threads have the same one
    except IndexError:
        return None


def connecting(url: str, timeout: float) -> Callable[[], Any]:
    """What connects to the server at `url`, as `Connections` wants it."""

    def connect() -> Any:
        connection = unconnected(url, timeout)
        connection.connect()
        return connection

    return connect


def unconnected(url: str, timeout: float) -> Any:
    """A connection to the server at `url` that is still to be made.

    Raises:
        Exception: redis-py's, for options in `url` that it does not take.
    """
    from redis import ConnectionPool
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    pool = ConnectionPool.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), protocol=2
    )
    return _timed(pool.connection_class)(**pool.connection_kwargs)


@cache
def _timed(kind: Any) -> Any:
    class Timed(kind):  # type: ignore[misc]
        def _connect(self) -> TimedSocket:
            self.timed = TimedSocket(super()._connect())
            self.timed.settimeout(self.socket_timeout)  # for what is said before the first command
            return self.timed

    return Timed


def _answers(connection: Any, number: int) -> list[Any]:
    from redis.exceptions import ResponseError

    answers: list[Any] = []
    for _ in range(number):
        try:
            answers.append(connection.read_response(disable_decoding=True))
        except ResponseError as refused:
            answers.append(refused)
    return answers
