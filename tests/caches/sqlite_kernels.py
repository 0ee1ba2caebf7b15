"""Kernels that do at random what users' kernels do with one store: `python -m ... FILE SEED SECONDS`.

They come and go, are killed, open the file twice, copy it, fork, use threads and remove entries. Each writes
down what the cache reported. Prints, as JSON, what is wrong in the end or was on the way.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache
from llmcache_jupyter.errors import StoreError
from tests.caches.sqlite_workers import entry

KERNELS = 4


class Kernel:
    """One of them, in its own process, which does one thing after another until its time is over."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        self.chance = random.Random(seed)
        self.caches = [SQLiteCache(path)]
        self.mine: list[str] = []
        self.count = 0
        self._report = _report_of(path, seed).open("a", buffering=1)

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.count += 1
            (action,) = self.chance.choices(list(_ACTIONS), list(_ACTIONS.values()))
            try:
                action(self)
            except StoreError as error:  # a miss, or an answer that is kept in memory: no harm
                self.tell("failed", str(error))
        for cache in self.caches:
            cache.close()

    def tell(self, what: str, about: str) -> None:
        self._report.write(json.dumps([what, about]) + "\n")

    def any_cache(self) -> SQLiteCache:
        return self.chance.choice(self.caches)

    def put(self, part: str = "") -> None:
        prompt = f"{self.seed} {self.count} {part}"
        self.any_cache().put(entry(prompt, _answer(prompt)))
        self.tell("stored", prompt)
        self.mine.append(prompt)

    def look_up(self) -> None:
        if self.mine:
            prompt = self.chance.choice(self.mine)
            found = self.any_cache().lookup(*entry(prompt).key)
            if found is None or found[0].text != _answer(prompt):
                self.tell("wrong", f"{prompt}: {found}")

    def delete(self) -> None:
        if self.mine:
            prompt = self.mine.pop(self.chance.randrange(len(self.mine)))
            self.tell("removing", prompt)
            self.any_cache().delete([entry(prompt).id])
            self.tell("removed", prompt)

    def list(self) -> None:
        self.any_cache().entries(Query(text=self.chance.choice([None, str(self.count)]), limit=5))

    def open(self) -> None:
        self.caches.append(SQLiteCache(self.path))

    def close(self) -> None:
        if len(self.caches) > 1:
            cache = self.caches.pop(self.chance.randrange(len(self.caches)))
            if self.chance.random() < 0.7:  # others just forget it
                cache.close()

    def open_anew(self) -> None:
        for cache in self.caches:
            cache.close()
        self.caches = [SQLiteCache(self.path)]

    def copy(self) -> None:
        shutil.copy(self.path, self.path.with_name(f"copy {self.seed}"))

    def fork(self) -> None:
        child = os.fork()
        if not child:
            try:
                self.put("of a child")
                if self.chance.random() < 0.5:
                    self.caches[0].close()
            finally:
                os._exit(0)
        self.put("beside a child")
        os.waitpid(child, 0)

    def use_threads(self) -> None:
        threads = [threading.Thread(target=self._put_beside, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        self.close()
        for thread in threads:
            thread.join()

    def _put_beside(self, number: int) -> None:
        try:
            self.put(f"of thread {number}")
        except StoreError as error:
            self.tell("failed", str(error))

    def rest(self) -> None:
        time.sleep(1.3 * self.chance.random())

    def be_killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


_ACTIONS: dict[Callable[[Kernel], None], float] = {
    Kernel.put: 50,
    Kernel.look_up: 20,
    Kernel.delete: 2,
    Kernel.list: 1,
    Kernel.open: 5,
    Kernel.close: 6,
    Kernel.open_anew: 0.3,
    Kernel.copy: 5,
    Kernel.fork: 1,
    Kernel.use_threads: 2,
    Kernel.rest: 0.5,
    Kernel.be_killed: 0.2,
}


def main(path: Path, seed: int, seconds: float) -> dict[str, object]:
    """Keep so many kernels at work for so long. Returns what they did, and what is wrong."""
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    kernels: list[subprocess.Popen[bytes]] = []
    started = 0
    while time.monotonic() < end:
        kernels = [kernel for kernel in kernels if kernel.poll() is None]
        while len(kernels) < KERNELS:
            started += 1
            kernels.append(_start(path, 1000 * seed + started, min(6, seconds) * chance.random()))
        time.sleep(0.02)
        if chance.random() < 0.01:
            chance.choice(kernels).kill()
    for kernel in kernels:
        kernel.wait()
    told = [tuple(json.loads(line)) for file in path.parent.glob("report *") for line in _whole_lines(file)]
    wrong = {"errors": [about for what, about in told if what == "wrong"] + _stderr(path)}
    wrong |= _left(path, set(told))
    return {
        "did": Counter(what for what, _ in told),
        "wrong": {what: some[:20] for what, some in wrong.items() if some},
    }


def _left(path: Path, told: set[tuple[str, str]]) -> dict[str, list[str]]:
    stored, removing, removed = (
        {about for what, about in told if what == kind} for kind in ("stored", "removing", "removed")
    )
    with SQLiteCache(path) as cache:
        there = {found.prompt: found for found in cache.entries(Query(limit=None)).entries}
    return {
        "lost": sorted(stored - removing - there.keys()),
        "came back": sorted(removed & there.keys()),
        "changed": [prompt for prompt, one in there.items() if one.generations[0].text != _answer(prompt)],
    }


def _start(path: Path, seed: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-m", __spec__.name]
    with path.with_name("stderr").open("ab") as errors:
        return subprocess.Popen([*command, str(path), str(seed), str(seconds), "kernel"], stderr=errors)


def _stderr(path: Path) -> list[str]:
    return path.with_name("stderr").read_text("utf-8").splitlines()


def _answer(prompt: str) -> str:
    return f"An answer to {prompt}."


def _report_of(path: Path, seed: int) -> Path:
    return path.with_name(f"report {seed}")


def _whole_lines(file: Path) -> list[str]:
    return [line for line in file.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    _path, _seed, _seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    if sys.argv[4:] == ["kernel"]:
        Kernel(_path, _seed).run(_seconds)
    else:
        sys.stdout.write(json.dumps(main(_path, _seed, _seconds)))
