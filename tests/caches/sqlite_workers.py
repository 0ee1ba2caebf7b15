"""What tests/caches/test_sqlite_processes.py runs in processes of its own: `python -m ... JOB FILE`.

A job forks, which a process with pytest's threads should not. It prints what the test checks, as JSON, and
ends with an error where a worker did.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmcache_jupyter.caches import Entry, Generation, Query
from llmcache_jupyter.caches.sqlite import SQLiteCache

WORKERS, EACH = 4, 150


def entry(prompt: str, text: str = "An answer.") -> Entry:
    return Entry((prompt, "[('model', 'm')]"), [Generation(text)], time.time())


def kill_writers(path: Path) -> list[str]:
    """The prompts that writers reported as stored, each of whom was killed while it went on."""
    return _kill(path, 100, most=60)


def kill_makers(path: Path) -> list[str]:
    """As `kill_writers`, but the first of them are killed while they make the file."""
    reported = []
    for number in range(40):
        file = path.with_name(f"{number}.sqlite")
        reported += [f"{file.name}: {prompt}" for prompt in _kill(file, 1, most=0)]
        with SQLiteCache(file) as cache:
            cache.put(entry("after"))
    return reported


def _kill(path: Path, rounds: int, most: int) -> list[str]:
    chance = random.Random(f"{path.name}{most}")
    reported: list[str] = []
    for number in range(rounds):
        reading, writing = os.pipe()
        writer = os.fork()
        if not writer:
            _write_until_killed(path, number, writing)
        os.close(writing)
        with os.fdopen(reading) as reports:
            reported += [reports.readline().strip() for _ in range(chance.randint(0, most))]
            time.sleep(chance.uniform(0, 0.02 if not most else 0.004))  # any moment will do
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            reported += [line.strip() for line in reports if line.endswith("\n")]
    return reported


def _write_until_killed(path: Path, number: int, writing: int) -> None:
    try:
        cache = SQLiteCache(path)
        for count in range(100_000):
            prompt = f"{number} {count}"
            cache.put(entry(prompt))
            os.write(writing, f"{prompt}\n".encode())
            if count % 7 == 3:
                cache.put(entry(f"{number} {count - 1}", "Another answer."))
                cache.lookup(*entry(f"{number} {count - 2}").key)
    finally:
        os._exit(1)


def load(path: Path) -> list[int]:
    """Four processes write, read, count, search and overwrite at once."""

    def work(number: int) -> None:
        cache = SQLiteCache(path)
        for count in range(EACH):
            cache.put(entry(f"{number} {count}"))
            assert cache.lookup(*entry(f"{number} {count}").key) == [Generation("An answer.")]
            cache.lookup(*entry(f"{(number + 1) % WORKERS} {count}").key)
            if count % 10 == 0:
                cache.put(entry(f"{number} {count}", "Another answer."))
                assert cache.entries(Query(text=f"{number} {count}")).total >= 1
                assert len(cache) >= count
        cache.close()

    return _together(work, WORKERS)


def clear(path: Path) -> list[int]:
    """One process stores and clears, while three others read."""
    with SQLiteCache(path) as cache:
        cache.put(entry("0"))

    def work(number: int) -> None:
        cache = SQLiteCache(path)
        for count in range(200):
            if number == 0:
                cache.put(entry(str(count % 5)))
                if count % 5 == 4:
                    cache.clear()
                continue
            assert cache.lookup(*entry(str(count % 5)).key) in (None, [Generation("An answer.")])
            page = cache.entries(Query(text="answer" if count % 2 else None))
            assert len(page.entries) == page.total <= 5
            assert sum(cache.models().values()) <= 5
            list(cache.keys())
        cache.close()

    return _together(work, WORKERS)


def make(path: Path) -> list[int]:
    """Six processes make the same file at once, many times."""
    ended = []
    for number in range(15):
        file = path.with_name(f"{number}.sqlite")

        def work(worker: int, file: Path = file) -> None:
            with SQLiteCache(file) as cache:
                cache.put(entry(str(worker)))

        ended += _together(work, 6)
        with SQLiteCache(file) as cache:
            ended.append(6 - len(cache))
    return ended


def outlive(path: Path) -> list[str]:
    """A forked child goes on with the parent's cache after the parent closed it. What is there in the end."""
    cache = SQLiteCache(path)
    cache.put(entry("parent"))
    cache.lookup(*entry("parent").key)
    (told, telling), (go, going) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        cache.put(entry("child, early"))
        os.write(telling, b"x")
        os.read(go, 1)
        cache.put(entry("child, late"))
        os._exit(0)
    os.read(told, 1)
    cache.put(entry("parent, after the fork"))
    cache.close()
    os.write(going, b"x")
    assert os.waitpid(child, 0)[1] == 0
    with SQLiteCache(path) as cache:
        return sorted(found.prompt for found in cache.entries().entries)


def fork_at_once(path: Path) -> list[int]:
    """Threads fork at the same moment, again and again, while others write. How the children ended."""
    cache = SQLiteCache(path)
    ended: list[int] = []

    def fork(thread: int) -> None:
        for count in range(20):
            child = os.fork()
            if not child:
                os._exit(0)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            cache.put(entry(f"{thread} {count}"))

    threads = [threading.Thread(target=fork, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.put(entry("after"))
    ended.append(len(cache))
    return ended


def _together(work: Callable[[int], None], count: int) -> list[int]:
    """How each of so many processes ended, that began at the same moment."""
    start, starting = os.pipe()
    workers = []
    for number in range(count):
        worker = os.fork()
        if not worker:
            ended = 1
            try:
                os.close(starting)
                os.read(start, 1)
                work(number)
                ended = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(ended)
        workers.append(worker)
    os.close(starting)  # which all of them wait for
    os.close(start)
    return [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]


JOBS: dict[str, Callable[[Path], Any]] = {
    job.__name__: job for job in (kill_writers, kill_makers, load, clear, make, outlive, fork_at_once)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(JOBS[sys.argv[1]](Path(sys.argv[2]))))
