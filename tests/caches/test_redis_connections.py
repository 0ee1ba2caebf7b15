"""What a blocking caller waits for at most, and which connections are used again; with scripted peers."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis.exceptions import ResponseError

from llmcache_jupyter.caches.redis.connections import Connections
from llmcache_jupyter.caches.redis.timed_socket import TimedSocket
from tests.caches.contract import FakeClock

PATIENT = 30.0
ASK = [("ASK",)]


class Peer(socket.socket):
    """The other side of a socket: each step takes `pace` seconds, and hands on one byte."""

    def __init__(self, timer: FakeClock, pace: float) -> None:
        super().__init__()
        self.close()
        self.timer = timer
        self.pace = pace
        self.timeouts: list[float | None] = []
        self.sent = b""

    def settimeout(self, value: float | None) -> None:
        self.timeouts.append(value)

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.timer.advance(self.pace)
        return b"x"

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        buffer[:1] = self.recv(1)
        return 1

    def send(self, data: Any, flags: int = 0) -> int:
        self.timer.advance(self.pace)
        self.sent += bytes(data[:1])
        return 1


class TestTimedSocket:
    @pytest.fixture
    def peer(self) -> Peer:
        return Peer(FakeClock(), 0.25)

    @pytest.fixture
    def timed(self, peer: Peer) -> TimedSocket:
        return TimedSocket(peer, peer.timer)

    @pytest.mark.parametrize(
        "step",
        [
            lambda timed: timed.recv(10),
            lambda timed: timed.recv_into(bytearray(10)),
            lambda timed: timed.sendall(b"y"),
        ],
    )
    def test_each_step_has_the_time_that_is_left(
        self, peer: Peer, timed: TimedSocket, step: Callable[[TimedSocket], object]
    ) -> None:
        timed.settimeout(1.0)
        for _ in range(4):
            step(timed)
        with pytest.raises(TimeoutError):
            step(timed)
        assert peer.timeouts == [1.0, 0.75, 0.5, 0.25]

    def test_a_peer_that_takes_little_at_a_time_is_no_excuse(self, peer: Peer, timed: TimedSocket) -> None:
        timed.settimeout(1.0)
        with pytest.raises(TimeoutError):
            timed.sendall(b"hello")
        assert peer.sent == b"hell"

    def test_all_of_it_is_sent(self, peer: Peer, timed: TimedSocket) -> None:
        timed.settimeout(None)
        timed.sendall(b"hello, hello")
        assert peer.sent == b"hello, hello"

    def test_the_time_begins_when_it_is_set(self, peer: Peer, timed: TimedSocket) -> None:
        timed.settimeout(1.0)
        peer.timer.advance(100)
        timed.settimeout(1.0)
        assert timed.recv(10) == b"x"

    @pytest.mark.parametrize("none", [None, 0])
    def test_no_time_is_the_socket_s_own(self, peer: Peer, timed: TimedSocket, none: float | None) -> None:
        timed.settimeout(1.0)
        timed.settimeout(none)
        peer.timer.advance(100)
        assert timed.recv(10) == b"x"
        assert peer.timeouts == [none]


class Line:
    """A connection as redis-py's, that answers what `lines` say."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.is_stale = False
        self.is_open = True
        self.timed = self
        self.left: list[float] = []

    def settimeout(self, seconds: float) -> None:
        self.left.append(seconds)

    def can_read(self) -> bool:
        return self.is_stale

    def pack_commands(self, commands: Sequence[Any]) -> Sequence[Any]:
        return commands

    def send_packed_command(self, packed: Sequence[Any]) -> None:
        assert self.is_open

    def read_response(self, disable_decoding: bool) -> Any:
        assert disable_decoding
        return self.lines.answer()

    def disconnect(self) -> None:
        self.is_open = False


class Lines:
    """Makes connections, and has them. `answer` is what all of them say."""

    def __init__(self) -> None:
        self.made: list[Line] = []
        self.answer: Callable[[], Any] = lambda: b"yes"

    def connect(self) -> Line:
        self.made.append(Line(self))
        return self.made[-1]

    @property
    def open(self) -> list[Line]:
        return [line for line in self.made if line.is_open]


