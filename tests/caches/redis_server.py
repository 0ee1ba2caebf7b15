"""A real Redis server on loopback, and a proxy before it that fails as told.

Run as a program, it installs the server where there is none.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import redis

from tests import apt

Fault = Literal["none", "silent", "dribble", "drop"]

ADVICE = """\
No Redis server was found, and none could be installed. Install one with one of
    sudo apt-get update && sudo apt-get install -y redis-server
    brew install redis
and run `make test` again."""


def installed() -> str | None:
    """The path of this machine's server, or None."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """`redis-server` on a free port, or a given one; `options` as on its command line."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        program = installed()
        if program is None:
            raise RuntimeError(ADVICE)
        self.port = port or free_port()
        command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen(
            [*command, "--dir", str(folder), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._wait_until_it_answers()

    def client(self) -> redis.Redis:
        """A client of the tests' own."""
        return redis.Redis(port=self.port, decode_responses=False)

    def pause(self) -> None:
        """Have it not answer, nor close a connection."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """Hands bytes on between its clients and a server; what the server says goes through `fault`.

    - `silent`: nothing arrives. `dribble`: a byte every tenth of a second. `drop`: a few bytes, then the end.
    - `has_failed` is set when it has.
    - `rate`: bytes a second that each client may send.
    """

    def __init__(self, port: int) -> None:
        self.fault: Fault = "none"
        self.rate = float("inf")
        self.has_failed = threading.Event()
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._open: list[socket.socket] = []
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for one in (self._listener, *self._open):
            _end(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                threading.Thread(target=self._hand_on, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._closed.wait(len(data) / self.rate)
                target.sendall(data)
        _end(target)

    def _answer(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.fault == "none":
                    target.sendall(data)
                elif self.fault == "drop":
                    target.sendall(data[:3])
                    break
                elif self.fault == "dribble":
                    self._dribble(data, target)
                else:
                    self.has_failed.set()
        _end(target)

    def _dribble(self, data: bytes, target: socket.socket) -> None:
        for position in range(len(data)):
            if self._closed.wait(0.1):
                return
            target.sendall(data[position : position + 1])
            self.has_failed.set()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def main() -> None:
    if installed() is None:
        apt.install("redis-server")
    if installed() is None:
        sys.exit(ADVICE)
    print(f"Redis: {installed()}")


if __name__ == "__main__":
    main()
