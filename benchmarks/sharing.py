"""A hit in a file that four processes read at once, while another one writes to it, and while none does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.report import Row
from llmcache_jupyter.caches import Generation
from llmcache_jupyter.caches.sqlite import SQLiteCache

_READERS = 4
_LLM_STRING = "[('model', 'm')]"


def hits(size: int, lookups: int, rounds: int) -> Iterator[Row]:
    """The mean of the readers' times. The workers import no LangChain, and the writer never rests."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "notes.sqlite")
        with SQLiteCache(path) as cache:
            _store(cache, range(size))
        pairs = [[_measure(path, size, lookups, writes) for writes in (True, False)] for _ in range(rounds)]
        one_writes, none_writes = map(median, zip(*pairs, strict=True))
        yield Row(f"hit, {_READERS} processes read", one_writes, none_writes, one_writes / none_writes)


def _measure(path: Path, size: int, lookups: int, writes: bool) -> float:
    jobs = [["read", str(size), str(lookups)]] * _READERS + [["write", str(size), "0"]] * writes
    workers = [_start(path, job) for job in jobs]
    for worker in workers:  # all of them are ready
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    times = [float(worker.communicate()[0]) for worker in workers[:_READERS]]
    for writer in workers[_READERS:]:
        writer.kill()
        writer.communicate()
    return sum(times) / len(times) / lookups


def _start(path: Path, job: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.sharing", str(path), *job]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _work(path: str, job: str, size: int, lookups: int) -> None:
    with SQLiteCache(path) as cache:
        print("ready", flush=True)
        sys.stdin.readline()
        begin = perf_counter()
        for number in range(lookups):
            assert cache.lookup(_prompt(number % size), _LLM_STRING)
        while job == "write":  # until it is killed
            _store(cache, range(size, size + 1_000))
        print(perf_counter() - begin)


def _store(cache: SQLiteCache, numbers: range) -> None:
    for number in numbers:
        cache.update(_prompt(number), _LLM_STRING, [Generation("An answer. " * 20)])


def _prompt(number: int) -> str:
    return f"Question {number}: " + "what is it? " * 50


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