def raising(error: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


@pytest.fixture
def interrupting() -> Iterator[None]:
    """Has SIGUSR1 interrupt: where the tests run in the background, SIGINT is ignored."""
    earlier = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    yield
    signal.signal(signal.SIGUSR1, earlier)


class TestConnections:
    @pytest.fixture
    def lines(self) -> Lines:
        return Lines()

    @pytest.fixture
    def connections(self, lines: Lines) -> Connections:
        return Connections(lines.connect, PATIENT)

    def test_one_is_used_again(self, lines: Lines, connections: Connections) -> None:
        for _ in range(3):
            assert connections.exchange([*ASK, *ASK]) == [b"yes", b"yes"]
        assert len(lines.made) == 1

    def test_what_is_refused_is_an_answer_among_others(self, lines: Lines, connections: Connections) -> None:
        refused = ResponseError("no")
        answers: Iterator[Any] = iter([refused, b"yes"])

        def answer() -> Any:
            said = next(answers)
            if isinstance(said, Exception):
                raise said
            return said

        lines.answer = answer
        assert connections.exchange([*ASK, *ASK]) == [refused, b"yes"]
        assert len(lines.open) == 1

    @pytest.mark.parametrize("error", [TimeoutError(), ConnectionError(), KeyboardInterrupt(), SystemExit()])
    def test_what_failed_or_was_interrupted_is_not_used_again(
        self, lines: Lines, connections: Connections, error: BaseException
    ) -> None:
        connections.exchange(ASK)
        lines.answer = raising(error)
        with pytest.raises(type(error)):
            connections.exchange(ASK)
        assert lines.open == []
        lines.answer = lambda: b"yes"
        assert connections.exchange(ASK) == [b"yes"]
        assert len(lines.made) == 2

    def test_one_with_something_left_in_it_is_not_used_again(
        self, lines: Lines, connections: Connections
    ) -> None:
        connections.exchange(ASK)
        lines.made[0].is_stale = True
        assert connections.exchange(ASK) == [b"yes"]
        assert [line.is_open for line in lines.made] == [False, True]

    def test_those_in_use_are_closed_when_they_are_free(self, lines: Lines, connections: Connections) -> None:
        def answer() -> bytes:
            connections.disconnect()
            assert len(lines.open) == 1
            return b"yes"

        lines.answer = answer
        assert connections.exchange(ASK) == [b"yes"]
        assert lines.open == []

    def test_callers_at_once_have_one_each_and_some_are_kept(
        self, lines: Lines, connections: Connections
    ) -> None:
        together = threading.Barrier(20)
        lines.answer = lambda: together.wait(PATIENT)
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: connections.exchange(ASK), range(20)))
        assert (len(lines.made), len(lines.open)) == (20, 16)

    def test_a_forked_child_leaves_the_parent_s_alone(self, lines: Lines, connections: Connections) -> None:
        connections.exchange(ASK)
        connections.forget()
        connections.exchange(ASK)
        assert len(lines.open) == 2

    def test_connecting_takes_of_the_same_time(self, lines: Lines) -> None:
        timer = FakeClock()

        def connect() -> Line:
            timer.advance(7)
            return lines.connect()

        Connections(connect, 10.0, timer).exchange(ASK)
        assert lines.made[0].left == [3.0]

    def test_what_fails_in_connecting_is_raised(self) -> None:
        connections = Connections(raising(ConnectionRefusedError("nobody")), PATIENT)
        with pytest.raises(ConnectionRefusedError, match="nobody"):
            connections.exchange(ASK)

    def test_connecting_that_hangs_is_not_waited_for(self, lines: Lines) -> None:
        """A name server's, say. What it finds too late is closed, and so many threads wait at most."""
        found, over, asked = threading.Event(), threading.Event(), []

        def connect() -> Line:
            asked.append(1)
            found.wait()
            line = lines.connect()
            line.disconnect = over.set  # type: ignore[method-assign]
            return line

        connections = Connections(connect, 0.01)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                connections.exchange(ASK)
        assert len(asked) <= 16
        found.set()
        assert over.wait(PATIENT)

    @pytest.mark.usefixtures("interrupting")
    def test_an_interrupt_leaves_neither_a_thread_nor_a_connection(self, lines: Lines) -> None:
        main, over, threads = threading.get_ident(), threading.Semaphore(0), []

        def connect() -> Line:
            threads.append(threading.current_thread())
            time.sleep(0.02)  # by then it is waited for
            signal.pthread_kill(main, signal.SIGUSR1)
            line = lines.connect()
            line.disconnect = over.release  # type: ignore[method-assign]
            return line

        connections = Connections(connect, PATIENT)
        for _ in range(20):
            with pytest.raises(KeyboardInterrupt):
                connections.exchange(ASK)
            assert over.acquire(timeout=PATIENT)
        for thread in threads:
            thread.join(PATIENT)
            assert not thread.is_alive()
