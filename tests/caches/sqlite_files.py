"""Stores for the tests, and stores that someone has been at."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.contract import entry

Plant = Callable[[Path], object]


def make_store(path: Path, count: int = 5) -> None:
    with SQLiteCache(path) as cache:
        for number in range(count):
            cache.put(entry(f"prompt {number}", stored=1_000.0 + number))


def run_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def altered(*statements: str) -> Plant:
    """A store that someone has been at."""

    def plant(path: Path) -> None:
        make_store(path)
        run_sql(path, *statements)

    return plant
