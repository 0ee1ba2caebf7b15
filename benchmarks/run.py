"""All comparisons, one table after the other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import langchain_core

from benchmarks import browsing, caches, calls, explaining, sharing, starting, stores
from benchmarks.report import Row, print_table


@dataclass(frozen=True)
class Scale:
    """How many entries, and how often.

    - `at_maxsize`: how many times faster than LangChain's an update should be, by maxsize.
    - `work`: how often each operation of a cache is done, about.
    - `store`: the entries of a store's file, and the rounds.
    - `stores`: the entries of files whose pages and searches are compared.
    - `why`: the entries among which the nearest is found, and the rounds.
    - `sharing`: the entries of a file that processes share, their lookups, and the rounds.
    """

    sizes: tuple[int, ...]
    at_maxsize: dict[int, float | None]
    work: int
    memory: int
    calls: int
    store: tuple[int, int]
    stores: tuple[int, ...]
    sharing: tuple[int, int, int]
    panel: tuple[int, int]
    why: tuple[int, int]
    openings: int
    starts: int


FULL = Scale(
    sizes=(1_000, 10_000, 100_000),
    at_maxsize={1_000: None, 10_000: 5, 100_000: 30},
    work=400_000,
    memory=10_000,
    calls=150,
    store=(1_000, 20),
    stores=(1_000, 100_000, 1_000_000),
    sharing=(10_000, 5_000, 3),
    panel=(100, 100_000),
    why=(100_000, 3),
    openings=30,
    starts=5,
)
QUICK = Scale(
    sizes=(10, 20),
    at_maxsize={10: None, 20: 5},
    work=40,
    memory=10,
    calls=1,
    store=(5, 1),
    stores=(4, 8),
    sharing=(5, 5, 1),
    panel=(5, 9),
    why=(8, 1),
    openings=1,
    starts=1,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, and which targets were missed. Only a crash is a failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: that it runs, not how fast")
    options = parser.parse_args(arguments)
    print(f"Python {sys.version.split()[0]}, langchain-core {langchain_core.__version__}")
    rows = measure(QUICK if options.quick else FULL)
    over = [row.what for row in rows if row.is_over]
    print("\n" + (f"Over their target: {'; '.join(over)}" if over else "All targets are met"))


def measure(scale: Scale) -> list[Row]:
    """The rows of all tables, printed meanwhile."""
    few, many = scale.panel
    return [
        *print_table("InMemoryCache", caches.operations(scale.sizes, scale.work)),
        *print_table("InMemoryCache, full", caches.updates_at_maxsize(scale.at_maxsize, scale.work)),
        *print_table("Memory", caches.memory(scale.memory)),
        *print_table("ChatOpenAI.invoke", calls.hits(scale.calls)),
        *print_table("SQLiteCache", stores.operations(*scale.store)),
        *print_table("ChatOpenAI.invoke", stores.invoke(scale.calls)),
        *print_table("RedisCache", stores.server(*scale.store)),
        *print_table(
            "SQLiteCache, shared", sharing.hits(*scale.sharing), ours="one writes", other="none writes"
        ),
        *print_table(
            "SQLiteCache, large",
            stores.sizes(scale.stores, scale.openings),
            other=f"of {scale.stores[0]:,}",
        ),
        *print_table(
            "Panel", browsing.panel(few, many, scale.openings), ours=f"of {many:,}", other=f"of {few:,}"
        ),
        *print_table("Why", explaining.why(*scale.why), other="a second"),
        *print_table("Start", starting.steps(scale.starts), other=""),
    ]
